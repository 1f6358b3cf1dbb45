//! What tills ask of their tokens while others sell: what a token is, and a successor for it.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    Bench, BenchError, client,
    fixed::{CONNECTIONS, submits},
    load::Stream,
    report::Scenario,
    tills::Request,
};

/// Sales a second meanwhile.
const SALES: u32 = 300;
/// Tokens read in a second. Tills do so when they start.
const READS: u32 = 60;
/// Tokens replaced in a second: ten thousand times what 10,000 tills do whose tokens last 90 days.
const REPLACEMENTS: u32 = 15;

impl Bench {
    /// Tokens read and replaced, each of another till, while sales come.
    pub(super) async fn tokens(&mut self) -> Result<(), BenchError> {
        let name = format!("tokens beside {SALES} sales a second");
        self.say(&name);
        let seconds = u32::try_from(self.options.seconds).unwrap_or(u32::MAX);
        let count = |rate: u32| usize::try_from(rate.saturating_mul(seconds)).unwrap_or(usize::MAX);
        let sales = Arc::new(self.sign(count(SALES), 1)?);
        let stream = |name, rate, requests| Stream {
            name,
            requests: Arc::new(requests),
            rate,
            offset: Duration::ZERO,
            connections: CONNECTIONS,
            expect: 200,
            tries: 1,
        };
        let reads = self.of_each_till(count(READS), |token| client::get("/api/v1/auth/me", Some(token)));
        let replace = |token: &str| client::post("/api/v1/auth/refresh", Some(token), b"");
        let replacements = self.of_each_till(count(REPLACEMENTS), replace);
        let meanwhile = vec![
            stream("token read", READS, reads),
            stream("token replaced", REPLACEMENTS, replacements),
        ];
        let mut scenario = Scenario::named(name);
        self.scheduled(&mut scenario, submits("submit", sales, SALES), 1, meanwhile)
            .await?;
        self.done(scenario).await
    }

    /// `count` requests, of one terminal after the other.
    fn of_each_till(&self, count: usize, request: impl Fn(&str) -> Vec<u8>) -> Vec<Request> {
        let tills = self.tills.iter().enumerate().cycle().take(count);
        tills
            .map(|(till, terminal)| Request {
                bytes: request(&terminal.token).into(),
                sale: Uuid::nil(),
                till,
            })
            .collect()
    }
}
