//! The load: a thread of its own, so that it takes a core's worth at most, in two manners.
//!
//! *Closed*: so many connections, each sends its next request when it has its answer; it finds the
//! most that the system takes. *Open*: requests start by a schedule whatever the answers do, and
//! latency counts from the scheduled time, so that a slow answer delays nobody unseen.

mod route;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, mpsc, oneshot};

pub(super) use self::route::Route;

use super::{
    BenchError,
    client::{Answer, Connection},
    process::thread_cpu,
    tills::Request,
};
use crate::{domain::time::Timestamp, standin::sim::Latency};

/// Tries of one request in a closed loop until it is taken.
const TRIES: u32 = 200;

/// Pause before a refused request is sent again.
const PAUSE: Duration = Duration::from_millis(20);

/// Requests of an open loop that are due and wait for a connection.
const WAITING: usize = 65_536;

/// Time to get ready before the first request of an open loop is due.
const LEAD: Duration = Duration::from_millis(100);

/// A closed loop.
pub(super) struct Closed {
    pub(super) address: SocketAddr,
    pub(super) connections: usize,
    pub(super) requests: Arc<Vec<Request>>,
    /// Whether they are sent again and again, or once.
    pub(super) repeat: bool,
    /// Ends when this is over, or the requests are used up.
    pub(super) limit: Duration,
    /// The status of an answer that counts as success.
    pub(super) expect: u16,
}

/// Requests that start by a schedule.
pub(super) struct Stream {
    /// What the answers are called in the report.
    pub(super) name: &'static str,
    pub(super) requests: Arc<Vec<Request>>,
    /// Starts in a second.
    pub(super) rate: u32,
    /// When the first one is due.
    pub(super) offset: Duration,
    pub(super) connections: usize,
    /// The status of an answer that counts as success.
    pub(super) expect: u16,
    /// How often a request is sent until it is taken: once, unless the load is to live through a restart.
    pub(super) tries: u32,
}

/// What came of a load.
#[derive(Debug)]
pub(super) struct Tally {
    /// Requests answered as expected.
    pub(super) good: u64,
    /// Other answers and broken connections, by what they were.
    pub(super) failures: BTreeMap<String, u64>,
    /// From the scheduled or, in a closed loop, first sending of a request to its good answer.
    pub(super) latency: Latency,
    /// How late requests were sent: the generator's own share of the latency.
    pub(super) lag: Latency,
    /// When the first request was due.
    pub(super) began: Timestamp,
    /// From there to the last answer.
    pub(super) took: Duration,
    /// Processor time of the generator. Streams side by side share a thread, whose time the first one has.
    pub(super) cpu: Duration,
}

/// When request `number` of a schedule of `rate` a second is due, after its start.
pub(super) fn due(number: usize, rate: u32) -> Duration {
    let nanos = u64::try_from(number)
        .unwrap_or(u64::MAX)
        .saturating_mul(1_000_000_000);
    Duration::from_nanos(nanos / u64::from(rate.max(1)))
}

/// Runs a closed loop.
pub(super) async fn closed(load: Closed) -> Result<Tally, BenchError> {
    on_own_thread(async move || {
        let (began, start) = (Timestamp::now(), Instant::now());
        let shared = Rc::new(Shared::default());
        let load = Rc::new(load);
        let tasks = tokio::task::LocalSet::new();
        for _ in 0..load.connections {
            tasks.spawn_local(shared.clone().drive(load.clone(), start));
        }
        tasks.await;
        shared.tally(began, start.elapsed(), thread_cpu())
    })
    .await
}

/// Runs the streams side by side; gives their tallies in the same order.
pub(super) async fn open(to: impl Into<Route>, streams: Vec<Stream>) -> Result<Vec<Tally>, BenchError> {
    let route = to.into();
    on_own_thread(async move || {
        let (began, start) = (Timestamp::now().plus(LEAD), Instant::now() + LEAD);
        let tasks = tokio::task::LocalSet::new();
        let mut all = Vec::new();
        for stream in streams {
            let shared = Rc::new(Shared::default());
            let (sender, receiver) = mpsc::channel(WAITING);
            let receiver = Rc::new(Mutex::new(receiver));
            let (first, rate, count) = (start + stream.offset, stream.rate, stream.requests.len());
            let pacer = thread::Builder::new().name("pace".to_owned());
            let pacer = pacer.spawn(move || pace(first, rate, count, &sender))?;
            let stream = Rc::new(stream);
            for _ in 0..stream.connections {
                let (shared, stream, receiver) = (shared.clone(), stream.clone(), receiver.clone());
                tasks.spawn_local(shared.follow(route.clone(), stream, receiver, first));
            }
            all.push((shared, pacer, began.plus(stream.offset), first));
        }
        tasks.await;
        let mut tallies = Vec::new();
        let mut of_thread = thread_cpu();
        for (shared, pacer, began, first) in all {
            let of_pacer = pacer.join().map_err(|_| BenchError::Broken)?;
            let cpu = std::mem::take(&mut of_thread) + of_pacer;
            tallies.push(shared.tally(began, first.elapsed(), cpu)?);
        }
        Ok(tallies)
    })
    .await
}

/// Runs `work` on a thread and a runtime of its own.
async fn on_own_thread<T: Send + 'static>(
    work: impl AsyncFnOnce() -> Result<T, BenchError> + Send + 'static,
) -> Result<T, BenchError> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new().name("load".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result = match runtime {
            Ok(runtime) => runtime.block_on(work()),
            Err(error) => Err(error.into()),
        };
        drop(sender.send(result));
    })?;
    receiver.await.map_err(|_| BenchError::Broken)?
}

/// Hands out the numbers of requests when they are due. The runtime's timers are too coarse for this.
fn pace(first: Instant, rate: u32, count: usize, sender: &mpsc::Sender<usize>) -> Duration {
    for number in 0..count {
        let wait = (first + due(number, rate)).saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        if sender.blocking_send(number).is_err() {
            break;
        }
    }
    thread_cpu()
}

/// What the connections of one load share; they are tasks of one thread.
#[derive(Default)]
struct Shared {
    next: std::cell::Cell<usize>,
    good: std::cell::Cell<u64>,
    failures: std::cell::RefCell<BTreeMap<String, u64>>,
    latency: Latency,
    lag: Latency,
}

impl Shared {
    fn take(&self) -> usize {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    fn failed(&self, what: String) {
        *self.failures.borrow_mut().entry(what).or_default() += 1;
    }

    fn succeeded(&self, since: Instant) {
        self.good.set(self.good.get() + 1);
        self.latency.record(since.elapsed());
    }

    /// One connection of a closed loop.
    async fn drive(self: Rc<Self>, load: Rc<Closed>, start: Instant) {
        let route = Route::from(load.address);
        let mut connection = self.connect(&route).await;
        if connection.is_none() {
            return;
        }
        while start.elapsed() < load.limit {
            let number = if load.repeat {
                self.take() % load.requests.len().max(1)
            } else {
                self.take()
            };
            let Some(request) = load.requests.get(number) else {
                return;
            };
            let sent = Instant::now();
            for _ in 0..TRIES {
                match self.send(&mut connection, &route, request, load.expect).await {
                    Said::Yes => {
                        self.succeeded(sent);
                        break;
                    }
                    Said::Later => tokio::time::sleep(PAUSE).await,
                    Said::Nothing => {}
                    Said::No => break,
                }
            }
        }
    }

    /// One connection of an open loop.
    async fn follow(
        self: Rc<Self>,
        route: Route,
        stream: Rc<Stream>,
        numbers: Rc<Mutex<mpsc::Receiver<usize>>>,
        first: Instant,
    ) {
        let mut connection = self.connect(&route).await;
        if connection.is_none() {
            return;
        }
        loop {
            let number = numbers.lock().await.recv().await;
            let Some((number, request)) = number.and_then(|it| Some((it, stream.requests.get(it)?))) else {
                return;
            };
            let due = first + due(number, stream.rate);
            self.lag.record(due.elapsed());
            for last in (0..stream.tries).rev() {
                match self.send(&mut connection, &route, request, stream.expect).await {
                    Said::Yes => {
                        self.succeeded(due);
                        break;
                    }
                    Said::Later if last > 0 => tokio::time::sleep(PAUSE).await,
                    Said::Nothing if last > 0 => {}
                    _ => break,
                }
            }
        }
    }

    async fn connect(&self, route: &Route) -> Option<Connection> {
        match Connection::open(route.next()?).await {
            Ok(connection) => Some(connection),
            Err(error) => {
                self.failed(format!("connect: {}", error.kind()));
                None
            }
        }
    }

    /// Sends a request once, over another connection if there is none or its ingress is leaving.
    async fn send(
        &self,
        connection: &mut Option<Connection>,
        route: &Route,
        request: &Request,
        expect: u16,
    ) -> Said {
        if !connection
            .as_ref()
            .is_some_and(|held| route.serves(held.address()))
        {
            *connection = self.connect(route).await;
        }
        let Some(held) = connection else {
            return Said::Later;
        };
        match held.call(&request.bytes).await {
            Ok(answer) if answer.status == expect => Said::Yes,
            Ok(answer) => {
                self.failed(told(&answer));
                if matches!(answer.status, 429 | 503) {
                    Said::Later
                } else {
                    Said::No
                }
            }
            Err(error) => {
                self.failed(format!("connection: {}", error.kind()));
                *connection = None;
                Said::Nothing
            }
        }
    }

    fn tally(self: Rc<Self>, began: Timestamp, took: Duration, cpu: Duration) -> Result<Tally, BenchError> {
        let shared = Rc::into_inner(self).ok_or(BenchError::Broken)?;
        Ok(Tally {
            good: shared.good.get(),
            failures: shared.failures.into_inner(),
            latency: shared.latency,
            lag: shared.lag,
            began,
            took,
            cpu,
        })
    }
}

/// What came of one try.
enum Said {
    Yes,
    /// Refused for now.
    Later,
    /// The connection broke: it is sent again over another one at once.
    Nothing,
    No,
}

/// An unexpected answer in words: the status, and the code of its problem document.
fn told(answer: &Answer<'_>) -> String {
    let document: Option<serde_json::Value> = serde_json::from_slice(answer.body).ok();
    let code = document
        .as_ref()
        .and_then(|document| document.get("code")?.as_str());
    format!("{} {}", answer.status, code.unwrap_or_default())
}

impl From<tokio::time::error::Elapsed> for BenchError {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        io::Error::from(io::ErrorKind::TimedOut).into()
    }
}

#[cfg(test)]
mod tests;
