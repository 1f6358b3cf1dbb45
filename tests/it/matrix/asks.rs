//! What is asked for: for every operation one request of each kind of id.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tsms::{
    domain::{checksum::Version, payload::void_checksum},
    standin::sim::{SignedBody, SimTerminal},
};
use uuid::Uuid;

use super::callers::Caller;
use crate::{
    bodies::{sale, sign, value},
    contract::Operation,
    world::{Answer, World},
};

const NOT_FOUND: (u16, &str) = (404, "not_found");
const NOT_YOURS: (u16, &str) = (403, "terminal_mismatch");
const MALFORMED: (u16, &str) = (422, "invalid_fields");

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

/// What is there to ask for: a sale of each till.
pub(super) struct Scene {
    tills: Vec<SimTerminal>,
    sales: Vec<SignedBody>,
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
        }
        world.drain().await;
        Self {
            tills: world.tills.clone(),
            sales,
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
        if operation.id() == "submitSales" {
            return self.submissions(operation);
        }
        let ids: Vec<(String, Owner)> = match (parameters.is_empty(), before) {
            (true, _) => vec![(String::new(), Owner::Everyone)],
            (false, "transactions") => self.each(|sale| sale.sales[0].transaction_id),
            (false, "submissions") => self.each(|sale| sale.submission_uuid),
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

    /// A body that the operation takes, new each time.
    fn body(&self, operation: &Operation, id: &str) -> Option<String> {
        if !operation.takes_a_body() {
            return None;
        }
        match operation.id() {
            "checksumSandbox" | "heartbeat" => Some("{}".to_owned()),
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

    /// An answer names nothing of a till that is not the caller's, but what the caller named itself.
    pub(super) fn assert_nothing_leaks(&self, answer: &Answer, caller: Option<usize>, ask: &Ask, case: &str) {
        for (place, (till, sale)) in self.tills.iter().zip(&self.sales).enumerate() {
            if caller == Some(place) {
                continue;
            }
            let secrets = [
                till.serial_number.clone(),
                till.token.clone(),
                sale.submission_uuid.to_string(),
                sale.sales[0].transaction_id.to_string(),
            ];
            for secret in secrets.iter().filter(|secret| !ask.path.contains(*secret)) {
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
