//! What is wrong now, as far as people want to be told of it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{
    config,
    domain::{
        alert::{AlertKind, Finding},
        breaker::with_untouched,
        time::Timestamp,
    },
    queue::{Queue, QueueError},
    stage::Stage,
    store::{Decided, FailedBatch, Store, StoreError},
};

/// Breakers looked at; more than there are sinks.
const MOST_BREAKERS: usize = 1000;
/// Security events looked at, of this hour and the one before.
const MOST_EVENTS: usize = 1000;
const MICROS_PER_HOUR: i64 = 3_600_000_000;
/// One of these is one too many: a credential is in two hands.
const AT_ONCE: [&str; 2] = ["token_reuse", "enrolment_reuse"];
/// The ids of sales follow the time to within this.
const DISORDER: Duration = Duration::from_secs(120);
/// Parts into which the window is cut: failures leave it one part at a time.
const PARTS: u32 = 12;

/// The record or a queue could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unseen {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Decided sales within the window, read once each in order of id.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// The last id that was read; `None` before the first round.
    cursor: Option<i64>,
    parts: VecDeque<Part>,
}

#[derive(Debug, Default)]
struct Part {
    began: Option<Timestamp>,
    terminals: BTreeMap<i64, (u64, u64)>,
    batches: BTreeMap<i64, (i64, u64)>,
}

impl Part {
    fn add(&mut self, decided: &[Decided], failed: &[FailedBatch]) {
        for one in decided {
            let entry = self.terminals.entry(one.terminal_id).or_default();
            entry.0 += one.sales;
            entry.1 += one.invalid;
        }
        for one in failed {
            self.batches
                .entry(one.submission_id)
                .or_insert((one.terminal_id, 0))
                .1 += one.invalid;
        }
    }
}

impl Recent {
    /// Reads what came since the last round, within bounds; the rest is read in the next one.
    async fn read(
        &mut self,
        store: &Store,
        settings: &config::Alerts,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let window = settings.window_ms.duration();
        let since = now.minus(window);
        let settled = now.minus(settings.settle_ms.duration());
        let mut cursor = match self.cursor {
            Some(cursor) => cursor,
            None => store.sales_before(since.minus(DISORDER)).await?,
        };
        let end = store.sales_before(settled).await?;
        self.parts
            .retain(|part| part.began.is_some_and(|began| began > since));
        let fresh = self.parts.back().and_then(|part| part.began);
        if fresh.is_none_or(|began| began.plus(window / PARTS) <= now) {
            self.parts.push_back(Part {
                began: Some(now),
                ..Part::default()
            });
        }
        for _ in 0..settings.pages_per_round {
            if cursor >= end {
                break;
            }
            let span = (cursor, cursor.saturating_add(settings.page).min(end));
            let decided = store.decided_between(span, since).await?;
            let failed = if decided.iter().any(|one| one.invalid > 0) {
                store.failed_batches_between(span, since).await?
            } else {
                Vec::new()
            };
            if let Some(part) = self.parts.back_mut() {
                part.add(&decided, &failed);
            }
            cursor = span.1;
            self.cursor = Some(cursor);
        }
        self.cursor = Some(cursor);
        Ok(())
    }

    /// Terminals with too many failures, and batches.
    fn findings(&self, settings: &config::Alerts) -> Vec<Finding> {
        let mut terminals: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
        let mut batches: BTreeMap<i64, (i64, u64)> = BTreeMap::new();
        for part in &self.parts {
            for (id, (sales, invalid)) in &part.terminals {
                let entry = terminals.entry(*id).or_default();
                entry.0 += sales;
                entry.1 += invalid;
            }
            for (id, (terminal, invalid)) in &part.batches {
                batches.entry(*id).or_insert((*terminal, 0)).1 += invalid;
            }
        }
        let minutes = settings.window_ms.duration().as_secs() / 60;
        let of_terminals = terminals.into_iter().filter_map(|(id, (sales, invalid))| {
            let many = invalid >= settings.failures
                && invalid.saturating_mul(100) >= sales.saturating_mul(settings.failure_percent);
            many.then(|| Finding {
                kind: AlertKind::FailureRate,
                subject: format!("terminal:{id}"),
                summary: format!("{invalid} of {sales} sales within {minutes} minutes are invalid"),
            })
        });
        let of_batches = (batches.into_iter())
            .filter(|(_, (_, invalid))| *invalid >= settings.batch_failures)
            .map(|(id, (terminal, invalid))| Finding {
                kind: AlertKind::BatchFailure,
                subject: format!("submission:{id}"),
                summary: format!("{invalid} sales of one batch of terminal {terminal} are invalid"),
            });
        of_terminals.chain(of_batches).collect()
    }
}

/// Everything that is wrong now, of the kinds that could be looked at; those are given too.
pub(super) async fn now(
    store: &Store,
    queue: &Queue,
    settings: &config::Alerts,
    recent: &mut Recent,
) -> (Vec<AlertKind>, Vec<Finding>) {
    let unwanted = settings.unwanted();
    let (mut watched, mut findings) = (Vec::new(), Vec::new());
    let at = Timestamp::now();
    let counted = recent.read(store, settings, at).await;
    for kind in AlertKind::ALL
        .into_iter()
        .filter(|kind| !unwanted.contains(*kind))
    {
        let found = match kind {
            // Told by their own counts below.
            AlertKind::FailureRate | AlertKind::BatchFailure => match &counted {
                Ok(()) => Ok(recent.findings(settings)),
                Err(_) => continue,
            },
            AlertKind::BreakerOpen => breakers(store, at).await,
            AlertKind::BacklogAge => backlogs(queue, settings, at).await,
            AlertKind::Security => events(store, settings, at).await,
            AlertKind::SilentTerminal => silent(store, settings, at).await,
        };
        match found {
            Ok(found) => {
                watched.push(kind);
                findings.extend(found.into_iter().filter(|finding| finding.kind == kind));
            }
            Err(error) => tracing::warn!(kind = kind.word(), %error, "cannot look for alerts"),
        }
    }
    if let Err(error) = counted {
        tracing::warn!(%error, "cannot count failures for alerts");
    }
    (watched, findings)
}

async fn breakers(store: &Store, at: Timestamp) -> Result<Vec<Finding>, Unseen> {
    let breakers = with_untouched(store.breakers(MOST_BREAKERS).await?, Vec::new());
    let open = breakers
        .into_iter()
        .filter(|breaker| !breaker.stance(at).lets_through());
    Ok(open
        .map(|breaker| Finding {
            kind: AlertKind::BreakerOpen,
            subject: format!("sink:{}", breaker.sink),
            summary: format!("nothing is sent to {}: {}", breaker.sink, breaker.cause),
        })
        .collect())
}

async fn backlogs(queue: &Queue, settings: &config::Alerts, at: Timestamp) -> Result<Vec<Finding>, Unseen> {
    let most = settings.backlog_age_ms.duration();
    let mut found = Vec::new();
    for stage in Stage::ALL {
        let depth = queue.depth(stage).await?;
        let age = depth.oldest.map_or(Duration::ZERO, |oldest| at.since(oldest));
        if age >= most {
            found.push(Finding {
                kind: AlertKind::BacklogAge,
                subject: format!("queue:{stage}"),
                summary: format!(
                    "the oldest job has waited {} minutes; {} jobs wait",
                    age.as_secs() / 60,
                    depth.ready
                ),
            });
        }
    }
    Ok(found)
}

async fn events(store: &Store, settings: &config::Alerts, at: Timestamp) -> Result<Vec<Finding>, Unseen> {
    let hour = at.as_micros().div_euclid(MICROS_PER_HOUR);
    let rows = store.list_events(None, MOST_EVENTS).await?;
    Ok(rows
        .into_iter()
        .filter(|row| row.hour >= hour - 1)
        .filter(|row| row.count >= settings.security_events || AT_ONCE.contains(&row.kind.as_str()))
        .map(|row| Finding {
            kind: AlertKind::Security,
            subject: format!("{} {} {}", row.kind, row.subject, row.hour),
            summary: format!(
                "{} times, the last at {} from {}",
                row.count,
                row.last_at.to_rfc3339(0),
                if row.address.is_empty() {
                    "an unknown address"
                } else {
                    &row.address
                }
            ),
        })
        .collect())
}

async fn silent(store: &Store, settings: &config::Alerts, at: Timestamp) -> Result<Vec<Finding>, Unseen> {
    let before = at.minus(settings.silent_ms.duration());
    let terminals = store.silent_terminals(before, at, settings.most_open).await?;
    Ok(terminals
        .into_iter()
        .map(|terminal| Finding {
            kind: AlertKind::SilentTerminal,
            subject: format!("terminal:{}", terminal.id),
            summary: format!(
                "{} was last heard at {}",
                terminal.serial_number,
                terminal.last_seen_at.to_rfc3339(0)
            ),
        })
        .collect())
}
