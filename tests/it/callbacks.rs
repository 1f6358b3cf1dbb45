//! Results are told to terminals that want to know.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::{net::TcpListener, sync::Mutex, sync::mpsc};
use tsms::{
    domain::{checksum::Version, time::Timestamp},
    standin::sim::{Kind, make_sale},
};

use crate::{
    bodies::{flawed, sale},
    on_both_tiers,
    world::{DEADLINE, Tier, World, register_till},
};

on_both_tiers!(each_result_is_posted_to_the_callback_url);

const KEYS: &str = "a key of callbacks with 32 characters or more";

/// Refuses the first callback, then takes each.
async fn receiver() -> (String, mpsc::Receiver<Value>) {
    let (told, heard) = mpsc::channel(64);
    let refuse_first = Arc::new(Mutex::new(true));
    let app = Router::new().route(
        "/results",
        post(
            move |State(told): State<mpsc::Sender<Value>>, Json(result): Json<Value>| async move {
                if std::mem::take(&mut *refuse_first.lock().await) {
                    return StatusCode::SERVICE_UNAVAILABLE;
                }
                told.send(result).await.unwrap();
                StatusCode::NO_CONTENT
            },
        ),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/results", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app.with_state(told)).await });
    (url, heard)
}

async fn each_result_is_posted_to_the_callback_url(world: World) {
    let (url, mut heard) = receiver().await;
    let tenant_id = world.till().tenant_id;
    let till = register_till(&world.store, tenant_id, "C-T1", "SN-CALLBACK", Some(url)).await;
    let bodies = [sale(&till, Version::V21, 1), flawed(&till, Version::V21, 2)];
    for body in &bodies {
        assert_eq!(world.post(&till, body.body.clone()).await.status, 202);
    }
    let mut results = Vec::new();
    while results.len() < bodies.len() {
        results.push(
            tokio::time::timeout(DEADLINE, heard.recv())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    for (body, (result, word)) in bodies.iter().zip([("VALID", "success"), ("INVALID", "failed")]) {
        let id = body.sales[0].transaction_id.to_string();
        let told = results
            .iter()
            .find(|told| told["transaction_id"] == id.as_str())
            .unwrap();
        assert_eq!(told["validation_result"], result, "{told}");
        assert_eq!(told["validation_status"], word, "{told}");
        assert_eq!(
            told["errors"].as_array().unwrap().is_empty(),
            result == "VALID",
            "{told}"
        );
    }
    world.stop().await;
}

/// Takes callbacks, each with its headers.
async fn signed_receiver() -> (String, mpsc::Receiver<(HeaderMap, Bytes)>) {
    let (told, heard) = mpsc::channel(64);
    let take = async |State(told): State<mpsc::Sender<_>>, headers: HeaderMap, body: Bytes| {
        told.send((headers, body)).await.unwrap();
        StatusCode::NO_CONTENT
    };
    let app = Router::new().route("/results", post(take)).with_state(told);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/results", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, heard)
}

/// Checks a callback as its receiver does, with nothing but the secret that the operator gave it.
fn genuine(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers[name].to_str().unwrap();
    let key = BASE64
        .decode(secret.strip_prefix("whsec_").unwrap().as_bytes())
        .unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(body);
    let expected = format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()));
    header("webhook-signature").split(' ').any(|one| one == expected)
}

async fn a_batch_is_summed_up_and_signed(tier: Tier) {
    let (url, mut heard) = signed_receiver().await;
    let world = World::start_with(tier, &format!("[notification]\nsigning_keys = \"{KEYS}\"")).await;
    let tenant_id = world.till().tenant_id;
    let till = register_till(&world.store, tenant_id, "C-T1", "SN-SIGNED", Some(url)).await;
    // One of three is flawed.
    let kind = Kind {
        version: Version::V21,
        items: 3,
        flawed: true,
    };
    let body = make_sale(&till, kind, 1, Timestamp::now()).unwrap();
    assert_eq!(world.post(&till, body.body).await.status, 202);
    let (code, secret) = world.operator(&["notify", "secret", "SN-SIGNED"]).await;
    assert_eq!(code, Some(0), "{secret}");
    let (mut results, mut batches) = (0, Vec::new());
    let mut ids = BTreeSet::new();
    while results < 3 || batches.is_empty() {
        let (headers, body) = tokio::time::timeout(DEADLINE, heard.recv())
            .await
            .unwrap()
            .unwrap();
        assert!(genuine(secret.trim(), &headers, &body), "{headers:?}");
        ids.insert(headers["webhook-id"].clone().to_str().unwrap().to_owned());
        let told: Value = serde_json::from_slice(&body).unwrap();
        if told["total_count"].is_null() {
            results += 1;
        } else {
            batches.push(told);
        }
    }
    assert_eq!(ids.len(), 4, "each has an id of its own");
    let told = &batches[0];
    assert_eq!(told["overall_status"], "PARTIAL", "{told}");
    assert_eq!(
        [
            &told["total_count"],
            &told["success_count"],
            &told["failed_count"]
        ],
        [3, 2, 1]
    );
    world.drain().await;
    let log = world
        .store
        .callbacks(Some(till.terminal_id), 0, 100)
        .await
        .unwrap();
    assert_eq!(log.len(), 4);
    assert!(
        log.iter()
            .all(|one| one.state == "DELIVERED" && one.attempts == 1 && one.last_status == Some(204)),
        "{log:?}"
    );
    let (code, said) = world
        .operator(&["notify", "callbacks", "--terminal", "SN-SIGNED", "--json"])
        .await;
    assert_eq!((code, said.lines().count()), (Some(0), 4), "{said}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_summed_up_and_signed_on_the_embedded_tier() {
    a_batch_is_summed_up_and_signed(Tier::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_summed_up_and_signed_on_the_fleet_tier() {
    a_batch_is_summed_up_and_signed(Tier::Fleet).await;
}
