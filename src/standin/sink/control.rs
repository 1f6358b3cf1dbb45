//! The stand-in's side of a reconciliation: totals, and lists, of ranges of a tenant's sales.

use serde::{Deserialize, Serialize};

use super::ledger::{Entry, Ledger};
use crate::domain::{
    control::{Held, Tally},
    money::Money,
    time::Timestamp,
};

/// Most ranges in one request.
const RANGES: usize = 500;
/// Most sales listed in one answer, whatever is asked for.
const LISTED: usize = 5000;

/// A request for control totals.
#[derive(Deserialize)]
pub(super) struct Asked {
    schema_version: String,
    source: String,
    tenant_id: i64,
    from: String,
    to: String,
    ranges: Vec<Range>,
    /// Sales to list of each range; none where it is missing.
    #[serde(default)]
    list: usize,
}

/// Ids above `after` and up to `up_to`.
#[derive(Clone, Copy, Deserialize)]
struct Range {
    after: i64,
    up_to: i64,
}

#[derive(Serialize)]
pub(super) struct Told {
    ranges: Vec<RangeTold>,
}

#[derive(Serialize)]
struct RangeTold {
    after: i64,
    up_to: i64,
    count: u64,
    amount: String,
    net: String,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Listed>>,
}

#[derive(Serialize)]
struct Listed {
    tsms_id: i64,
    amount: Money,
    refunded: Money,
    status: &'static str,
}

/// Answers from the ledger, or says what is wrong with the request.
pub(super) fn answer(ledger: &Ledger, asked: &Asked) -> Result<Told, String> {
    if asked.schema_version != "2.0" || asked.source != "TSMS" {
        return Err("schema_version or source is not the one of the contract".to_owned());
    }
    let time = |name: &str, text: &str| {
        Timestamp::parse(text)
            .ok()
            .filter(|time| time.to_rfc3339(3) == text)
            .ok_or_else(|| format!("{name} is not UTC with milliseconds"))
    };
    let (from, to) = (time("from", &asked.from)?, time("to", &asked.to)?);
    if asked.ranges.is_empty() || asked.ranges.len() > RANGES {
        return Err(format!("ranges is not a list of 1 to {RANGES}"));
    }
    let mut room = LISTED;
    let meant =
        |entry: &&Entry| entry.tenant_id == asked.tenant_id && entry.sold_at >= from && entry.sold_at < to;
    let ranges = (asked.ranges.iter()).map(|range| {
        let mut tally = Tally::default();
        let mut items = Vec::new();
        for entry in ledger.between(range.after, range.up_to).filter(meant) {
            let held = Held {
                id: entry.tsms_id,
                amount: entry.amount,
                refunded: entry.refunded,
                voided: entry.voided,
            };
            tally.push(&held);
            if items.len() < asked.list && room > 0 {
                room -= 1;
                items.push(Listed {
                    tsms_id: held.id,
                    amount: held.amount,
                    refunded: held.refunded,
                    status: held.status(),
                });
            }
        }
        let totals = tally.totals();
        RangeTold {
            after: range.after,
            up_to: range.up_to,
            count: totals.count,
            amount: totals.amount.to_string(),
            net: totals.net.to_string(),
            digest: data_encoding::HEXLOWER.encode(&totals.digest),
            items: (asked.list > 0).then_some(items),
        }
    });
    Ok(Told {
        ranges: ranges.collect(),
    })
}
