//! A sale travels the whole way.

use serde_json::json;
use tsms::domain::{audit, checksum::Version, money::Money, work::Change};
use uuid::Uuid;

use crate::{
    bodies::{batch, flawed, sale, sign, value},
    on_both_tiers,
    world::{DEADLINE, World},
};

on_both_tiers!(
    every_version_and_a_batch_end_forwarded,
    a_status_is_true_from_the_instant_of_the_answer,
    a_replay_gets_the_same_bytes_for_ever,
    changed_content_under_a_used_uuid_is_a_conflict,
    a_sale_sent_in_two_submissions_is_recorded_once,
    an_id_reused_for_another_sale_keeps_the_first,
    an_invalid_sale_is_a_result,
    nobody_sees_another_terminals_sales,
);

async fn every_version_and_a_batch_end_forwarded(world: World) {
    let till = world.till();
    let mut sent = vec![batch(till, Version::V21, 10, 4), batch(till, Version::V1, 3, 5)];
    sent.extend(
        Version::ALL
            .into_iter()
            .zip(1..)
            .map(|(version, seed)| sale(till, version, seed)),
    );
    for body in &sent {
        let answer = world.post(till, body.body.clone()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let sales: Vec<_> = sent.iter().flat_map(|body| &body.sales).collect();
    let expected = u64::try_from(sales.len()).unwrap();
    world
        .sink
        .wait_until(|seen| seen.distinct == expected, DEADLINE)
        .await
        .unwrap();
    world.drain().await;

    let held = world.sink.entries();
    for sale in &sales {
        let entry = held
            .iter()
            .find(|entry| entry.transaction_id == sale.transaction_id)
            .unwrap();
        assert_eq!(entry.amount, sale.amount);
        assert_eq!(entry.terminal_id, till.terminal_id);
        let path = format!("/api/v1/transactions/{}/status", sale.transaction_id);
        let status = world.get(till, &path).await.json();
        assert_eq!(status["status"], "FORWARDED", "{status}");
        assert_eq!(status["validation_status"], "VALID", "{status}");
    }
    let summary = world.sink.summary();
    assert_eq!(summary.complaints, 0, "{summary}");
    assert_eq!(
        summary.amount,
        sales.iter().map(|sale| sale.amount).sum::<Money>()
    );
    for body in &sent {
        let path = format!("/api/v1/submissions/{}", body.submission_uuid);
        let submission = world.get(till, &path).await.json();
        assert_eq!(submission["status"], "PROCESSED", "{submission}");
        assert_eq!(
            submission["transactions"].as_array().unwrap().len(),
            body.sales.len()
        );
    }
    check_chain(&world, till.tenant_id, sales.len()).await;
    world.stop().await;
}

/// The tenant's chain holds three changes a sale, without gaps, each row hashed over the one before.
async fn check_chain(world: &World, tenant_id: i64, sales: usize) {
    let rows = world.store.audit_page(tenant_id, 0, 10_000).await.unwrap();
    assert_eq!(rows.len(), 3 * sales);
    let mut previous = [0; 32];
    for (row, seq) in rows.iter().zip(1..) {
        assert_eq!(row.seq, seq);
        assert_eq!(row.previous, previous);
        assert_eq!(
            row.hash,
            audit::link(&previous, row.seq, &row.event, row.appended_at)
        );
        previous = row.hash;
    }
    for change in [Change::Recorded, Change::Decided, Change::Forwarded] {
        assert_eq!(
            rows.iter().filter(|row| row.event.change == change).count(),
            sales
        );
    }
}

async fn a_status_is_true_from_the_instant_of_the_answer(world: World) {
    let till = world.till();
    for (seed, body) in (100..120).map(|seed| (seed, batch(till, Version::V21, 1 + seed as usize % 2, seed)))
    {
        let answer = world.post(till, body.body.clone()).await;
        assert_eq!(answer.status, 202, "{seed}: {answer:?}");
        let accepted = answer.json();
        assert_eq!(accepted["submission_uuid"], json!(body.submission_uuid));
        for (item, sale) in accepted["transactions"]
            .as_array()
            .unwrap()
            .iter()
            .zip(&body.sales)
        {
            assert_eq!(item["transaction_id"], json!(sale.transaction_id));
            let status = world.get(till, item["status_url"].as_str().unwrap()).await;
            assert_eq!(status.status, 200, "{status:?}");
            let word = status.json()["status"].as_str().unwrap().to_owned();
            assert!(
                ["ACCEPTED", "PENDING", "VALID", "FORWARDED"].contains(&word.as_str()),
                "{word}"
            );
        }
        let submission = world.get(till, accepted["status_url"].as_str().unwrap()).await;
        assert_eq!(submission.status, 200, "{submission:?}");
    }
    world.stop().await;
}

async fn a_replay_gets_the_same_bytes_for_ever(world: World) {
    let till = world.till();
    let body = batch(till, Version::V21, 3, 7);
    let together = futures::future::join_all((0..64).map(|_| world.post(till, body.body.clone()))).await;
    world.drain().await;
    let later = world.post(till, body.body.clone()).await;
    for answer in together.iter().chain([&later]) {
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.text, later.text);
    }
    world.drain().await;
    assert_eq!(world.sink.summary().distinct, 3);
    assert_eq!(world.sink.summary().duplicates, 0);
    world.stop().await;
}

async fn changed_content_under_a_used_uuid_is_a_conflict(world: World) {
    let till = world.till();
    let first = sale(till, Version::V21, 8);
    assert_eq!(world.post(till, first.body.clone()).await.status, 202);
    let mut changed = value(&first);
    changed["transaction"]["customer_code"] = "SOMEBODY-ELSE".into();
    let answer = world.post(till, sign(changed.clone(), Version::V21)).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    assert_eq!(answer.code(), "submission_conflict");
    // The same uuid from another terminal is another submission.
    let other = &world.tills[1];
    changed["terminal_id"] = other.terminal_id.into();
    changed["transaction"]["hardware_id"] = other.serial_number.clone().into();
    let answer = world.post(other, sign(changed, Version::V21)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    world.stop().await;
}

async fn a_sale_sent_in_two_submissions_is_recorded_once(world: World) {
    let till = world.till();
    let first = sale(till, Version::V21, 9);
    assert_eq!(world.post(till, first.body.clone()).await.status, 202);
    let mut again = value(&first);
    let uuid = Uuid::from_u128(1);
    again["submission_uuid"] = json!(uuid);
    assert_eq!(world.post(till, sign(again, Version::V21)).await.status, 202);
    world.drain().await;
    // Two workers may look at them in either order; one made the row, the other found it.
    let mut states = Vec::new();
    for uuid in [first.submission_uuid, uuid] {
        let path = format!("/api/v1/submissions/{uuid}");
        let submission = world.get(till, &path).await.json();
        states.push(
            submission["transactions"][0]["state"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    states.sort();
    assert_eq!(states, ["DUPLICATE", "FORWARDED"]);
    assert_eq!(world.sink.summary().distinct, 1);
    world.stop().await;
}

async fn an_id_reused_for_another_sale_keeps_the_first(world: World) {
    let till = world.till();
    let first = sale(till, Version::V21, 10);
    assert_eq!(world.post(till, first.body.clone()).await.status, 202);
    world.drain().await;
    let mut other = value(&sale(till, Version::V21, 11));
    other["transaction"]["transaction_id"] = json!(first.sales[0].transaction_id);
    let uuid = other["submission_uuid"].as_str().unwrap().to_owned();
    assert_eq!(world.post(till, sign(other, Version::V21)).await.status, 202);
    world.drain().await;
    let submission = world
        .get(till, &format!("/api/v1/submissions/{uuid}"))
        .await
        .json();
    assert_eq!(submission["transactions"][0]["state"], "CONFLICT", "{submission}");
    let held = world.sink.entries();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].amount, first.sales[0].amount);
    world.stop().await;
}

async fn an_invalid_sale_is_a_result(world: World) {
    let till = world.till();
    for (version, seed) in Version::ALL.into_iter().zip(20..) {
        let body = flawed(till, version, seed);
        assert_eq!(world.post(till, body.body.clone()).await.status, 202);
        world.drain().await;
        let path = format!("/api/v1/transactions/{}/status", body.sales[0].transaction_id);
        let status = world.get(till, &path).await.json();
        assert_eq!(status["status"], "INVALID", "{status}");
        assert!(!status["findings"].as_array().unwrap().is_empty(), "{status}");
    }
    assert_eq!(world.sink.summary().distinct, 0);
    assert_eq!(world.store.count_dead_letters().await.unwrap(), 0);
    world.stop().await;
}

async fn nobody_sees_another_terminals_sales(world: World) {
    let body = sale(world.till(), Version::V21, 30);
    assert_eq!(world.post(world.till(), body.body.clone()).await.status, 202);
    world.drain().await;
    let paths = |transaction: Uuid, submission: Uuid| {
        [
            format!("/api/v1/transactions/{transaction}/status"),
            format!("/api/v1/submissions/{submission}"),
        ]
    };
    let known = paths(body.sales[0].transaction_id, body.submission_uuid);
    let unknown = paths(Uuid::from_u128(1), Uuid::from_u128(2));
    for (path, nobodys) in known.iter().zip(&unknown) {
        assert_eq!(world.get(world.till(), path).await.status, 200);
        let nothing = world.get(world.till(), nobodys).await;
        for stranger in &world.tills[1..] {
            let answer = world.get(stranger, path).await;
            assert_eq!(answer.status, 404, "{answer:?}");
            assert_eq!(answer.code(), nothing.code());
            assert_eq!(answer.json()["detail"], nothing.json()["detail"]);
        }
    }
    world.stop().await;
}
