//! Who posts and what: terminals registered quickly, sales signed before the clock runs.

use std::num::NonZero;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use rand::{RngExt as _, rngs::StdRng};
use uuid::Uuid;

use super::{BenchError, client};
use crate::{
    credentials::{Credentials, Wish},
    domain::{checksum::Version, time::Timestamp},
    standin::sim::{Kind, SUBMIT_PATH, SimTerminal, make_sale},
    store::{NewTerminal, Store},
};

/// Registrations under way at the same time.
const PARALLEL: usize = 8;

/// Registers `count` terminals of `tenants` tenants, each with a token.
pub(super) async fn register(
    store: &Store,
    credentials: &Credentials,
    tenants: usize,
    count: usize,
) -> Result<Vec<SimTerminal>, BenchError> {
    let company = store.ensure_company("BENCH", "Bench").await?;
    let mut shops = Vec::with_capacity(tenants);
    for number in 0..tenants {
        let code = format!("B-{number:05}");
        shops.push(
            store
                .create_tenant(company, &code, "A shop", "Asia/Manila")
                .await?,
        );
    }
    let tills = shops
        .iter()
        .cycle()
        .take(count)
        .enumerate()
        .map(async |(number, shop)| {
            let serial_number = format!("SN-{number:06}");
            let terminal = store
                .create_terminal(&NewTerminal {
                    tenant_id: shop.id,
                    serial_number: serial_number.clone(),
                    callback_url: None,
                    expires_at: None,
                })
                .await?;
            let wish = Wish {
                terminal_id: Some(terminal.id),
                name: "bench".to_owned(),
                ..Wish::default()
            };
            let (_, token) = credentials.issue(wish).await?;
            Ok::<_, BenchError>(SimTerminal {
                terminal_id: terminal.id,
                tenant_id: shop.id,
                serial_number,
                customer_code: shop.code.clone(),
                token,
            })
        });
    stream::iter(tills).buffer_unordered(PARALLEL).try_collect().await
}

/// A request that is ready to be sent.
pub(super) struct Request {
    /// Head and body.
    pub(super) bytes: Box<[u8]>,
    /// The first sale in it.
    pub(super) sale: Uuid,
    /// Whose it is: an index into the terminals.
    pub(super) till: usize,
}

/// Signs `count` submissions of `items` sales each, on every core, and keeps them in memory.
pub(super) fn sign(tills: &[SimTerminal], count: usize, items: usize) -> Result<Vec<Request>, BenchError> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = count.div_ceil(threads).max(1);
    let parts: Result<Vec<Vec<Request>>, BenchError> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..count)
            .step_by(share)
            .map(|from| scope.spawn(move || sign_some(tills, share.min(count - from), items)))
            .collect();
        let ended = running.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended
            .map(|part| part.unwrap_or(Err(BenchError::Broken)))
            .collect()
    });
    Ok(parts?.into_iter().flatten().collect())
}

fn sign_some(tills: &[SimTerminal], count: usize, items: usize) -> Result<Vec<Request>, BenchError> {
    let mut rng: StdRng = rand::make_rng();
    let now = Timestamp::now();
    let mut requests = Vec::with_capacity(count);
    for _ in 0..count {
        let till = rng.random_range(0..tills.len().max(1));
        let Some(terminal) = tills.get(till) else { break };
        let version = match rng.random_range(0..10) {
            0..3 => Version::V1,
            3..6 => Version::V20,
            _ => Version::V21,
        };
        let kind = Kind {
            version,
            items,
            flawed: false,
        };
        let signed = make_sale(terminal, kind, rng.random(), now)?;
        requests.push(Request {
            bytes: client::post(SUBMIT_PATH, Some(&terminal.token), &signed.body).into(),
            sale: signed
                .sales
                .first()
                .map(|sale| sale.transaction_id)
                .unwrap_or_default(),
            till,
        });
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_submission_asked_for_is_signed_once() {
        let till = SimTerminal {
            terminal_id: 1,
            tenant_id: 1,
            serial_number: "SN".to_owned(),
            customer_code: "C".to_owned(),
            token: "secret".to_owned(),
        };
        for count in [0, 1, 2, 7, 100] {
            let requests = sign(std::slice::from_ref(&till), count, 1).unwrap();
            let sales: HashSet<Uuid> = requests.iter().map(|request| request.sale).collect();
            assert_eq!((requests.len(), sales.len()), (count, count));
        }
        let request = sign(&[till], 1, 2).unwrap().remove(0);
        let text = String::from_utf8(request.bytes.into_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("authorization: Bearer secret"), "{head}");
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{head}"
        );
    }
}
