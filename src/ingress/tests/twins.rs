//! The same submission many times at once, and the same ids for other content.

use std::collections::HashSet;

use http::StatusCode;
use serde_json::json;

use super::till::{Answer, Mall};

/// All at once, whatever the machine makes of it.
const CROWD: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_equal_submissions_at_once_are_one() {
    let mall = Mall::open(|_| {}).await;
    let body = mall.till.submission(2).signed();
    let answers = futures::future::join_all((0..CROWD).map(|_| mall.post(&mall.till.token, &body))).await;
    let distinct: HashSet<(StatusCode, &str)> = answers
        .iter()
        .map(|answer| (answer.status, answer.text()))
        .collect();
    assert_eq!(distinct.len(), 1, "{distinct:?}");
    assert_eq!(answers[0].status, StatusCode::ACCEPTED, "{}", answers[0].text());
    mall.queued(1).await;
    assert_eq!(mall.ready_jobs().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_contents_for_one_id_exactly_one_stands() {
    let mall = Mall::open(|_| {}).await;
    let mut sale = mall.till.submission(1);
    let bodies: Vec<String> = (0..64)
        .map(|number| {
            sale.body["transaction"]["customer_code"] = json!(format!("C-{number}"));
            sale.signed()
        })
        .collect();
    let answers =
        futures::future::join_all(bodies.iter().map(|body| mall.post(&mall.till.token, body))).await;
    let stands: Vec<usize> = (0..bodies.len())
        .filter(|at| answers[*at].status == StatusCode::ACCEPTED)
        .collect();
    assert_eq!(stands.len(), 1, "{stands:?}");
    let conflicts = answers
        .iter()
        .filter(|answer| answer.json()["code"] == "submission_conflict");
    assert_eq!(conflicts.count(), bodies.len() - 1);
    let again = mall.post(&mall.till.token, &bodies[stands[0]]).await;
    assert_eq!(
        (again.status, again.text()),
        (StatusCode::ACCEPTED, answers[stands[0]].text()),
        "the original is kept"
    );
    mall.queued(1).await;
}

/// An id belongs to the terminal that made it: two tills may use the same one for other sales, and
/// neither learns of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_ids_of_two_terminals_are_two_submissions() {
    let mall = Mall::open(|_| {}).await;
    let ours = mall.till.submission(1);
    let mut theirs = mall.neighbour.submission(1);
    for member in ["submission_uuid", "submission_timestamp"] {
        theirs.body[member] = ours.body[member].clone();
    }
    theirs.body["transaction"]["transaction_id"] = ours.body["transaction"]["transaction_id"].clone();
    let (ours, theirs) = (ours.signed(), theirs.signed());
    let both = (0..32).map(|number| {
        let (token, body) = if number % 2 == 0 {
            (&mall.till.token, &ours)
        } else {
            (&mall.neighbour.token, &theirs)
        };
        mall.post(token, body)
    });
    let answers = futures::future::join_all(both).await;
    let of = |parity: usize| -> HashSet<&str> {
        let own = answers
            .iter()
            .enumerate()
            .filter(|(number, _)| number % 2 == parity);
        own.map(|(_, answer): (usize, &Answer)| {
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
            answer.text()
        })
        .collect()
    };
    assert_eq!((of(0).len(), of(1).len()), (1, 1));
    assert_ne!(of(0), of(1));
    mall.queued(2).await;
}
