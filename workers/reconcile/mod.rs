//! Reconciliation: compares what a web application holds of a day with what it should hold, tenant by
//! tenant, and follows a difference down to the sales.
//!
//! The record is read in passes over the ids around the day, so that it needs no index of its own: a first
//! pass adds up every tenant, a second one keeps the sales of those that differ. What is told as a
//! difference was looked at again on both sides: a sale under way is none.

mod client;
mod confirm;
mod descent;
mod parts;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use client::{Range, Scope, Sink};
use parts::{Part, part_of, parts, span};
use serde::Serialize;

use crate::{
    config::Config,
    domain::{
        control::{Delivery, HIGHEST_ID, Held, Standing, Totals},
        day::Day,
        egress::Policy,
        time::Timestamp,
    },
    store::{Store, StoreError},
};

pub use confirm::{Difference, Kind};

/// The ids of sales follow the time to within this.
const DISORDER: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A reconciliation cannot be finished.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The record.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sink has no address that control totals can be asked for at.
    #[error("there is no http or https address to ask: see forwarding.endpoint and reconcile.address")]
    NoAddress,
    /// No tenant has this id.
    #[error("no such tenant")]
    NoTenant,
    /// The time zone of a tenant is of no use.
    #[error("tenant {0}: {1}")]
    Zone(i64, String),
    /// The web application did not answer: why, as a word.
    #[error("the web application did not answer: {0}")]
    NoAnswer(&'static str),
    /// It answered, but not with totals.
    #[error("the web application answered {0}: does it speak control totals, and is the token right?")]
    Status(u16),
    /// Its answer breaks the contract.
    #[error("the answer of the web application cannot be used: {0}")]
    Answer(String),
    /// A bound of the settings was reached.
    #[error("{0}")]
    Bound(&'static str),
    /// The client cannot be made.
    #[error("{0}")]
    Setup(String),
}

/// What is to be compared.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The business day, by each tenant's own time zone.
    pub day: Day,
    /// One tenant only.
    pub tenant_id: Option<i64>,
}

/// One tenant's day on both sides.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The tenant.
    pub tenant_id: i64,
    /// Its code.
    pub tenant: String,
    /// Sales that the web application should hold.
    pub sales: u64,
    /// Their sum.
    pub amount: String,
    /// What they are worth in effect.
    pub net: String,
    /// Sales that it holds.
    pub sink_sales: u64,
    /// Their sum.
    pub sink_amount: String,
    /// What they are worth in effect.
    pub sink_net: String,
    /// Whether the digests are equal too.
    pub equal: bool,
    /// Sales with a delivery under way when the record was read.
    pub under_way: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Every tenant with sales on either side, by id.
    pub tenants: Vec<Compared>,
    /// Every difference that is none of the moment, by tenant and id.
    pub differences: Vec<Difference>,
    /// Sales that differed only because their delivery is under way.
    pub under_way: u64,
    /// Requests sent.
    pub requests: usize,
}

/// One run.
struct Run<'a> {
    store: &'a Store,
    config: &'a Config,
    sink: Sink,
    /// Ids around the day.
    ids: (i64, i64),
    requests: usize,
}

/// Compares a day.
///
/// # Errors
/// See [`Problem`]; nothing was changed on either side.
pub async fn run(store: &Store, config: &Config, wanted: Wanted) -> Result<Report, Problem> {
    let forwarding = &config.forwarding;
    let sink = Sink::new(
        &config.reconcile,
        &forwarding.endpoint,
        &forwarding.token,
        forwarding.connect_timeout_ms.duration(),
        Policy {
            allow: config.egress.allow.clone(),
            private: forwarding.allow_private,
        },
    )?;
    let mut parts = parts(store, wanted).await?;
    let Some((from, to)) = span(&parts) else {
        return Ok(Report::default());
    };
    // A till's clock may be ahead: up to a day is allowed for.
    let late = DAY.saturating_mul(config.reconcile.late_days);
    let after = store.sales_before(from.minus(DAY + DISORDER)).await?;
    let up_to = if to.plus(late + DISORDER) < Timestamp::now() {
        store.sales_before(to.plus(late + DISORDER)).await?
    } else {
        store.last_sale_id().await?
    };
    let run = Run {
        store,
        config,
        sink,
        ids: (after, up_to),
        requests: 0,
    };
    run.add_up(&mut parts, (from, to)).await?;
    run.compare(parts, (from, to)).await
}

impl Run<'_> {
    /// Calls `visit` with every valid sale of these times, in order of id.
    async fn each(
        &self,
        times: (Timestamp, Timestamp),
        mut visit: impl FnMut(&Delivery) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let (mut after, end) = self.ids;
        // Ends: every turn moves `after` on by a page.
        while after < end {
            let up_to = after.saturating_add(self.config.reconcile.page).min(end);
            for delivery in self.store.deliveries_between((after, up_to), times).await? {
                visit(&delivery)?;
            }
            after = up_to;
        }
        Ok(())
    }

    /// The first pass: the totals of every tenant.
    async fn add_up(
        &self,
        parts: &mut HashMap<i64, Part>,
        times: (Timestamp, Timestamp),
    ) -> Result<(), Problem> {
        let most = self.config.reconcile.max_differences;
        self.each(times, |delivery| {
            let Some(part) = part_of(parts, delivery) else {
                return Ok(());
            };
            match delivery.standing() {
                Standing::Holds(held) => part.tally.push(&held),
                Standing::UnderWay => part.under_way += 1,
                Standing::GivenUp if part.given_up.len() < most => part.given_up.push(delivery.newest.id),
                Standing::GivenUp => return Err(TOO_MANY),
                Standing::Nothing => {}
            }
            Ok(())
        })
        .await
    }

    /// Asks the web application about every tenant, and looks closer at those that differ.
    async fn compare(
        mut self,
        parts: HashMap<i64, Part>,
        times: (Timestamp, Timestamp),
    ) -> Result<Report, Problem> {
        let mut report = Report::default();
        let mut differing: Vec<(Part, Totals)> = Vec::new();
        let mut ordered: Vec<Part> = parts.into_values().collect();
        ordered.sort_by_key(|part| part.tenant.id);
        for part in ordered {
            let ours = part.tally.totals();
            let all = Range {
                after: 0,
                up_to: HIGHEST_ID,
            };
            let theirs = self.ask_one(part.scope, all, 0).await?.totals;
            let equal = ours == theirs;
            if ours.count + theirs.count + part.under_way > 0 || !part.given_up.is_empty() {
                report.tenants.push(Compared {
                    tenant_id: part.tenant.id,
                    tenant: part.tenant.code.clone(),
                    sales: ours.count,
                    amount: ours.amount.to_string(),
                    net: ours.net.to_string(),
                    sink_sales: theirs.count,
                    sink_amount: theirs.amount.to_string(),
                    sink_net: theirs.net.to_string(),
                    equal,
                    under_way: part.under_way,
                });
            }
            confirm::given_up(&self, &part, &mut report).await?;
            if !equal {
                differing.push((part, theirs));
            }
        }
        self.look_closer(differing, times, &mut report).await?;
        report.requests = self.requests;
        report.differences.sort_by_key(|one| (one.tenant_id, one.tsms_id));
        report.differences.dedup();
        Ok(report)
    }

    /// The second pass: as many differing tenants at a time as may be kept in memory.
    async fn look_closer(
        &mut self,
        differing: Vec<(Part, Totals)>,
        times: (Timestamp, Timestamp),
        report: &mut Report,
    ) -> Result<(), Problem> {
        let hold = self.config.reconcile.hold;
        let size = |part: &Part| usize::try_from(part.tally.totals().count).unwrap_or(usize::MAX);
        let mut waiting = differing.into_iter().peekable();
        while let Some((part, theirs)) = waiting.next() {
            let mut kept = size(&part);
            let mut group = vec![(part, theirs)];
            while let Some((next, _)) = waiting.peek() {
                kept = kept.saturating_add(size(next));
                if kept > hold {
                    break;
                }
                group.extend(waiting.next());
            }
            self.look_at(group, times, report).await?;
        }
        Ok(())
    }

    async fn look_at(
        &mut self,
        group: Vec<(Part, Totals)>,
        times: (Timestamp, Timestamp),
        report: &mut Report,
    ) -> Result<(), Problem> {
        let hold = self.config.reconcile.hold;
        let mut kept = 0;
        let mut parts: HashMap<i64, Part> = HashMap::new();
        let mut theirs: BTreeMap<i64, Totals> = BTreeMap::new();
        for (part, totals) in group {
            theirs.insert(part.tenant.id, totals);
            parts.insert(part.tenant.id, part);
        }
        let mut ours: HashMap<i64, Vec<Held>> = HashMap::new();
        self.each(times, |delivery| {
            if let Some(part) = part_of(&mut parts, delivery)
                && let Standing::Holds(held) = delivery.standing()
            {
                kept += 1;
                if kept > hold {
                    return Err(Problem::Bound(
                        "a tenant has more sales in the day than reconcile.hold allows to keep in memory",
                    ));
                }
                ours.entry(part.tenant.id).or_default().push(held);
            }
            Ok(())
        })
        .await?;
        for (tenant_id, totals) in theirs {
            let Some(part) = parts.get(&tenant_id) else {
                continue;
            };
            let ours = ours.remove(&tenant_id).unwrap_or_default();
            let suspects = descent::suspects(self, part.scope, &ours, totals).await?;
            confirm::suspects(self, part.scope, &suspects, report).await?;
        }
        Ok(())
    }

    /// Asks about ranges, as many at a time as one request may have.
    async fn ask(
        &mut self,
        scope: Scope,
        ranges: &[Range],
        list: usize,
    ) -> Result<Vec<client::Said>, Problem> {
        let mut said = Vec::with_capacity(ranges.len());
        for ranges in ranges.chunks(self.config.reconcile.fan_out.max(1)) {
            if self.requests >= self.config.reconcile.max_requests {
                return Err(Problem::Bound(
                    "more requests than reconcile.max_requests allows; name one tenant",
                ));
            }
            self.requests += 1;
            said.extend(self.sink.ask(scope, ranges, list).await?);
        }
        Ok(said)
    }

    async fn ask_one(&mut self, scope: Scope, range: Range, list: usize) -> Result<client::Said, Problem> {
        let said = self.ask(scope, &[range], list).await?;
        said.into_iter()
            .next()
            .ok_or_else(|| Problem::Answer("no range".to_owned()))
    }
}

/// More differences than are worth telling one by one.
const TOO_MANY: Problem = Problem::Bound(
    "more differences than reconcile.max_differences: this is no slip, the web application holds something \
     else altogether (or name one tenant)",
);
