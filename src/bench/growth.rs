//! Whether a sale costs more when there are many already: a burst after another, until the tables have
//! grown as far as asked.

use super::{
    Bench, BenchError,
    backlog::{CONNECTIONS, LIMIT},
    report::{Scenario, share},
};

/// Bursts into which the growth is cut.
const PARTS: usize = 10;

impl Bench {
    /// Posts as many sales as the tables should grow by, a tenth at a time.
    pub(super) async fn growth(&mut self) -> Result<(), BenchError> {
        let part = (self.options.growth / PARTS).max(1);
        let mut first = None;
        for number in 1..=PARTS {
            let mut scenario = Scenario::named(format!("growth by {part}, part {number} of {PARTS}"));
            self.say(&scenario.name);
            let requests = self.sign(part, 1)?;
            self.flood(&mut scenario, requests, CONNECTIONS, LIMIT).await?;
            let rate = scenario.figures.get("completed_per_s").copied().unwrap_or(0);
            let first = *first.get_or_insert(rate);
            scenario.figure("completed_percent_of_first_part", share(rate, 100, first));
            self.done(scenario).await?;
        }
        Ok(())
    }
}
