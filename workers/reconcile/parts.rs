//! The tenants that take part, each with its own day.

use std::collections::HashMap;

use super::{Problem, Wanted, client::Scope};
use crate::{
    domain::{
        control::{Delivery, Tally},
        directory::Tenant,
        time::Timestamp,
    },
    store::Store,
};

/// Tenants read in one page, and most pages of them.
const TENANTS: usize = 1000;
const TENANT_PAGES: usize = 1000;

/// A tenant's part of the day, and what the record has of it.
pub(super) struct Part {
    pub(super) tenant: Tenant,
    pub(super) scope: Scope,
    /// Of the sales that the web application should hold.
    pub(super) tally: Tally,
    pub(super) under_way: u64,
    pub(super) given_up: Vec<i64>,
}

/// The tenants that are meant, each with the bounds of the day in its time zone.
pub(super) async fn parts(store: &Store, wanted: Wanted) -> Result<HashMap<i64, Part>, Problem> {
    let mut parts = HashMap::new();
    let mut after = 0;
    for _ in 0..TENANT_PAGES {
        let page = store.list_tenants(after, TENANTS).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for tenant in page {
            if wanted.tenant_id.is_some_and(|id| id != tenant.id) {
                continue;
            }
            let (from, to) = (wanted.day.bounds(&tenant.timezone))
                .map_err(|error| Problem::Zone(tenant.id, error.to_string()))?;
            let part = Part {
                scope: Scope {
                    tenant_id: tenant.id,
                    from,
                    to,
                },
                tenant,
                tally: Tally::default(),
                under_way: 0,
                given_up: Vec::new(),
            };
            parts.insert(part.tenant.id, part);
        }
    }
    if parts.is_empty() && wanted.tenant_id.is_some() {
        return Err(Problem::NoTenant);
    }
    Ok(parts)
}

/// From the first to the last instant that any tenant calls this day.
pub(super) fn span(parts: &HashMap<i64, Part>) -> Option<(Timestamp, Timestamp)> {
    let from = parts.values().map(|part| part.scope.from).min()?;
    let to = parts.values().map(|part| part.scope.to).max()?;
    Some((from, to))
}

/// The part that a sale belongs to, if it is of that tenant's day.
pub(super) fn part_of<'p>(parts: &'p mut HashMap<i64, Part>, delivery: &Delivery) -> Option<&'p mut Part> {
    let part = parts.get_mut(&delivery.tenant_id)?;
    let of_the_day = part.scope.from <= delivery.sold_at && delivery.sold_at < part.scope.to;
    of_the_day.then_some(part)
}
