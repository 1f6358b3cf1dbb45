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
        let sales = Arc::new(self.sign(self.as_many_as(SALES), 1)?);
        let stream = |name, rate, requests| Stream {
            name,
            requests: Arc::new(requests),
            rate,
            offset: Duration::ZERO,
            connections: CONNECTIONS,
            expect: 200,
            tries: 1,
        };
        let reads = self.of_each_till(READS, |token| client::get("/api/v1/auth/me", Some(token)));
        let replace = |token: &str| client::post("/api/v1/auth/refresh", Some(token), b"");
        let replacements = self.of_each_till(REPLACEMENTS, replace);
        let meanwhile = vec![
            stream("token read", READS, reads),
            stream("token replaced", REPLACEMENTS, replacements),
        ];
        let mut scenario = Scenario::named(name);
        self.scheduled(&mut scenario, submits("submit", sales, SALES), 1, meanwhile)
            .await?;
        self.done(scenario).await
    }

    /// Requests at `rate` a second, of one terminal after the other.
    fn of_each_till(&self, rate: u32, request: impl Fn(&str) -> Vec<u8>) -> Vec<Request> {
        let tills = self.tills.iter().enumerate().cycle().take(self.as_many_as(rate));
        tills
            .map(|(till, terminal)| Request {
                bytes: request(&terminal.token).into(),
                sale: Uuid::nil(),
                till,
            })
            .collect()
    }
}
