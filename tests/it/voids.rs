//! A void or refund at every point of a sale's life, with the web application up and down: what it
//! holds in the end is right, and it is never told of a sale that was void before it left.

use std::{num::NonZeroU64, time::Duration};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use tsms::{
    domain::{
        checksum::Version, money::Money, payload::void_checksum, reversal::ReversalKind, time::Timestamp,
    },
    fleet::Roles,
    stage::Stage,
    standin::{
        sim::SimTerminal,
        sink::mode::{Answer as SinkAnswer, Denial, Mode},
    },
    store::{NewReversal, Reversed},
};
use uuid::Uuid;

use crate::{
    bodies::{flawed, sale},
    on_both_tiers,
    world::{Answer, DEADLINE, Tier, World},
};

on_both_tiers!(
    a_void_after_the_sale_arrived_is_told_once,
    a_void_waits_for_a_web_application_that_is_away,
    a_void_of_a_sale_under_way_comes_after_it,
    a_void_of_a_sale_that_may_have_arrived_is_told,
    a_void_of_a_sale_that_was_refused_or_invalid_is_silent,
    a_void_whose_jobs_were_lost_is_told,
);

pub(crate) fn path(id: Uuid, what: &str) -> String {
    format!("/api/v1/transactions/{id}/{what}")
}

pub(crate) fn void_body(id: Uuid, reason: &str) -> String {
    json!({
        "transaction_id": id,
        "void_reason": reason,
        "payload_checksum": HEXLOWER.encode(&void_checksum(id, reason)),
    })
    .to_string()
}

impl World {
    pub(crate) async fn void(&self, till: &SimTerminal, id: Uuid, reason: &str) -> Answer {
        self.post_to(till, &path(id, "void"), void_body(id, reason)).await
    }

    pub(crate) async fn refund(&self, till: &SimTerminal, id: Uuid, body: &Value) -> Answer {
        self.post_to(till, &path(id, "refund"), body.to_string()).await
    }

    pub(crate) async fn status(&self, id: Uuid) -> Value {
        self.get(self.till(), &path(id, "status")).await.json()
    }

    /// Posts a sale and gives its id.
    pub(crate) async fn sell(&self, seed: u64) -> Uuid {
        let body = sale(self.till(), Version::V21, seed);
        assert_eq!(self.post(self.till(), body.body).await.status, 202);
        body.sales[0].transaction_id
    }

    /// Waits until the status of a sale is `word`, looking again whenever a job was done.
    pub(crate) async fn becomes(&self, id: Uuid, word: &str) {
        let mut activity = self.queue.activity();
        let come_true = async {
            loop {
                activity.mark_unchanged();
                if self.status(id).await["status"] == word {
                    return;
                }
                // What happens outside the queue moves nothing here.
                tokio::time::timeout(Duration::from_millis(200), activity.changed())
                    .await
                    .ok();
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, come_true).await;
        assert!(in_time.is_ok(), "{}", self.status(id).await);
    }

    /// What the web application holds of a sale: (void, refunded, received), if it holds it.
    pub(crate) fn held(&self, id: Uuid) -> Option<(bool, Money, u64)> {
        let entries = self.sink.entries();
        let entry = entries.iter().find(|entry| entry.transaction_id == id)?;
        Some((entry.voided, entry.refunded, entry.received))
    }

    pub(crate) fn never_complained(&self) {
        let summary = self.sink.summary();
        assert_eq!(
            (summary.complaints, summary.clashes, summary.conflicts),
            (0, 0, 0),
            "{summary}"
        );
    }
}

/// A sale that was voided while `roles` were all that ran, and everything else after it.
async fn void_before(tier: Tier, roles: Roles, state: &str) {
    let mut world = World::start_roles(tier, "", &roles).await;
    let ids = [world.sell(1).await, world.sell(2).await];
    for id in ids {
        world.becomes(id, state).await;
    }
    let answer = world.void(world.till(), ids[0], "Changed his mind").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(world.status(ids[0]).await["status"], "VOIDED");
    the_rest_brings_one_home(&mut world, &roles).await;
    assert_eq!(world.held(ids[0]), None, "a void sale was sent");
    assert_eq!(world.held(ids[1]), Some((false, Money::ZERO, 1)));
    let status = world.status(ids[0]).await;
    assert_eq!(status["status"], "VOIDED");
    assert_eq!(status["validation_status"], "VALID");
    assert_eq!(status["forward"]["state"], "WITHDRAWN", "{status}");
    assert_eq!(status["void_forward"]["state"], "WITHDRAWN", "{status}");
    assert_eq!(status["void_reason"], "Changed his mind");
    world.never_complained();
    world.stop().await;
}

/// Everything but `roles` joins, until the web application holds one sale and nothing is under way.
async fn the_rest_brings_one_home(world: &mut World, roles: &Roles) {
    let stages = Stage::ALL
        .into_iter()
        .filter(|stage| !roles.stages.contains(stage));
    let rest = Roles {
        ingress: false,
        stages: stages.collect(),
        scheduler: true,
    };
    world.join(&rest).await;
    world
        .sink
        .wait_until(|seen| seen.distinct == 1, DEADLINE)
        .await
        .unwrap();
    world.drain().await;
}

fn only(stages: &[Stage]) -> Roles {
    Roles {
        ingress: true,
        stages: stages.to_vec(),
        scheduler: false,
    }
}

mod before_it_is_sent {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn accepted_only() {
        void_before(Tier::Embedded, only(&[]), "ACCEPTED").await;
        void_before(Tier::Fleet, only(&[]), "ACCEPTED").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn pending() {
        void_before(Tier::Embedded, only(&[Stage::Validation]), "PENDING").await;
        void_before(Tier::Fleet, only(&[Stage::Validation]), "PENDING").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn valid() {
        void_of_a_sale_that_nobody_took(Tier::Embedded).await;
        void_of_a_sale_that_nobody_took(Tier::Fleet).await;
    }
}

/// The claim that was made with the decision has run out. For all that the record knows the sale may have been sent:
/// it is not sent any more, and the web application hears that it is void.
async fn void_of_a_sale_that_nobody_took(tier: Tier) {
    let roles = only(&[Stage::Validation, Stage::Processing]);
    let mut world = World::start_roles(tier, "", &roles).await;
    let id = world.sell(1).await;
    world.becomes(id, "VALID").await;
    let start = (Timestamp::from_micros(0), 0);
    let ended = async {
        let due = async || {
            world
                .store
                .due_forwards(start, Timestamp::now(), 1)
                .await
                .unwrap()
        };
        while due().await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, ended).await.unwrap();
    assert_eq!(world.void(world.till(), id, "Too late?").await.status, 200);
    the_rest_brings_one_home(&mut world, &roles).await;
    assert_eq!(world.held(id), Some((true, Money::ZERO, 1)), "as void, once");
    let status = world.status(id).await;
    assert_eq!(status["forward"]["state"], "WITHDRAWN", "{status}");
    assert_eq!(status["void_forward"]["state"], "FORWARDED", "{status}");
    world.never_complained();
    world.stop().await;
}

async fn a_void_after_the_sale_arrived_is_told_once(world: World) {
    let id = world.sell(1).await;
    world.becomes(id, "FORWARDED").await;
    let first = world.void(world.till(), id, "Wrong price").await;
    assert_eq!(first.status, 200, "{first:?}");
    let told = first.json();
    assert_eq!(told["success"], true);
    assert_eq!(told["message"], "Transaction voided successfully by POS");
    assert_eq!(told["transaction_id"], json!(id));
    assert_eq!(told["void_reason"], "Wrong price");
    let again = world.void(world.till(), id, "Wrong price").await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    let other = world.void(world.till(), id, "Another reason").await;
    assert_eq!(other.status, 409);
    assert_eq!(other.code(), "already_voided");
    assert_eq!(other.json()["voided_at"], told["voided_at"]);
    assert_eq!(other.json()["void_reason"], "Wrong price");
    world
        .sink
        .wait_until(|seen| seen.voided == 1, DEADLINE)
        .await
        .unwrap();
    world.drain().await;
    assert_eq!(
        world.held(id),
        Some((true, Money::ZERO, 2)),
        "the sale, then the void"
    );
    assert_eq!(world.sink.summary().net, Money::ZERO);
    let status = world.status(id).await;
    assert_eq!(status["forward"]["state"], "FORWARDED", "{status}");
    assert_eq!(status["void_forward"]["state"], "FORWARDED", "{status}");
    world.never_complained();
    world.stop().await;
}

async fn a_void_waits_for_a_web_application_that_is_away(world: World) {
    let troubles = [
        Mode::always(SinkAnswer::Status(503)).times(2),
        Mode::always(SinkAnswer::Reset).applied().times(1),
        Mode::always(SinkAnswer::Status(500)).times(1),
    ];
    for (trouble, seed) in troubles.into_iter().zip(1..) {
        world.sink.set_mode(trouble);
        let id = world.sell(seed).await;
        world.becomes(id, "FORWARDED").await;
        world.sink.set_mode(trouble);
        assert_eq!(world.void(world.till(), id, "Late").await.status, 200);
        world.drain().await;
        let (voided, _, _) = world.held(id).unwrap();
        assert!(voided, "{trouble:?}");
        assert_eq!(world.status(id).await["void_forward"]["state"], "FORWARDED");
    }
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 0);
    world.never_complained();
    world.stop().await;
}

async fn a_void_of_a_sale_under_way_comes_after_it(world: World) {
    // The sale has its effect at once; that it had is told after the void.
    world
        .sink
        .set_mode(Mode::always(SinkAnswer::Slow(Duration::from_millis(1500))).times(1));
    let id = world.sell(1).await;
    world
        .sink
        .wait_until(|seen| seen.distinct == 1, DEADLINE)
        .await
        .unwrap();
    assert_eq!(world.status(id).await["forward"]["state"], "SENDING");
    assert_eq!(world.void(world.till(), id, "Too late").await.status, 200);
    assert_eq!(
        world.held(id),
        Some((false, Money::ZERO, 1)),
        "not before the sale is known"
    );
    world.drain().await;
    assert_eq!(world.held(id), Some((true, Money::ZERO, 2)));
    world.never_complained();
    world.stop().await;
}

async fn a_void_of_a_sale_that_may_have_arrived_is_told(world: World) {
    for (mode, seed) in [
        (Mode::always(SinkAnswer::Status(503)), 1),
        (Mode::always(SinkAnswer::Reset).applied(), 2),
    ] {
        let before = world.sink.summary().requests.values().sum::<u64>();
        world.sink.set_mode(mode);
        let id = world.sell(seed).await;
        world
            .sink
            .wait_until(|seen| seen.requests.values().sum::<u64>() > before, DEADLINE)
            .await
            .unwrap();
        assert_eq!(world.void(world.till(), id, "Nobody knows").await.status, 200);
        world.sink.set_mode(Mode::OK);
        world.drain().await;
        let (voided, ..) = world.held(id).unwrap();
        assert!(voided, "{mode:?}");
        assert_eq!(world.status(id).await["void_forward"]["state"], "FORWARDED");
    }
    assert_eq!(world.sink.summary().net, Money::ZERO);
    world.never_complained();
    world.stop().await;
}

async fn a_void_of_a_sale_that_was_refused_or_invalid_is_silent(world: World) {
    let denial = Denial::Rejected;
    let every = NonZeroU64::MIN;
    world
        .sink
        .set_mode(Mode::always(SinkAnswer::Partial { every, denial }));
    let refused = world.sell(1).await;
    world.becomes(refused, "DEAD_LETTERED").await;
    let body = flawed(world.till(), Version::V21, 2);
    let invalid = body.sales[0].transaction_id;
    assert_eq!(world.post(world.till(), body.body).await.status, 202);
    world.becomes(invalid, "INVALID").await;
    let requests = world.sink.summary().requests;
    for id in [refused, invalid] {
        let answer = world
            .refund(
                world.till(),
                id,
                &json!({"refund_amount": 1, "refund_reason": "x"}),
            )
            .await;
        assert_eq!(answer.status, if id == invalid { 409 } else { 200 }, "{answer:?}");
    }
    assert_eq!(world.void(world.till(), invalid, "Anyway").await.status, 200);
    let answer = world.void(world.till(), refused, "Anyway").await;
    assert_eq!(answer.code(), "already_refunded");
    world.drain().await;
    assert_eq!(world.sink.summary().requests, requests, "nothing is told");
    assert_eq!(world.status(invalid).await["void_forward"]["state"], "WITHDRAWN");
    assert_eq!(
        world.status(refused).await["refunds"][0]["forward"]["state"],
        "WITHDRAWN"
    );
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 1);
    world.stop().await;
}

/// The process that took the void died right after its commit.
async fn a_void_whose_jobs_were_lost_is_told(world: World) {
    let id = world.sell(1).await;
    world.becomes(id, "FORWARDED").await;
    world.drain().await;
    let till = world.till();
    let new = NewReversal {
        tenant_id: till.tenant_id,
        terminal_id: till.terminal_id,
        transaction_id: id,
        kind: ReversalKind::Void,
        reference: String::new(),
        amount: Money::ZERO,
        reason: "Crash".to_owned(),
        content: [1; 32],
    };
    let made = world.store.reverse(&new, 1).await.unwrap();
    assert!(matches!(made, Reversed::Made(_)));
    world.drain().await;
    assert_eq!(world.held(id), Some((true, Money::ZERO, 2)));
    world.stop().await;
}
