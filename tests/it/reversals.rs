//! What requests for voids and refunds are answered, voids under load, and heartbeats.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tsms::{
    domain::{checksum::Version, money::Money},
    standin::{
        oracle,
        sim::{self, Counters, SimOptions},
        sink::mode::{Answer as SinkAnswer, Mode},
    },
};
use uuid::Uuid;

use crate::{
    bodies::sale,
    on_both_tiers,
    voids::{path, void_body},
    world::{Answer, DEADLINE, Tier, World},
};

on_both_tiers!(
    one_of_sixty_four_voids_wins,
    a_void_is_refused_by_field_and_by_owner,
    refunds_are_told_and_never_exceed_the_sale,
    a_heartbeat_is_answered_and_kept,
);

async fn one_of_sixty_four_voids_wins(world: World) {
    let id = world.sell(1).await;
    let reasons = ["first", "second"];
    let answers = futures::future::join_all((0..64).map(|number| {
        let reason = reasons[number % 2];
        let world = &world;
        async move { (reason, world.void(world.till(), id, reason).await) }
    }))
    .await;
    let winner = answers
        .iter()
        .find(|(_, answer)| answer.status == 200)
        .map(|(reason, answer)| (*reason, answer.text.clone()))
        .unwrap();
    for (reason, answer) in &answers {
        if *reason == winner.0 {
            assert_eq!((answer.status.as_u16(), &answer.text), (200, &winner.1));
        } else {
            assert_eq!(answer.code(), "already_voided");
            assert_eq!(answer.json()["void_reason"], winner.0);
        }
    }
    assert_eq!(
        world
            .store
            .reversals_of(world.till().terminal_id, id)
            .await
            .unwrap()
            .len(),
        1
    );
    world.drain().await;
    assert_eq!(world.sink.summary().net, Money::ZERO);
    let metrics = tsms::telemetry::metrics::render();
    let series = "tsms_reversals_total{kind=\"void\",state=\"accepted\"} ";
    let counted = |line: &str| line.starts_with(series) && !line.ends_with(" 0");
    assert!(metrics.lines().any(counted), "no {series}");
    world.never_complained();
    world.stop().await;
}

async fn a_void_is_refused_by_field_and_by_owner(world: World) {
    let id = world.sell(1).await;
    let stranger = &world.tills[1];
    let neighbour = &world.tills[2];
    for till in [stranger, neighbour] {
        let answer = world.void(till, id, "Not mine").await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (404, "not_found")
        );
        let answer = world
            .refund(till, id, &json!({"refund_amount": 1, "refund_reason": "x"}))
            .await;
        assert_eq!(answer.code(), "not_found");
    }
    assert_eq!(world.void(world.till(), Uuid::new_v4(), "None").await.status, 404);
    let till = world.till();
    let other = Uuid::new_v4();
    for (target, body, code, pointer) in [
        (id, void_body(other, "x"), "invalid_fields", "/transaction_id"),
        (
            id,
            void_body(id, "x").replace("\"x\"", "\"y\""),
            "checksum_mismatch",
            "/payload_checksum",
        ),
        (id, "{}".to_owned(), "invalid_fields", "/transaction_id"),
    ] {
        let answer = world.post_to(till, &path(target, "void"), body).await;
        assert_eq!(answer.code(), code, "{answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    assert_eq!(
        world
            .post_to(till, &path(id, "void"), "{".to_owned())
            .await
            .code(),
        "malformed_json"
    );
    let by_row = world
        .post_to(till, "/api/v1/transactions/1/void", void_body(id, "x"))
        .await;
    assert_eq!(by_row.code(), "not_found");
    world.becomes(id, "FORWARDED").await;
    world.stop().await;
}

async fn refunds_are_told_and_never_exceed_the_sale(world: World) {
    let body = sale(world.till(), Version::V21, 1);
    let (id, amount) = (body.sales[0].transaction_id, body.sales[0].amount);
    assert_eq!(world.post(world.till(), body.body).await.status, 202);
    world.becomes(id, "FORWARDED").await;
    let half = Money::from_minor(amount.minor() / 2 + 1);
    let ask = |reference: &str, amount: Money| json!({"refund_amount": amount, "refund_reason": "Broken", "refund_reference_id": reference});
    // Two that exceed the sale together, each asked four times at once.
    let answers = futures::future::join_all((0..8).map(|number| {
        let (world, body) = (&world, ask(["A", "B"][number % 2], half));
        async move { (number % 2, world.refund(world.till(), id, &body).await) }
    }))
    .await;
    let won: Vec<_> = answers
        .iter()
        .filter(|(_, answer)| answer.status == 200)
        .collect();
    assert_eq!(won.len(), 4, "{answers:?}");
    assert!(
        won.iter()
            .all(|(kind, answer)| *kind == won[0].0 && answer.text == won[0].1.text)
    );
    for (_, answer) in answers.iter().filter(|(_, answer)| answer.status != 200) {
        assert_eq!(answer.code(), "refund_exceeds_sale");
    }
    let winner = ["A", "B"][won[0].0];
    let other = world
        .refund(world.till(), id, &ask(winner, Money::from_minor(1)))
        .await;
    assert_eq!(other.code(), "refund_conflict");
    assert_eq!(
        world.void(world.till(), id, "No").await.code(),
        "already_refunded"
    );
    // The rest, in the old form: a number, no reference.
    let rest = amount - half;
    let rest_body = format!(r#"{{"refund_amount":{rest},"refund_reason":"Rest"}}"#);
    let answer = world
        .post_to(world.till(), &path(id, "refund"), rest_body.clone())
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["status"], "success");
    let again = world.post_to(world.till(), &path(id, "refund"), rest_body).await;
    assert_eq!((again.status, again.text), (answer.status, answer.text));
    world.drain().await;
    assert_eq!(world.held(id).map(|held| held.1), Some(amount));
    let summary = world.sink.summary();
    assert_eq!(
        (summary.refunded, summary.net),
        (amount, Money::ZERO),
        "{summary}"
    );
    let status = world.status(id).await;
    assert_eq!(status["refunded_amount"], json!(amount));
    assert_eq!(status["refunds"].as_array().unwrap().len(), 2);
    assert_eq!(status["status"], "FORWARDED");
    world.never_complained();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voids_under_load_survive_trouble_and_the_loss_of_every_job() {
    let world = World::start(Tier::Fleet).await;
    let options = SimOptions {
        rate: 500,
        count: 1_000,
        void_share: 300,
        ..SimOptions::new(world.base.clone(), world.tills.clone(), 99)
    };
    let stop = CancellationToken::new();
    let counters = Arc::new(Counters::default());
    let playing = tokio::spawn(sim::run(options, Arc::clone(&counters), stop));
    for (seen, mode) in [
        (50, Mode::always(SinkAnswer::Reset).applied().times(3)),
        (150, Mode::always(SinkAnswer::Status(503)).times(4)),
        (250, Mode::always(SinkAnswer::Hang).applied().times(1)),
    ] {
        world
            .sink
            .wait_until(|summary| summary.distinct >= seen, DEADLINE)
            .await
            .unwrap();
        world.sink.set_mode(mode);
    }
    world.redis.as_ref().unwrap().flush_all();
    let report = playing.await.unwrap().unwrap();
    world.drain().await;
    assert!(report.voids > 50 && report.refused.is_empty(), "{report}");
    let findings = oracle::judge(&report.records, &world.sink);
    assert!(findings.is_clean(), "{findings}");
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 0);
    world.never_complained();
    world.stop().await;
}

async fn a_heartbeat_is_answered_and_kept(world: World) {
    let till = world.till();
    let empty = world
        .http
        .post(format!("{}/api/v1/heartbeat", world.base))
        .bearer_auth(&till.token);
    let answer = Answer::of(empty).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    assert_eq!(told["success"], true);
    assert_eq!(told["data"]["message"], "Heartbeat received");
    assert_eq!(told["data"]["clock_skew_ms"], Value::Null);
    assert!(told["data"]["next_heartbeat_due"].as_str() > told["data"]["server_time"].as_str());
    let body = json!({"client_time": "2000-01-01T00:00:00Z", "backlog": 12}).to_string();
    let answer = world.post_to(till, "/api/v1/heartbeat", body).await;
    let skew = answer.json()["data"]["clock_skew_ms"].as_i64().unwrap();
    assert!(skew < -800_000_000_000, "{skew}");
    let wrong = world
        .post_to(till, "/api/v1/heartbeat", r#"{"backlog":"x"}"#.to_owned())
        .await;
    assert_eq!(wrong.code(), "invalid_fields");
    let (store, terminal) = (world.store.clone(), till.terminal_id);
    world.stop().await;
    // Written behind, at the end at the latest.
    let kept = store.heartbeats(&[terminal]).await.unwrap();
    assert_eq!((kept[0].clock_skew_ms, kept[0].backlog), (Some(skew), Some(12)));
}
