//! Rate limits on the way in: whose buckets a request is counted in, the 429, and the header fields
//! `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
//!
//! A caller cannot choose a bucket: the terminal and its tenant come from the token, an address from
//! the connection.

use std::{
    fmt::Write as _,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

use super::{App, caller::Till, error::Error};
use crate::{
    config,
    domain::{orders::Subject, time::Timestamp},
    limits::{Bucket, Class, Decision, Standing},
    telemetry::metrics,
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// Where a request keeps what was decided about it, for the headers of its answer.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<OnceLock<HeaderValues>>);

struct HeaderValues {
    policy: HeaderValue,
    standing: HeaderValue,
}

impl Slot {
    /// Puts the fields on an answer, if the request was counted.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        if let Some(values) = self.0.get() {
            headers.insert(POLICY, values.policy.clone());
            headers.insert(STANDING, values.standing.clone());
        }
    }
}

/// Turns away who asks from an address that an order of a person keeps out.
pub(super) fn address(app: &App, client: IpAddr) -> Result<(), Error> {
    let now = Timestamp::now();
    match app.orders.blocked(Subject::Address(client), now) {
        Some(end) => Err(Error::Blocked {
            retry_after: app.retry_after.about(end.since(now)),
        }),
        None => Ok(()),
    }
}

/// Counts a request of a till: its own bucket, its tenant's and everybody's, all or none. An order of
/// a person keeps it out, or lets it through its own buckets.
pub(super) async fn till(app: &App, till: &Till, extensions: &Extensions) -> Result<(), Error> {
    let (tenant, terminal) = (till.tenant.id, till.terminal.id);
    let subjects = [Subject::Terminal(terminal), Subject::Tenant(tenant)];
    let now = Timestamp::now();
    let ends = subjects.iter().filter_map(|one| app.orders.blocked(*one, now));
    if let Some(end) = ends.max() {
        return Err(Error::Blocked {
            retry_after: app.retry_after.about(end.since(now)),
        });
    }
    let own = [Bucket::terminal(tenant, terminal), Bucket::tenant(tenant)];
    let own = own.into_iter().zip(subjects);
    let held = own.filter(|(_, one)| !app.orders.allowed(*one, now));
    let mut buckets: Vec<Bucket> = held.map(|(bucket, _)| bucket).collect();
    buckets.push(Bucket::global());
    count(app, &buckets, extensions).await
}

/// Counts a try to get a token: by the address it comes from and by the till it is about, before
/// anything secret of it is looked at. An address may be kept out, or let through, by an order.
pub(super) async fn attempt(
    app: &App,
    client: IpAddr,
    serial: &str,
    extensions: &Extensions,
) -> Result<(), Error> {
    address(app, client)?;
    let mut buckets = vec![Bucket::auth_serial(serial)];
    if !app.orders.allowed(Subject::Address(client), Timestamp::now()) {
        buckets.push(Bucket::auth_address(client));
    }
    count(app, &buckets, extensions).await
}

/// Counts a call of a token to an endpoint that steers what the whole fleet does.
pub(super) async fn control(app: &App, token: i64, extensions: &Extensions) -> Result<(), Error> {
    count(app, &[Bucket::control(token)], extensions).await
}

async fn count(app: &App, buckets: &[Bucket], extensions: &Extensions) -> Result<(), Error> {
    let decision = app.limiter.check(buckets).await;
    if let Some(slot) = extensions.get::<Slot>() {
        tell(slot, &decision, &app.config.limits);
    }
    let Some(full) = decision.full.first().and_then(|place| buckets.get(*place)) else {
        return Ok(());
    };
    metrics::rate_limited(full.class.name());
    app.refusals.note(*full);
    Err(Error::RateLimited {
        limit: full.class.name(),
        retry_after: app.retry_after.about(decision.wait()),
    })
}

fn tell(slot: &Slot, decision: &Decision, settings: &config::Limits) {
    let shown = decision
        .standings
        .iter()
        .enumerate()
        .filter_map(|(place, standing)| {
            // How busy the others are is nobody's business, unless it is why he is refused.
            let shown = standing.class != Class::Global || decision.full.contains(&place);
            shown.then_some(standing)
        });
    let (mut policy, mut standing) = (String::new(), String::new());
    for one in shown {
        if write_member(&mut policy, &mut standing, one, settings).is_err() {
            return;
        }
    }
    if let (Ok(policy), Ok(standing)) = (HeaderValue::try_from(policy), HeaderValue::try_from(standing))
        && slot.0.set(HeaderValues { policy, standing }).is_err()
    {
        tracing::debug!("a request was counted twice; its answer tells of the first time");
    }
}

fn write_member(
    policy: &mut String,
    standing: &mut String,
    one: &Standing,
    settings: &config::Limits,
) -> std::fmt::Result {
    let comma = if policy.is_empty() { "" } else { ", " };
    let name = one.class.name();
    let rule = settings.policy(one.class);
    let window = rule.period_ms.duration().as_secs().max(1);
    write!(policy, "{comma}\"{name}\";q={};w={window}", rule.quota)?;
    write!(standing, "{comma}\"{name}\";r={}", one.remaining)?;
    if one.next_free.is_zero() {
        return Ok(());
    }
    // Rounded up: who comes back then finds the place.
    let seconds = one.next_free.as_millis().div_ceil(1000);
    write!(standing, ";t={seconds}")
}
