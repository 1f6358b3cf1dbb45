//! Dead letters brought back and discarded.

use std::{collections::BTreeMap, time::Duration};

use tsms::{
    domain::{
        dead_letter::Filter,
        forward::REFUSED,
        sale::{Transaction, ValidationStatus},
    },
    store::{Mark, RedriveKind, RedriveState, Settled, Store},
};

use crate::{
    base::Base,
    fixtures::{TENANT, after, decision, recorded, submission, valid},
    reversing::{claim, forwarded, id_of, made, refund, void},
};

fn filter(text: &str) -> Filter {
    text.parse().unwrap()
}

/// Sales whose deliveries were given up.
async fn given_up(store: &Store, count: usize, code: &'static str) -> Vec<Transaction> {
    let rows = valid(store, count).await;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let claim = claim(store, &ids).await;
    let dead = |id: &i64| Settled::Dead {
        id: *id,
        at: after(20),
        code,
        detail: format!("HTTP 422: sale {id}"),
    };
    let ends: Vec<Settled> = ids.iter().map(dead).collect();
    assert_eq!(store.settle_forwards(claim.token, &ends).await.unwrap(), 0);
    rows
}

async fn finish(store: &Store, order: i64, most: usize) -> (u64, u64) {
    let mut now = after(30);
    for _ in 0..1000 {
        let order = store.redrive_step(order, most, now).await.unwrap();
        now = now.max(order.next_at);
        if order.state == RedriveState::Done {
            return (order.moved, order.kept);
        }
    }
    panic!("an order that never ends");
}

pub(crate) async fn what_was_given_up_is_due_again_once(base: &Base) {
    let store = base.store().await;
    let refused = given_up(&store, 300, REFUSED).await;
    let other = given_up(&store, 2, "exhausted").await;
    let letters = store.dead_letters(0, 1000).await.unwrap();
    assert_eq!(letters.len(), 302);
    let cause = letters[0].cause();
    let of_one = letters.iter().filter(|letter| letter.cause() == cause);
    assert_eq!(of_one.count(), 300, "their ids do not make them differ");

    let which = filter(&format!("stage=forwarding,tenant={TENANT},cause={cause}"));
    let order = store
        .start_redrive(RedriveKind::Retry, &which, "fixed", 10_000)
        .await
        .unwrap();
    // Who dies after the order is not its business.
    let later = given_up(&store, 1, REFUSED).await;
    let first = store.redrive_step(order, 7, after(30)).await.unwrap();
    assert_eq!((first.moved, first.state), (7, RedriveState::Running));
    store.pause_redrive(order, true).await.unwrap();
    let paused = store.redrive_step(order, 7, after(30)).await.unwrap();
    assert_eq!((paused.moved, paused.state), (7, RedriveState::Paused));
    store.pause_redrive(order, false).await.unwrap();
    assert_eq!(finish(&store, order, 64).await, (300, 0));
    assert!(store.pause_redrive(order, true).await.is_err(), "done is done");
    // A step of an order that is done moves nothing.
    assert_eq!(finish(&store, order, 64).await, (300, 0));

    let ids: Vec<i64> = refused.iter().map(|row| row.id).collect();
    let again = store
        .claim_forwards(&ids, Vec::new(), after(60), Duration::from_secs(45))
        .await
        .unwrap();
    assert_eq!(again.items.len(), 300);
    assert!(again.items.iter().all(|item| item.attempt == 2));
    let left: Vec<i64> = (store.dead_letters(0, 1000).await.unwrap().iter())
        .map(|letter| letter.subject_id)
        .collect();
    assert_eq!(left, [other[0].id, other[1].id, later[0].id]);
    // A second death leaves a letter again.
    let dead = Settled::Dead {
        id: ids[0],
        at: after(70),
        code: REFUSED,
        detail: String::new(),
    };
    store.settle_forwards(again.token, &[dead]).await.unwrap();
    assert_eq!(store.count_dead_letters().await.unwrap(), 4);

    let actions = store.list_actions(0, 1000).await.unwrap();
    let of_order: Vec<&str> = (actions.iter())
        .filter(|action| action.subject_kind == "redrive" && action.subject_id == order)
        .map(|action| action.action.as_str())
        .collect();
    assert_eq!(of_order, ["dlq.retry", "dlq.paused", "dlq.resumed", "dlq.done"]);
}

pub(crate) async fn a_refused_sale_takes_its_refunds_along_and_a_void_one_stays(base: &Base) {
    let store = base.store().await;
    let rows = given_up(&store, 3, REFUSED).await;
    let (refunded, voided) = (&rows[0], &rows[1]);
    made(&store, &refund(id_of(refunded), "a", 100)).await;
    made(&store, &void(id_of(voided), "wrong item")).await;
    // The web application refused both sales, so it need not hear of either.
    base.run("UPDATE reversals SET due_at = 1 WHERE due_at IS NOT NULL")
        .await;
    assert!(claim(&store, &[refunded.id, voided.id]).await.items.is_empty());
    assert_eq!(
        base.number("SELECT COUNT(*) FROM reversals WHERE state = 'WITHDRAWN'")
            .await,
        2
    );
    base.run("UPDATE sweep_marks SET id = 999999").await;

    let order = store
        .start_redrive(RedriveKind::Retry, &filter("all"), "", 10_000)
        .await
        .unwrap();
    assert_eq!(finish(&store, order, 10).await, (2, 1), "the void sale is kept");
    let letters = store.dead_letters(0, 10).await.unwrap();
    assert_eq!((letters.len(), letters[0].subject_id), (1, voided.id));
    // The log misses what comes now: the sweeper looks again.
    let marks = "SELECT COUNT(*) FROM sweep_marks WHERE name IN ('audit', 'reversals') AND id < 999999";
    assert_eq!(base.number(marks).await, 2);

    // Due at once, before the time at which the fixture claims.
    base.run("UPDATE forwards SET due_at = 1 WHERE due_at IS NOT NULL")
        .await;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let sent = claim(&store, &ids).await;
    assert_eq!(sent.items.len(), 2);
    assert!(sent.items.iter().all(|item| item.reversals.is_none()));
    let ends = [forwarded(rows[0].id), forwarded(rows[2].id)];
    assert_eq!(store.settle_forwards(sent.token, &ends).await.unwrap(), 0);
    base.run("UPDATE reversals SET due_at = 1 WHERE due_at IS NOT NULL")
        .await;
    let told = claim(&store, &ids).await;
    let reversals = told.items[0].reversals.clone().unwrap();
    assert_eq!((told.items.len(), told.items[0].row.id), (1, refunded.id));
    assert_eq!(reversals.refunds.len(), 1);

    // The refund given up in its turn is brought back by itself.
    let dead = Settled::Dead {
        id: refunded.id,
        at: after(50),
        code: "exhausted",
        detail: String::new(),
    };
    store.settle_reversals(told.token, &[dead]).await.unwrap();
    let order = store
        .start_redrive(RedriveKind::Retry, &filter("stage=reversal"), "", 10_000)
        .await
        .unwrap();
    assert_eq!(finish(&store, order, 10).await, (1, 0));
    base.run("UPDATE reversals SET due_at = 1 WHERE due_at IS NOT NULL")
        .await;
    assert_eq!(claim(&store, &ids).await.items.len(), 1);
}

pub(crate) async fn a_discarded_letter_is_kept_with_its_order(base: &Base) {
    let store = base.store().await;
    let rows = given_up(&store, 2, REFUSED).await;
    let long = "x".repeat(501);
    let refused = store
        .start_redrive(RedriveKind::Discard, &filter("all"), &long, 10_000)
        .await;
    assert!(refused.is_err());
    let id = store.dead_letters(0, 1).await.unwrap()[0].id;
    let order = store
        .start_redrive(
            RedriveKind::Discard,
            &filter(&format!("id={id}")),
            "test sales",
            10_000,
        )
        .await
        .unwrap();
    assert_eq!(finish(&store, order, 10).await, (1, 0));
    assert_eq!(store.count_dead_letters().await.unwrap(), 1);
    let kept = format!(
        "SELECT COUNT(*) FROM settled_letters s JOIN redrives r ON r.id = s.redrive_id JOIN forwards f \
         ON f.transaction_id = s.subject_id WHERE s.letter_id = {id} AND f.transaction_id = {} \
         AND f.state = 'DEAD' AND r.kind = 'DISCARD' AND r.reason = 'test sales' AND r.settled_at > 0",
        rows[0].id
    );
    assert_eq!(base.number(&kept).await, 1);
}

pub(crate) async fn two_at_once_move_each_letter_once(base: &Base) {
    let stores = [base.store().await, base.open().await];
    given_up(&stores[0], 200, REFUSED).await;
    let order = stores[0]
        .start_redrive(RedriveKind::Retry, &filter("all"), "", 10_000)
        .await
        .unwrap();
    let (one, two) = tokio::join!(finish(&stores[0], order, 9), finish(&stores[1], order, 11));
    assert_eq!((one, two), ((200, 0), (200, 0)));
    let moved = "SELECT COUNT(DISTINCT letter_id) FROM settled_letters";
    assert_eq!(base.number(moved).await, 200);
    assert_eq!(base.rows("settled_letters").await, 200);
    assert_eq!(stores[1].redrives(0, 10).await.unwrap()[0].moved, 200);
}

pub(crate) async fn two_commands_share_the_rate_of_a_run(base: &Base) {
    const RATE: u32 = 100;
    let stores = [base.store().await, base.open().await];
    given_up(&stores[0], 300, REFUSED).await;
    let order = stores[0]
        .start_redrive(RedriveKind::Retry, &filter("all"), "", 5)
        .await
        .unwrap();
    stores[1].set_redrive_rate(order, RATE).await.unwrap();
    // Each of them asks every millisecond.
    let mut done = false;
    for millis in 0..10_000 {
        let now = after(30).plus(Duration::from_millis(millis));
        let step = |store: &Store| {
            let store = store.clone();
            async move { store.redrive_step(order, usize::MAX, now).await.unwrap() }
        };
        let (one, two) = tokio::join!(step(&stores[0]), step(&stores[1]));
        done = one.state == RedriveState::Done || two.state == RedriveState::Done;
        if done {
            break;
        }
    }
    assert!(done, "300 letters take three seconds, not ten");
    let mut seconds: BTreeMap<u64, i64> = BTreeMap::new();
    for second in 0..10_u64 {
        let (from, to) = (after(30 + second).as_micros(), after(31 + second).as_micros());
        let within =
            format!("SELECT COUNT(*) FROM settled_letters WHERE settled_at >= {from} AND settled_at < {to}");
        seconds.insert(second, base.number(&within).await);
    }
    assert_eq!(seconds.values().sum::<i64>(), 300);
    assert!(
        seconds.values().all(|moved| *moved <= i64::from(RATE)),
        "{seconds:?}"
    );
    assert_eq!(seconds[&0], i64::from(RATE), "the whole rate is used");
    let refused = stores[0].set_redrive_rate(order, 7).await;
    assert!(refused.is_err(), "done is done");
}

pub(crate) async fn what_was_set_aside_goes_through_its_stage_again(base: &Base) {
    let store = base.store().await;
    let waiting: Vec<_> = (9001..=9003).map(submission).collect();
    store.accept(&waiting).await.unwrap();
    let sales = recorded(&store, 2).await;
    for id in [9001, 9002] {
        store
            .bury_submission(id, "parked", "poison", after(3))
            .await
            .unwrap();
    }
    store
        .bury_transaction(sales[0].id, "parked", "poison", after(3))
        .await
        .unwrap();
    // A letter about a row that has ended all the same: it stays.
    base.run(&format!(
        "INSERT INTO dead_letters (stage, subject_id, tenant_id, code, detail, created_at) \
         VALUES ('processing', {}, {TENANT}, 'parked', '', 1)",
        sales[1].id
    ))
    .await;
    base.run("UPDATE sweep_marks SET id = 9999999").await;
    let order = store
        .start_redrive(RedriveKind::Retry, &filter("code=parked"), "mended", 100)
        .await
        .unwrap();
    assert_eq!(finish(&store, order, 2).await, (3, 1));
    assert_eq!(store.count_dead_letters().await.unwrap(), 1);
    assert_eq!(finish(&store, order, 2).await, (3, 1), "once is enough");

    // The sweeper finds them, from the marks that were set back.
    let mark = store.mark(Mark::Validation).await.unwrap();
    assert_eq!(mark, 9000);
    let found = store.scan_submissions(mark, after(50), 10).await.unwrap();
    let found: Vec<_> = found.iter().map(|(id, .., waits)| (*id, *waits)).collect();
    assert!(
        found.contains(&(9001, true)) && found.contains(&(9002, true)),
        "{found:?}"
    );
    assert!(store.mark(Mark::Processing).await.unwrap() < sales[0].id);
    assert!(store.mark(Mark::Audit).await.unwrap() < sales[0].id);
    // A mark that is low enough is not where a sweeper knows it either: it may have seen them as finished.
    store.bury_submission(9002, "parked", "", after(4)).await.unwrap();
    base.run("UPDATE sweep_marks SET id = 50 WHERE name = 'validation'")
        .await;
    let again = store
        .start_redrive(RedriveKind::Retry, &filter("stage=validation"), "", 100)
        .await
        .unwrap();
    assert_eq!(finish(&store, again, 2).await, (1, 0));
    assert!(!store.set_mark(Mark::Validation, 50, 9100).await.unwrap());
    assert!(store.mark(Mark::Validation).await.unwrap() <= 50);
    // And their stages take them, once.
    let ids: Vec<i64> = waiting.iter().map(|one| one.id).collect();
    assert_eq!(store.unprocessed_submissions(&ids).await.unwrap().len(), 3);
    let decided = decision(sales[0].id, ValidationStatus::Valid);
    assert!(
        store
            .decide(std::slice::from_ref(&decided))
            .await
            .unwrap()
            .left_alone
            .is_empty()
    );
    assert_eq!(store.decide(&[decided]).await.unwrap().left_alone, [sales[0].id]);
    assert_eq!(base.rows("forwards").await, 1);
}
