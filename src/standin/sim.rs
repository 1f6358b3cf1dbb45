//! Simulated terminals that post real, correctly signed sales of both eras, and keep a ledger.
//!
//! Submissions start by an open-loop schedule: a slow ingress does not slow the tills down, and
//! their waiting counts as latency. A till never loses a sale: it sends the same bytes again on
//! connection errors, 408, 425, 429 and 5xx, honouring `Retry-After`, until it is told yes or no. Given the
//! same seed the sales are the same, apart from their times.

mod latency;
mod record;
mod report;
mod sale;
mod till;
mod void;
mod wire;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{
    record::Ledger,
    till::{Answer, Till},
};
use crate::domain::{checksum::Version, time::Timestamp};

pub use latency::Latency;
pub use record::{MadeReversal, Outcome, Record, read_ledger};
pub use report::SimReport;
pub use sale::{Kind, MOST_ITEMS, MadeSale, MakeError, SignedBody, SimTerminal, make_sale};
pub use till::RetryPolicy;

/// Path of the ingress that takes submissions.
pub const SUBMIT_PATH: &str = "/api/v1/transactions/official";

/// What to play. Shares are out of a thousand.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Where the ingress is, e.g. `http://127.0.0.1:8080`.
    pub ingress: String,
    /// Who posts; each submission picks one.
    pub terminals: Vec<SimTerminal>,
    /// Decides every random choice, ids included: played twice against the same record, the second
    /// time is a conflict.
    pub seed: u64,
    /// Submissions started in a second.
    pub rate: u32,
    /// Submissions in all.
    pub count: u64,
    /// How long submissions are started.
    pub duration: Duration,
    /// Most submissions under way; when reached, the next ones wait and their waiting counts.
    pub max_in_flight: usize,
    /// Share of submissions whose first sale breaks a business rule.
    pub flawed_share: u32,
    /// Share of submissions that are batches of 2 to 10 sales.
    pub batch_share: u32,
    /// Share of submissions of the seed era; the rest is v2.0 and v2.1, half each.
    pub seed_era_share: u32,
    /// Share of accepted submissions that are sent once more; the answer must be the same.
    pub replay_share: u32,
    /// Share of accepted submissions whose first sale is voided right away.
    pub void_share: u32,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// When a till tries again.
    pub retry: RetryPolicy,
    /// Most records kept in memory.
    pub ledger_capacity: usize,
    /// A file that every record is appended to, one JSON object a line.
    pub ledger_file: Option<PathBuf>,
}

impl SimOptions {
    /// A thousand sales at 50 a second, some of everything.
    #[must_use]
    pub fn new(ingress: String, terminals: Vec<SimTerminal>, seed: u64) -> Self {
        Self {
            ingress,
            terminals,
            seed,
            rate: 50,
            count: 1000,
            duration: Duration::from_secs(3600),
            max_in_flight: 256,
            flawed_share: 20,
            batch_share: 100,
            seed_era_share: 300,
            replay_share: 10,
            void_share: 0,
            request_timeout: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            ledger_capacity: 1_000_000,
            ledger_file: None,
        }
    }
}

/// The simulation cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// An option is out of range.
    #[error("{0}")]
    Options(&'static str),
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The ledger file cannot be written.
    #[error("cannot write the ledger file: {0}")]
    Ledger(#[from] io::Error),
    /// A sale cannot be made.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// A till ended by a defect of this program.
    #[error("a till broke: {0}")]
    Till(#[from] tokio::task::JoinError),
}

/// Live figures, readable while the simulation runs.
#[derive(Debug, Default)]
pub struct Counters {
    /// Submissions started.
    pub sent: AtomicU64,
    /// Submissions accepted.
    pub accepted: AtomicU64,
    /// Sales inside those.
    pub sales_accepted: AtomicU64,
    /// Submissions refused for good.
    pub refused: AtomicU64,
    /// Submissions stopped or given up before an answer.
    pub unknown: AtomicU64,
    /// Requests sent again for want of an answer.
    pub retries: AtomicU64,
    /// Accepted submissions sent once more on purpose.
    pub replays: AtomicU64,
    /// Of those, answered otherwise than the first time.
    pub replays_differ: AtomicU64,
    /// Voids that were answered with yes.
    pub voids: AtomicU64,
    /// From sending a void to its final answer.
    pub void_time: Latency,
    /// From the scheduled start of a submission to its final answer.
    pub answer_time: Latency,
    /// From sending a request to its final answer.
    pub request_time: Latency,
}

impl Counters {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The value of a counter now.
    #[must_use]
    pub fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// Plays the terminals until `count` or `duration` is reached or `stop`, waits for the submissions
/// under way, and reports.
///
/// # Errors
/// See [`SimError`]. Refusals and faults of the ingress are results, not errors.
pub async fn run(
    options: SimOptions,
    counters: Arc<Counters>,
    stop: CancellationToken,
) -> Result<SimReport, SimError> {
    if options.terminals.is_empty() || options.rate == 0 || options.max_in_flight == 0 {
        return Err(SimError::Options(
            "terminals, rate and in-flight bound must not be empty",
        ));
    }
    let sim = Arc::new(Sim {
        client: http_client(options.request_timeout)?,
        url: format!("{}{SUBMIT_PATH}", options.ingress.trim_end_matches('/')),
        ledger: Mutex::new(Ledger::open(
            options.ledger_capacity,
            options.ledger_file.as_deref(),
        )?),
        refusals: Mutex::default(),
        options,
        counters,
        stop,
    });
    let mut tills = JoinSet::new();
    sim.play(&mut tills).await?;
    while let Some(ended) = tills.join_next().await {
        ended??;
    }
    Ok(sim.report())
}

struct Sim {
    options: SimOptions,
    client: reqwest::Client,
    url: String,
    counters: Arc<Counters>,
    ledger: Mutex<Ledger>,
    refusals: Mutex<BTreeMap<String, u64>>,
    stop: CancellationToken,
}

impl Sim {
    /// Starts every submission at its time.
    async fn play(self: &Arc<Self>, tills: &mut JoinSet<Result<(), SimError>>) -> Result<(), SimError> {
        let room = Arc::new(Semaphore::new(self.options.max_in_flight));
        let start = Instant::now();
        for number in 0..self.options.count {
            let after = nanoseconds(number, self.options.rate);
            if after >= self.options.duration {
                break;
            }
            let due = start + after;
            let turn = async {
                tokio::time::sleep_until(due).await;
                Arc::clone(&room).acquire_owned().await
            };
            let place = tokio::select! {
                place = turn => place,
                () = self.stop.cancelled() => break,
            };
            let Ok(place) = place else { break };
            let sim = Arc::clone(self);
            tills.spawn(async move {
                let _place = place;
                sim.submit(number, due).await
            });
            while let Some(ended) = tills.try_join_next() {
                ended??;
            }
        }
        Ok(())
    }

    /// One submission from its making to its record.
    async fn submit(&self, number: u64, due: Instant) -> Result<(), SimError> {
        let mut rng = StdRng::seed_from_u64(self.options.seed ^ number.wrapping_mul(SPREAD));
        let pick = rng.random_range(0..self.options.terminals.len());
        let Some(terminal) = self.options.terminals.get(pick) else {
            return Ok(());
        };
        let kind = self.kind(&mut rng);
        let sent_at = Timestamp::now();
        let signed = make_sale(terminal, kind, rng.next_u64(), sent_at)?;
        let till = Till {
            client: &self.client,
            url: &self.url,
            retry: self.options.retry,
            counters: &self.counters,
            request_time: &self.counters.request_time,
            stop: &self.stop,
        };
        Counters::add(&self.counters.sent);
        let (answer, tries) = till.post(&terminal.token, &signed.body).await;
        let outcome = answer.as_ref().map_or(Outcome::Unknown, Answer::outcome);
        if answer.is_some() {
            self.counters.answer_time.record(due.elapsed());
        }
        self.count(&outcome, signed.sales.len());
        let accepted = matches!(outcome, Outcome::Accepted { .. });
        let mut reversals = Vec::new();
        if accepted && self.options.void_share > 0 && hits(&mut rng, self.options.void_share) {
            for sale in signed.sales.iter().take(1) {
                reversals.push(self.void(terminal, sale.transaction_id).await);
            }
        }
        self.append(Record {
            submission_uuid: signed.submission_uuid,
            terminal_id: terminal.terminal_id,
            version: kind.version,
            sent_at,
            tries,
            outcome: outcome.clone(),
            body_digest: signed.digest,
            sales: signed.sales,
            reversals,
        })?;
        if accepted && hits(&mut rng, self.options.replay_share) {
            let (again, _) = till.post(&terminal.token, &signed.body).await;
            if again.is_some() {
                Counters::add(&self.counters.replays);
                if again != answer {
                    Counters::add(&self.counters.replays_differ);
                }
            }
        }
        Ok(())
    }

    fn refusal(&self, status: u16, code: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        *refusals.entry(format!("{status} {code}")).or_default() += 1;
    }

    fn kind(&self, rng: &mut StdRng) -> Kind {
        let version = if hits(rng, self.options.seed_era_share) {
            Version::V1
        } else if rng.random_ratio(1, 2) {
            Version::V20
        } else {
            Version::V21
        };
        Kind {
            version,
            items: if hits(rng, self.options.batch_share) {
                rng.random_range(2..=10)
            } else {
                1
            },
            flawed: hits(rng, self.options.flawed_share),
        }
    }

    fn count(&self, outcome: &Outcome, sales: usize) {
        match outcome {
            Outcome::Accepted { .. } => {
                Counters::add(&self.counters.accepted);
                let sales = u64::try_from(sales).unwrap_or(u64::MAX);
                self.counters.sales_accepted.fetch_add(sales, Ordering::Relaxed);
            }
            Outcome::Refused { status, code } => {
                Counters::add(&self.counters.refused);
                self.refusal(*status, code);
            }
            Outcome::Unknown => Counters::add(&self.counters.unknown),
        }
    }

    fn append(&self, record: Record) -> io::Result<()> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.append(record)
    }

    fn report(&self) -> SimReport {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        SimReport::new(
            &self.counters,
            refusals.clone(),
            std::mem::take(&mut ledger.records),
            ledger.left_out,
        )
    }
}

/// Spreads the numbers of submissions over all seeds.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// When submission `number` starts, at `rate` a second.
fn nanoseconds(number: u64, rate: u32) -> Duration {
    let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn hits(rng: &mut StdRng, share: u32) -> bool {
    rng.random_range(0..1000) < share
}

/// A client that follows no redirects: an answer is an answer.
fn http_client(timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    // Somebody else may have installed one before; that is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let settings = || {
        reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
    };
    // A machine without root certificates can still talk plain HTTP to itself.
    settings()
        .build()
        .or_else(|_| settings().tls_certs_only([]).build())
}

#[cfg(test)]
mod tests;
