//! Alerts: what began is told once, whoever looks, and within the bounds of an hour.

use std::time::Duration;

use tokio::task::JoinSet;
use tsms::{
    domain::{
        alert::{AlertKind, Finding},
        time::Timestamp,
    },
    store::{Channel, Message, NewMessage, Round, Sent, Store, Telling},
};

use crate::{base::Base, fixtures::after};

const HOLD: Duration = Duration::from_secs(60);

fn telling(per_hour: usize) -> Telling {
    Telling {
        cool_down: Duration::from_secs(900),
        per_hour,
        most_open: 3,
        most_lines: 2,
        channels: vec![Channel::Email, Channel::Webhook],
        environment: "test".to_owned(),
    }
}

fn finding(kind: AlertKind, subject: &str) -> Finding {
    Finding {
        kind,
        subject: subject.to_owned(),
        summary: format!("{subject} is not well"),
    }
}

async fn look(store: &Store, findings: &[Finding], telling: &Telling, now: Timestamp) -> Round {
    store
        .alert_round(&AlertKind::ALL, findings, telling, now)
        .await
        .unwrap()
}

async fn made(store: &Store) -> Vec<Message> {
    store.messages(0, 1000).await.unwrap()
}

pub(crate) async fn schedulers_at_once_tell_it_once(base: &Base) {
    let stores = [base.store().await, base.open().await];
    let mut tasks = JoinSet::new();
    for number in 0..8_usize {
        let store = stores[number % 2].clone();
        tasks.spawn(async move {
            let findings = [finding(AlertKind::BreakerOpen, "sink:webapp")];
            look(&store, &findings, &telling(10), after(0)).await.told
        });
    }
    let told: u64 = tasks.join_all().await.into_iter().sum();
    assert_eq!(told, 1);
    let messages = made(&stores[0]).await;
    assert_eq!(messages.len(), 2, "one of each way: {messages:?}");
    assert!(
        messages[0].title.contains("breaker_open sink:webapp raised"),
        "{messages:?}"
    );
    let posted: serde_json::Value = serde_json::from_str(&messages[1].body).unwrap();
    assert_eq!(posted["alerts"][0]["subject"], "sink:webapp");
    // A process that starts anew forgets nothing.
    let findings = [finding(AlertKind::BreakerOpen, "sink:webapp")];
    let again = look(&base.open().await, &findings, &telling(10), after(60)).await;
    assert_eq!((again.open, again.told), (1, 0));
}

pub(crate) async fn an_alert_has_a_beginning_reminders_and_an_end(base: &Base) {
    let store = base.store().await;
    let telling = telling(10);
    let here = [
        finding(AlertKind::BacklogAge, "queue:forwarding"),
        finding(AlertKind::Security, "token_reuse token:7 1"),
    ];
    assert_eq!(look(&store, &here, &telling, after(0)).await.told, 2);
    assert_eq!(look(&store, &here, &telling, after(899)).await.told, 0);
    assert_eq!(
        look(&store, &here, &telling, after(900)).await.told,
        1,
        "what happened is told once"
    );
    let over = look(&store, &[], &telling, after(901)).await;
    assert_eq!((over.open, over.told), (0, 1));
    let messages = made(&store).await;
    let last = &messages[messages.len() - 2];
    assert!(
        last.body.starts_with("cleared backlog_age queue:forwarding"),
        "{last:?}"
    );
    // A kind that could not be looked at stays as it is.
    look(&store, &here, &telling, after(2000)).await;
    let blind = store
        .alert_round(&[AlertKind::Security], &[], &telling, after(2001))
        .await
        .unwrap();
    assert_eq!(blind.open, 1);
    let open = store.open_alerts(10).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].kind, AlertKind::BacklogAge);
    assert_eq!(store.alerts(0, 10).await.unwrap().len(), 2, "the others are kept");
}

pub(crate) async fn the_bound_of_an_hour_holds_and_loses_nothing(base: &Base) {
    let store = base.store().await;
    let telling = telling(2);
    let mut findings = Vec::new();
    let mut told = Vec::new();
    for number in 0..4_u64 {
        findings.push(finding(AlertKind::SilentTerminal, &format!("terminal:{number}")));
        let round = look(&store, &findings, &telling, after(number)).await;
        told.push((round.told, round.held));
    }
    // Three of a kind at most are open; the third message of the hour is held.
    assert_eq!(told, [(1, 0), (1, 0), (0, 1), (0, 1)]);
    assert_eq!(made(&store).await.len(), 4);
    assert!(made(&store).await[2].body.contains("No more messages"));
    // An hour later it is told with the reminders, and no message names more than its bound.
    let later = look(&store, &findings, &telling, after(3700)).await;
    assert_eq!((later.told, later.held), (3, 0));
    let messages = made(&store).await;
    assert!(
        messages[4].body.contains("terminal:2") && messages[4].body.contains("and 1 more"),
        "{messages:?}"
    );
}

pub(crate) async fn a_message_is_delivered_by_one(base: &Base) {
    let stores = [base.store().await, base.open().await];
    let test = NewMessage::test(Channel::Email, "test", after(0));
    let id = stores[0].post_message(&test).await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..8_usize {
        let store = stores[number % 2].clone();
        tasks.spawn(async move { store.claim_messages(None, 10, after(1), HOLD).await.unwrap() });
    }
    let claims = tasks.join_all().await;
    let got: Vec<_> = claims.iter().filter(|claim| !claim.messages.is_empty()).collect();
    assert_eq!(got.len(), 1);
    let [message] = got[0].messages.as_slice() else {
        panic!("{got:?}");
    };
    assert_eq!((message.id, message.attempts), (id, 1));
    let later = Sent::Later(after(100), "timeout");
    stores[0]
        .settle_message(got[0], id, later, after(2))
        .await
        .unwrap();
    let none = stores[1].claim_messages(None, 10, after(99), HOLD).await.unwrap();
    assert!(none.messages.is_empty());
    // Whoever claimed it and died leaves it to the next; what he settles late changes nothing.
    let dead = stores[1]
        .claim_messages(None, 10, after(100), HOLD)
        .await
        .unwrap();
    let next = stores[0]
        .claim_messages(None, 10, after(200), HOLD)
        .await
        .unwrap();
    assert_eq!(next.messages[0].attempts, 3);
    assert_eq!(next.messages[0].uid, message.uid, "its receiver knows it again");
    stores[1]
        .settle_message(&dead, id, Sent::Never("x"), after(201))
        .await
        .unwrap();
    stores[0]
        .settle_message(&next, id, Sent::Yes, after(202))
        .await
        .unwrap();
    let kept = stores[0].messages(0, 10).await.unwrap();
    assert_eq!(
        (kept[0].state.as_str(), kept[0].last_code.as_deref()),
        ("SENT", None)
    );
}
