//! A small mall: two tills with tokens, and whatever else a test of the router needs.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
};
use data_encoding::HEXLOWER;
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

use crate::{
    config,
    credentials::{Credentials, Wish},
    domain::{
        checksum::{self, Version},
        directory::TerminalStatus,
        json::{self as strict, Duplicates, Limits},
        keyring::Keyring,
        time::Timestamp,
    },
    ingress::{App, client_addr::ClientAddr, commit, fixture, ops, router},
    limits::Limiter,
    queue::{self, Queue},
    stage::Stage,
    store::{self, NewTerminal, Store},
};

const PEPPER: &str = "the pepper of the tests of the router";
/// A rate limit that no test reaches by accident.
const UNREACHED: u32 = 1_000_000;

/// Where every request of these tests comes from.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A till that may submit and read.
pub(super) struct Till {
    pub(super) token: String,
    id: i64,
    tenant_id: i64,
    serial: String,
}

/// A router with everything behind it; the parts live as long as the test.
pub(super) struct Mall {
    pub(super) till: Till,
    pub(super) neighbour: Till,
    /// `Authorization` of a token that may not submit.
    pub(super) blind: String,
    /// `Authorization` of a token whose terminal is switched off.
    pub(super) closed: String,
    /// `Authorization` of a token that was revoked.
    pub(super) revoked: String,
    pub(super) draining: CancellationToken,
    config: Arc<config::Config>,
    store: Store,
    queue: Queue,
    router: Router,
    _pipeline: commit::Pipeline,
    _folder: tempfile::TempDir,
}

impl Mall {
    pub(super) async fn open(change: impl FnOnce(&mut config::Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = fixture::config();
        let url = format!("sqlite:{}", folder.path().join("tsms.db").display());
        config.database.url = serde_json::from_value(url.into()).unwrap();
        config.auth.pepper = config::Secret::new(PEPPER);
        // Out of the way, unless a test is about them.
        config.limits.terminal.quota = UNREACHED;
        config.limits.tenant.quota = UNREACHED;
        change(&mut config);
        let config = Arc::new(config);
        let store = store::open(&config.database).await.unwrap();
        store.migrate().await.unwrap();
        let queue = queue::open(&config.queue).await.unwrap();
        let draining = CancellationToken::new();
        let (committer, pipeline) = commit::start(&config.ingress, store.clone(), queue.clone());
        let ops = ops::Ops::new(
            &config,
            store.clone(),
            queue.clone(),
            draining.clone(),
            ops::Needs::Record,
        );
        let keyring = config.keyring().unwrap();
        let limiter = Limiter::alone(&config.limits);
        let app = Arc::new(App::new(
            Arc::clone(&config),
            keyring,
            store.clone(),
            &queue,
            limiter,
            committer,
        ));
        let both = ["transaction:create", "transaction:read", "heartbeat:send"];
        let (till, _) = register(&store, "S-1", &both).await;
        let (neighbour, _) = register(&store, "S-2", &both).await;
        let (blind, _) = register(&store, "S-3", &["transaction:read"]).await;
        let (closed, _) = register(&store, "S-4", &both).await;
        store
            .set_terminal_status(closed.id, TerminalStatus::Inactive)
            .await
            .unwrap();
        let (revoked, token_id) = register(&store, "S-5", &both).await;
        store.revoke_token(token_id, Timestamp::now()).await.unwrap();
        Self {
            till,
            neighbour,
            blind: blind.bearer(),
            closed: closed.bearer(),
            revoked: revoked.bearer(),
            draining,
            config,
            store,
            queue,
            router: router(app, ops, None),
            _pipeline: pipeline,
            _folder: folder,
        }
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-length", body.len())
            .extension(ClientAddr(CLIENT));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = fixture::soon(self.router.clone().oneshot(request)).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, 1_000_000).await.unwrap(),
        }
    }

    pub(super) async fn post(&self, token: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("content-type", "application/json"),
            ("authorization", bearer.as_str()),
        ];
        self.send("POST", "/api/v1/transactions/official", &headers, body)
            .await
    }

    pub(super) async fn get(&self, token: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.send("GET", path, &[("authorization", bearer.as_str())], "")
            .await
    }

    /// Waits until the validation queue holds exactly `jobs`.
    pub(super) async fn queued(&self, jobs: u64) {
        let reached = async {
            while self.ready_jobs().await != jobs {
                tokio::task::yield_now().await;
            }
        };
        fixture::soon(reached).await;
    }

    pub(super) async fn ready_jobs(&self) -> u64 {
        self.queue.depth(Stage::Validation).await.unwrap().ready
    }

    /// What another ingress on the same record and queue needs.
    pub(super) fn parts(&self) -> (Arc<config::Config>, Store, Queue) {
        (Arc::clone(&self.config), self.store.clone(), self.queue.clone())
    }

    pub(super) fn all_statements(&self) -> BTreeMap<&'static str, u64> {
        self.store.statements().into_iter().collect()
    }

    pub(super) fn statements(&self, name: &str) -> u64 {
        self.all_statements().get(name).copied().unwrap_or(0)
    }
}

async fn register(store: &Store, serial: &str, abilities: &[&str]) -> (Till, i64) {
    let company = store.ensure_company("MALL", "The Mall").await.unwrap();
    let tenant = store
        .create_tenant(company, &format!("C-{serial}"), "Shop", "Asia/Manila")
        .await
        .unwrap();
    let terminal = store
        .create_terminal(&NewTerminal {
            tenant_id: tenant.id,
            serial_number: serial.to_owned(),
            callback_url: None,
            expires_at: None,
        })
        .await
        .unwrap();
    let keyring = Keyring::new([PEPPER]).unwrap();
    let wish = Wish {
        terminal_id: Some(terminal.id),
        abilities: abilities.iter().map(|word| (*word).to_owned()).collect(),
        ..Wish::default()
    };
    let credentials = Credentials::new(store.clone(), keyring, "live");
    let (token_id, token) = credentials.issue(wish).await.unwrap();
    let till = Till {
        token,
        id: terminal.id,
        tenant_id: tenant.id,
        serial: serial.to_owned(),
    };
    (till, token_id)
}

/// What the router answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A submission that is signed when it is sent.
pub(super) struct Submission {
    pub(super) body: Value,
}

impl Till {
    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// A submission of `count` sales, single where it is one.
    pub(super) fn submission(&self, count: usize) -> Submission {
        let mut body = json!({
            "submission_uuid": Uuid::new_v4(),
            "tenant_id": self.tenant_id,
            "terminal_id": self.id,
            "submission_timestamp": "2026-08-19T10:00:00Z",
            "transaction_count": count,
        });
        let mut sales: Vec<Value> = (0..count).map(|number| self.sale(number)).collect();
        if count == 1 {
            body["transaction"] = sales.remove(0);
        } else {
            body["transactions"] = sales.into();
        }
        Submission { body }
    }

    fn sale(&self, number: usize) -> Value {
        let adjustments = [
            "promo_discount",
            "senior_discount",
            "pwd_discount",
            "vip_card_discount",
            "service_charge_distributed_to_employees",
            "service_charge_retained_by_management",
            "employee_discount",
        ];
        let taxes = [
            ("VAT", "12.00"),
            ("VATABLE_SALES", "100.00"),
            ("SC_VAT_EXEMPT_SALES", "0.00"),
            ("OTHER_TAX", "0.00"),
        ];
        json!({
            "transaction_id": Uuid::new_v4(),
            "hardware_id": self.serial,
            "transaction_timestamp": "2026-08-19T09:59:00Z",
            "gross_sales": "112.00",
            "net_sales": "112.00",
            "promo_status": "NONE",
            "customer_code": format!("C-{}", self.serial),
            "receipt_no": format!("R-{number}"),
            "adjustments": adjustments.map(|name| json!({ "adjustment_type": name, "amount": "0.00" })),
            "taxes": taxes.map(|(name, amount)| json!({ "tax_type": name, "amount": amount })),
        })
    }
}

impl Submission {
    pub(super) fn uuid(&self) -> &str {
        self.body["submission_uuid"].as_str().unwrap()
    }

    pub(super) fn transaction_ids(&self) -> Vec<&str> {
        let sales = match &self.body["transactions"] {
            Value::Array(sales) => sales.iter().collect(),
            _ => vec![&self.body["transaction"]],
        };
        sales
            .into_iter()
            .filter_map(|sale| sale["transaction_id"].as_str())
            .collect()
    }

    /// The body with the checksum of every level.
    pub(super) fn signed(&self) -> String {
        let mut body = self.body.clone();
        if let Some(sale) = body.get_mut("transaction") {
            sign(sale);
        }
        for sale in body
            .get_mut("transactions")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            sign(sale);
        }
        sign(&mut body);
        body.to_string()
    }
}

fn sign(level: &mut Value) {
    let limits = Limits {
        depth: 16,
        nodes: 10_000,
        duplicates: Duplicates::Refuse,
    };
    let text = level.to_string();
    let node = strict::parse(text.as_bytes(), &limits).unwrap();
    let digest = checksum::digest(&node, Version::V21);
    level["payload_checksum"] = HEXLOWER.encode(&digest).into();
}
