//! What the tills of a site do.

use std::sync::{Arc, atomic::Ordering};

use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tsms::{
    domain::checksum::Version,
    standin::sim::{self, Counters, SimError, SimOptions, SimReport},
};

use crate::{
    bodies,
    site::{DEADLINE, Site},
};

impl Site {
    /// A seed that no sale of this site had.
    fn seed(&self) -> u64 {
        self.seed.fetch_add(1000, Ordering::Relaxed)
    }

    /// Posts a batch of valid sales of the first till; gives the status of the answer.
    pub(crate) async fn sell(&self, sales: usize) -> u16 {
        let token = self.fleet.tills[0].token.clone();
        self.sell_with(sales, &token).await
    }

    /// The same with a token of the test's own.
    pub(crate) async fn sell_with(&self, sales: usize, token: &str) -> u16 {
        let till = &self.fleet.tills[0];
        let body = if sales == 1 {
            bodies::sale(till, Version::V21, self.seed())
        } else {
            bodies::batch(till, Version::V21, sales, self.seed())
        };
        let request = self
            .http
            .post(format!("{}{}", self.fleet.base(), sim::SUBMIT_PATH))
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body(body.body);
        request.send().await.unwrap().status().as_u16()
    }

    /// Tills that post `rate` submissions a second until the guard is dropped.
    pub(crate) fn traffic(&self, rate: u32) -> Traffic {
        let options = SimOptions {
            rate,
            count: 1_000_000,
            batch_share: 0,
            replay_share: 0,
            flawed_share: 0,
            ..SimOptions::new(self.fleet.base(), self.fleet.tills.clone(), self.seed())
        };
        let stop = CancellationToken::new();
        let playing = tokio::spawn(sim::run(options, Arc::new(Counters::default()), stop.clone()));
        Traffic {
            stop: stop.drop_guard(),
            playing,
        }
    }
}

/// Simulated tills at work, until they are let go.
pub(crate) struct Traffic {
    stop: DropGuard,
    playing: JoinHandle<Result<SimReport, SimError>>,
}

impl Traffic {
    /// Lets them finish what they are at.
    pub(crate) async fn end(self) {
        drop(self.stop);
        let played = timeout(DEADLINE, self.playing).await;
        played.expect("the tills finish").unwrap().unwrap();
    }
}
