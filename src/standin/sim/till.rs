//! How a till posts one body: the same bytes again until it is told yes or no.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;
use reqwest::{
    Client, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Counters, latency::Latency, record::Outcome};

/// Most bytes of an answer that are kept and compared.
const MOST_ANSWER: usize = 1024 * 1024;

/// When a till tries again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Pause after the first try that got no answer; doubles up to `longest`.
    pub first: Duration,
    /// Longest pause the till chooses by itself.
    pub longest: Duration,
    /// Longest `Retry-After` it honours.
    pub longest_told: Duration,
    /// How long it goes on with one body before it gives up and the outcome is unknown.
    pub give_up: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            longest_told: Duration::from_secs(60),
            give_up: Duration::from_secs(600),
        }
    }
}

impl RetryPolicy {
    /// The till's own pause, or longer where it was told so.
    fn wait(&self, told: Option<Duration>, own: Duration) -> Duration {
        let told = told.unwrap_or_default().min(self.longest_told);
        told.max(own)
    }
}

/// What a till needs to post.
pub(super) struct Till<'a> {
    pub(super) client: &'a Client,
    pub(super) url: &'a str,
    pub(super) retry: RetryPolicy,
    pub(super) counters: &'a Counters,
    /// Where the time of each request is noted.
    pub(super) request_time: &'a Latency,
    pub(super) stop: &'a CancellationToken,
}

/// An answer that ends the matter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// What it means for the till.
    pub(super) fn outcome(&self) -> Outcome {
        if (200..300).contains(&self.status) {
            return Outcome::Accepted { status: self.status };
        }
        let problem: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let code = problem
            .as_ref()
            .and_then(|problem| problem.get("code"))
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned();
        Outcome::Refused {
            status: self.status,
            code,
        }
    }
}

/// One request.
enum Try {
    Answered(Answer),
    Later(Option<Duration>),
}

impl Till<'_> {
    /// Posts `body` until an answer ends the matter; `None` when stopped or given up before. Gives
    /// the number of requests made as well.
    pub(super) async fn post(&self, token: &str, body: &Bytes) -> (Option<Answer>, u32) {
        let end = Instant::now() + self.retry.give_up;
        let mut pause = self.retry.first;
        let mut tries = 0;
        loop {
            tries += 1;
            let told = match self.try_once(token, body).await {
                Try::Answered(answer) => return (Some(answer), tries),
                Try::Later(told) => told,
            };
            let wait = self.retry.wait(told, jittered(pause));
            pause = pause.saturating_mul(2).min(self.retry.longest);
            if Instant::now() + wait > end {
                return (None, tries);
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return (None, tries),
            }
            Counters::add(&self.counters.retries);
        }
    }

    async fn try_once(&self, token: &str, body: &Bytes) -> Try {
        let sent = Instant::now();
        let request = self
            .client
            .post(self.url)
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/json")
            .body(body.clone());
        let Ok(response) = request.send().await else {
            return Try::Later(None);
        };
        let status = response.status();
        let passing = [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_EARLY,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        if passing.contains(&status) || status.is_server_error() {
            return Try::Later(retry_after(&response));
        }
        // An answer that breaks off is no answer.
        let Some(body) = read_whole(response).await else {
            return Try::Later(None);
        };
        self.request_time.record(sent.elapsed());
        Try::Answered(Answer {
            status: status.as_u16(),
            body,
        })
    }
}

/// Between half of `pause` and all of it, so that tills do not come back together.
fn jittered(pause: Duration) -> Duration {
    let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(rand::rng().random_range(micros / 2..=micros))
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

async fn read_whole(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > MOST_ANSWER {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_told_counts_up_to_a_bound() {
        let seconds = Duration::from_secs;
        let retry = RetryPolicy {
            longest_told: seconds(60),
            ..RetryPolicy::default()
        };
        for (told, own, wait) in [
            (None, 3, 3),
            (Some(0), 3, 3),
            (Some(10), 3, 10),
            (Some(3600), 3, 60),
        ] {
            assert_eq!(retry.wait(told.map(seconds), seconds(own)), seconds(wait));
        }
    }

    #[test]
    fn pauses_are_spread_but_never_skipped() {
        let pause = Duration::from_millis(100);
        let pauses: Vec<Duration> = (0..200).map(|_| jittered(pause)).collect();
        assert!(pauses.iter().all(|one| (pause / 2..=pause).contains(one)));
        assert!(pauses.iter().any(|one| *one != pauses[0]));
    }
}
