//! The stand-in web application over real HTTP.

mod contract;
mod control;
mod faults;

use std::time::Duration;

use data_encoding::HEXLOWER;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{mode::Answer, *};
use crate::domain::{
    checksum::{self, Version},
    json::{self, Duplicates, Limits},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that ends with the test.
struct Server {
    sink: SinkHandle,
    url: String,
    client: Client,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    async fn start(options: SinkOptions) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sink, stop) = (SinkHandle::new(options), CancellationToken::new());
        tokio::spawn(serve(listener, sink.clone(), stop.clone()));
        let redirect = reqwest::redirect::Policy::none();
        let client = Client::builder().redirect(redirect).no_proxy().build().unwrap();
        Self {
            sink,
            url,
            client,
            stop,
        }
    }

    async fn with_mode(mode: &str) -> Self {
        let mode = mode.parse().unwrap();
        Self::start(SinkOptions {
            mode,
            ..SinkOptions::default()
        })
        .await
    }

    async fn try_post(&self, body: &str) -> reqwest::Result<Response> {
        let key = HEXLOWER.encode(&Sha256::digest(body));
        self.client
            .post(format!("{}{BULK_PATH}", self.url))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(body.to_owned())
            .send()
            .await
    }

    async fn post(&self, body: &str) -> (StatusCode, Value) {
        let response = self.try_post(body).await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// The words of the results, in order.
    async fn statuses(&self, body: &str) -> Vec<String> {
        let (status, answer) = self.post(body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let results = answer["results"].as_array().unwrap().iter();
        results
            .map(|result| result["status"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// An item as the contract words it, signed.
fn item(tsms_id: i64, amount: &str) -> String {
    signed(&item_text(tsms_id, amount))
}

fn item_text(tsms_id: i64, amount: &str) -> String {
    let rows = |kind: &str, names: &[&str]| -> String {
        let rows = names
            .iter()
            .map(|name| format!(r#"{{"{kind}":"{name}","amount":0.00}}"#));
        rows.collect::<Vec<_>>().join(",")
    };
    format!(
        r#"{{"tsms_id":{tsms_id},"transaction_id":"00000000-0000-4000-8000-{tsms_id:012}","terminal_id":4,
"terminal_serial":"SN-4","tenant_code":"C-1","tenant_name":"Shop","transaction_timestamp":"2025-08-19T09:51:00.000Z",
"amount":{amount},"net_amount":null,"validation_status":"VALID","processed_at":"2025-08-19T10:00:00.000Z",
"submission_uuid":"807b61f5-1a49-42c1-9e42-dd0d197b4207","adjustments":[{}],"taxes":[{}]}}"#,
        rows("adjustment_type", &batch::ADJUSTMENTS),
        rows("tax_type", &batch::TAXES),
    )
}

fn signed(item: &str) -> String {
    let limits = Limits {
        depth: 8,
        nodes: 500,
        duplicates: Duplicates::Refuse,
    };
    let node = json::parse(item.as_bytes(), &limits).unwrap();
    let checksum = HEXLOWER.encode(&checksum::digest(&node, Version::V1));
    let open = item.strip_suffix('}').unwrap();
    format!(r#"{open},"sc_vat_exempt_sales":0.00,"checksum":"{checksum}"}}"#)
}

fn batch_of(items: &[String]) -> String {
    let mut checksums: Vec<String> = items
        .iter()
        .map(|item| {
            let item: Value = serde_json::from_str(item).unwrap();
            item["checksum"].as_str().unwrap().to_owned()
        })
        .collect();
    checksums.sort();
    let line = format!("2.0|TSMS|TSMS_1|9|4|{}|{}", items.len(), checksums.join(","));
    format!(
        r#"{{"schema_version":"2.0","source":"TSMS","batch_id":"TSMS_1","timestamp":"2025-08-19T10:00:01.000Z",
"tenant_id":9,"terminal_id":4,"transaction_count":{},"request_ids":["r-1"],"batch_checksum":"{}","transactions":[{}]}}"#,
        items.len(),
        HEXLOWER.encode(&Sha256::digest(line)),
        items.join(",")
    )
}

fn three() -> String {
    batch_of(&[item(1, "10.00"), item(2, "20.50"), item(3, "0.07")])
}
