//! What is asked for: for every operation one request of each kind of id.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tsms::{
    domain::{ability, checksum::Version, payload::void_checksum, time::Timestamp},
    standin::sim::{SignedBody, SimTerminal},
};
use uuid::Uuid;

use super::{
    callers::{Caller, make},
    things::{letter, order, redrive, sink},
};
use crate::{
    bodies::{sale, sign, value},
    contract::Operation,
    world::{Answer, World, credentials},
};

const NOT_FOUND: (u16, &str) = (404, "not_found");
const NOT_YOURS: (u16, &str) = (403, "terminal_mismatch");
const MALFORMED: (u16, &str) = (422, "invalid_fields");

/// The key that every till of the scene logs in with.
const KEY: &str = "the key of every till";
/// The serial number that the enrolment code is for.
const NEW_SERIAL: &str = "SN-NEW";

/// Whose the thing is that a request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    /// The till at that place.
    Till(usize),
    /// It does not exist.
    Nobody,
    /// It is for every caller who may ask at all.
    Everyone,
}

impl Owner {
    pub(super) fn is_nobody(self) -> bool {
        matches!(self, Owner::Nobody)
    }

    pub(super) fn admits(self, caller: &Caller) -> bool {
        match self {
            Owner::Till(till) => caller.till == Some(till),
            Owner::Nobody => false,
            Owner::Everyone => true,
        }
    }
}

/// One request.
pub(super) struct Ask {
    pub(super) path: String,
    pub(super) body: Option<String>,
    pub(super) owner: Owner,
    /// What somebody gets whom it does not belong to.
    pub(super) unknown: Option<(u16, &'static str)>,
}

/// What is there to ask for: a sale of each till, a token to be replaced, one to be revoked, an order to
/// be lifted, a sink, a code to be redeemed.
pub(super) struct Scene {
    tills: Vec<SimTerminal>,
    sales: Vec<SignedBody>,
    to_rotate: i64,
    to_revoke: i64,
    to_lift: i64,
    sink: i64,
    letter: i64,
    redrive: i64,
    enrolment_code: String,
    seeds: AtomicU64,
}

impl Scene {
    pub(super) async fn set(world: &World) -> Self {
        let seeds = AtomicU64::new(1_000);
        let mut sales = Vec::new();
        for till in &world.tills {
            let sale = made(till, seeds.fetch_add(1, Ordering::Relaxed));
            assert_eq!(world.post(till, sale.body.clone()).await.status, 202);
            sales.push(sale);
            let (terminal, _) = world
                .store
                .terminals(&[till.terminal_id])
                .await
                .unwrap()
                .remove(0);
            credentials(&world.store)
                .set_key(&terminal, Some(KEY.to_owned()))
                .await
                .unwrap();
        }
        world.drain().await;
        let hour = Duration::from_secs(3600);
        let tenant = world.tills[0].tenant_id;
        let enrolled = credentials(&world.store).enrol(tenant, NEW_SERIAL, hour).await;
        Self {
            tills: world.tills.clone(),
            sales,
            to_rotate: make(world, Some(0), &[], None).await.0,
            to_revoke: make(world, Some(0), &[], None).await.0,
            to_lift: order(world).await,
            sink: sink(world).await,
            letter: letter(world).await,
            redrive: redrive(world).await,
            enrolment_code: enrolled.unwrap().0,
            seeds,
        }
    }

    /// The requests of an operation.
    ///
    /// # Panics
    /// It has an id or a body that nobody has taught the matrix yet.
    pub(super) fn asks(&self, operation: &Operation) -> Vec<Ask> {
        let parameters: Vec<&str> = operation
            .path
            .split('/')
            .filter(|part| part.starts_with('{'))
            .collect();
        if parameters.len() > 1 {
            panic!("teach the matrix what {} asks for", operation.path);
        }
        let before = operation
            .path
            .split("/{")
            .next()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap();
        match operation.id() {
            "submitSales" => return self.submissions(operation),
            "logIn" | "register" => return self.tries(operation),
            _ => {}
        }
        let ids: Vec<(String, Owner)> = match (parameters.is_empty(), before) {
            (true, _) => vec![(String::new(), Owner::Everyone)],
            (false, "transactions") => self.each(|sale| sale.sales[0].transaction_id),
            (false, "submissions") => self.each(|sale| sale.submission_uuid),
            (false, "tenants") => self.rows(self.tills.iter().map(|till| till.tenant_id).collect()),
            (false, "terminals") => self.rows(self.tills.iter().map(|till| till.terminal_id).collect()),
            (false, "tokens") => self.rows(vec![match operation.id() {
                "rotateToken" => self.to_rotate,
                _ => self.to_revoke,
            }]),
            (false, "sinks") => self.rows(vec![self.sink]),
            (false, "dead-letters") => self.rows(vec![self.letter]),
            (false, "redrives") => self.rows(match operation.id() {
                "showRedrive" => vec![self.redrive],
                // It is done at once, and what is done can neither be paused nor resumed.
                _ => Vec::new(),
            }),
            (false, "orders") => self.rows(vec![self.to_lift]),
            (false, "breakers") => vec![
                ("webapp".to_owned(), Owner::Everyone),
                ("nobody".to_owned(), Owner::Nobody),
                ("%ff".to_owned(), Owner::Nobody),
            ],
            (false, "docs") => vec![
                ("start.js".to_owned(), Owner::Everyone),
                ("x".to_owned(), Owner::Nobody),
            ],
            (false, "errors") => vec![
                ("not_found".to_owned(), Owner::Everyone),
                ("x".to_owned(), Owner::Nobody),
            ],
            (false, other) => panic!("teach the matrix the ids of {other}, for {}", operation.path),
        };
        let asks = ids.into_iter().map(|(id, owner)| Ask {
            path: parameters
                .first()
                .map_or(operation.path.clone(), |name| operation.path.replace(name, &id)),
            body: self.body(operation, &id),
            owner,
            unknown: Some(NOT_FOUND),
        });
        asks.collect()
    }

    /// The id of each till's, one of nobody's, and two that are none.
    fn each(&self, id: impl Fn(&SignedBody) -> Uuid) -> Vec<(String, Owner)> {
        let owned = self
            .sales
            .iter()
            .enumerate()
            .map(|(till, sale)| (id(sale).to_string(), Owner::Till(till)));
        let mut ids: Vec<(String, Owner)> = owned.collect();
        for stranger in [Uuid::from_u128(7).to_string(), "7".to_owned(), "%ff".to_owned()] {
            ids.push((stranger, Owner::Nobody));
        }
        ids
    }

    /// Row ids that an administrator may see, one of nothing, and some that are none.
    fn rows(&self, ids: Vec<i64>) -> Vec<(String, Owner)> {
        let seen = ids.into_iter().map(|id| (id.to_string(), Owner::Everyone));
        let none = ["999999", "0", "x", "%ff"].map(|id| (id.to_owned(), Owner::Nobody));
        seen.chain(none).collect()
    }

    /// The secrets that give a token: right ones, and ones of another till.
    fn tries(&self, operation: &Operation) -> Vec<Ask> {
        let (right, wrong, code) = if operation.id() == "logIn" {
            let body = |key: &str| json!({ "serial_number": self.tills[0].serial_number, "api_key": key });
            (body(KEY), body("another key"), "authentication_failed")
        } else {
            let body = |serial: &str| {
                json!({
                    "enrolment_code": self.enrolment_code,
                    "serial_number": serial,
                    "registration_id": Uuid::from_u128(11),
                })
            };
            (
                body(NEW_SERIAL),
                body(&self.tills[0].serial_number),
                "enrolment_refused",
            )
        };
        let ask = |body: &Value, owner| Ask {
            path: operation.path.clone(),
            body: Some(body.to_string()),
            owner,
            unknown: Some((401, code)),
        };
        vec![ask(&right, Owner::Everyone), ask(&wrong, Owner::Nobody)]
    }

    /// A body that the operation takes, new each time.
    fn body(&self, operation: &Operation, id: &str) -> Option<String> {
        if !operation.takes_a_body() {
            return None;
        }
        match operation.id() {
            "checksumSandbox" | "heartbeat" | "revokeToken" => Some("{}".to_owned()),
            "createTenant" => {
                Some(r#"{"code":"C-M","name":"of the matrix","company_code":"C-1"}"#.to_owned())
            }
            "changeTenant" => Some(r#"{"name":"of the matrix"}"#.to_owned()),
            "createTerminal" | "enrol" => {
                let body = json!({
                    "tenant_id": self.tills[0].tenant_id,
                    "serial_number": format!("SN-{}", operation.id()),
                });
                Some(body.to_string())
            }
            "changeTerminal" => Some(r#"{"expires_at":null}"#.to_owned()),
            "setTerminalKey" => Some(json!({ "api_key": KEY }).to_string()),
            "issueToken" => {
                Some(json!({ "terminal_id": self.tills[0].terminal_id, "name": "x" }).to_string())
            }
            "giveLimitOrder" => Some(
                json!({
                    "order": "allow",
                    "subject": format!("tenant:{}", self.tills[0].tenant_id),
                    "owner": "the matrix",
                    "reason": "of the matrix",
                    "ends_at": Timestamp::now().plus(Duration::from_secs(3600)).to_string(),
                })
                .to_string(),
            ),
            "createSink" => {
                let wish = json!({
                    "name": "of-the-matrix",
                    "tenant_id": self.tills[0].tenant_id,
                    "environment": "test",
                    "endpoint": "https://mall.example/in",
                });
                Some(wish.to_string())
            }
            "addSinkSecret" => Some(r#"{"scheme":"ed25519"}"#.to_owned()),
            "retireSinkSecrets" => Some(r#"{"keep":"newest"}"#.to_owned()),
            "changeSink" => Some(r#"{"batch_size":7}"#.to_owned()),
            "startRedrive" => {
                Some(r#"{"kind":"retry","where":"id=999999","reason":"of the matrix"}"#.to_owned())
            }
            "resumeRedrive" => Some(r#"{"rate":7}"#.to_owned()),
            "forceBreaker" => Some(
                json!({
                    "state": "closed",
                    "owner": "the matrix",
                    "reason": "of the matrix",
                    "ends_at": Timestamp::now().plus(Duration::from_secs(3600)).to_string(),
                })
                .to_string(),
            ),
            "voidSale" => Some(void(id)),
            "refundSale" => Some(r#"{"refund_amount":"0.01","refund_reason":"of the matrix"}"#.to_owned()),
            other => panic!("teach the matrix a body for {other}"),
        }
    }

    /// New sales of every till, of a terminal that is none, and of one that cannot be.
    fn submissions(&self, operation: &Operation) -> Vec<Ask> {
        let next = || self.seeds.fetch_add(1, Ordering::Relaxed);
        let ask = |body: String, owner, unknown| Ask {
            path: operation.path.clone(),
            body: Some(body),
            owner,
            unknown: Some(unknown),
        };
        let text = |till: &SimTerminal| String::from_utf8(made(till, next()).body.to_vec()).unwrap();
        let mut asks: Vec<Ask> = self
            .tills
            .iter()
            .enumerate()
            .map(|(place, till)| ask(text(till), Owner::Till(place), NOT_YOURS))
            .collect();
        let nobody = SimTerminal {
            terminal_id: 999_999,
            ..self.tills[0].clone()
        };
        asks.push(ask(text(&nobody), Owner::Nobody, NOT_YOURS));
        let mut none = value(&made(&self.tills[0], next()));
        none["terminal_id"] = "x".into();
        asks.push(ask(sign(none, Version::V21), Owner::Nobody, MALFORMED));
        asks
    }

    /// An answer names nothing of a till that is not the caller's, but what the caller named itself. An
    /// administrator may see tills, but no secrets.
    pub(super) fn assert_nothing_leaks(&self, answer: &Answer, caller: &Caller, ask: &Ask, case: &str) {
        let named = |secret: &&String| {
            ask.path.contains(*secret) || ask.body.as_ref().is_some_and(|body| body.contains(*secret))
        };
        for (place, (till, sale)) in self.tills.iter().zip(&self.sales).enumerate() {
            if caller.till == Some(place) {
                continue;
            }
            let mut secrets = vec![
                till.token.clone(),
                sale.submission_uuid.to_string(),
                sale.sales[0].transaction_id.to_string(),
            ];
            if !caller.may(ability::ADMIN_TERMINALS) {
                secrets.push(till.serial_number.clone());
            }
            for secret in secrets.iter().filter(|secret| !named(secret)) {
                assert!(
                    !answer.text.contains(secret),
                    "{case}: {secret} of till {place} is in {answer:?}"
                );
            }
        }
    }
}

/// A void that is right in all but, perhaps, the id.
fn void(id: &str) -> String {
    let reason = "of the matrix";
    let checksum = void_checksum(Uuid::parse_str(id).unwrap_or_default(), reason);
    let body = json!({
        "transaction_id": id,
        "void_reason": reason,
        "payload_checksum": data_encoding::HEXLOWER.encode(&checksum),
    });
    body.to_string()
}

fn made(till: &SimTerminal, seed: u64) -> SignedBody {
    sale(till, Version::V21, seed)
}
