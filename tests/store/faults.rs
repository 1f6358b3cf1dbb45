//! Calls that are cancelled, connections that break.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::json;
use tokio::{sync::Notify, task::JoinSet};
use tsms::{
    domain::sale::ValidationStatus,
    store::{Accepted, NewSubmission, StoreError},
};

use crate::{
    base::Base,
    fixtures::{decision, recorded, submission},
};

/// Lets a call run until it has waited `steps` times, then drops it.
async fn cancelled_after<T>(steps: usize, call: impl Future<Output = T>) -> Option<T> {
    let mut call = std::pin::pin!(call);
    let mut waited = 0;
    std::future::poll_fn(move |context| match call.as_mut().poll(context) {
        std::task::Poll::Ready(ended) => std::task::Poll::Ready(Some(ended)),
        std::task::Poll::Pending if waited == steps => std::task::Poll::Ready(None),
        std::task::Poll::Pending => {
            waited += 1;
            std::task::Poll::Pending
        }
    })
    .await
}

/// A worker's time limit drops a call wherever it stands. What the next caller finds must be whole:
/// above all, a connection must not go back with a transaction open, or what commits by itself on it
/// would be lost when it closes.
pub(crate) async fn cancelled_calls_leave_nothing_half_done(base: &Base) {
    let store = base.store().await;
    let other = base.open_with(json!({"max_connections": 2})).await;
    let rows = recorded(&store, 60).await;
    for (steps, row) in rows.iter().enumerate() {
        let decisions = [decision(row.id, ValidationStatus::Valid)];
        cancelled_after(steps % 12, other.decide(&decisions)).await;
        // Commits by itself, on a connection the cancelled call may have had.
        let id = 1000 + i64::try_from(steps).unwrap();
        assert_eq!(other.accept(&[submission(id)]).await.unwrap(), [Accepted::New]);
        let seen = format!("SELECT COUNT(*) FROM submissions WHERE id = {id}");
        assert_eq!(
            base.number(&seen).await,
            1,
            "after {steps} steps: accepted, and not committed"
        );
    }
    let valid = "SELECT COUNT(*) FROM transactions WHERE validation_status = 'VALID'";
    assert_eq!(base.rows("forwards").await, base.number(valid).await);
    for row in &rows {
        store
            .decide(&[decision(row.id, ValidationStatus::Valid)])
            .await
            .unwrap();
    }
    assert_eq!(base.rows("forwards").await, 60);
}

/// Connections are cut while terminals post; each post is repeated until it is answered. Every
/// submission must be there once, and every answer must be about the caller's own row.
pub(crate) async fn lost_connections_lose_and_double_nothing(base: &Base) {
    let store = base.store().await;
    let posted = Arc::new(Notify::new());
    let mut posters = JoinSet::new();
    for poster in 0..4_i64 {
        let store = store.clone();
        let posted = Arc::clone(&posted);
        posters.spawn(async move {
            for round in 0..40 {
                let first = 1 + poster * 10_000 + round * 5;
                let set: Vec<NewSubmission> = (first..first + 5).map(submission).collect();
                let mut asked = 0;
                let answers = loop {
                    asked += 1;
                    assert!(asked < 1000, "no answer");
                    match store.accept(&set).await {
                        Ok(answers) => break answers,
                        Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                };
                for (answer, mine) in answers.iter().zip(&set) {
                    match answer {
                        Accepted::New => {}
                        // The commit had been done when its answer was lost.
                        Accepted::Replay { id, .. } => assert_eq!(*id, mine.id),
                        Accepted::Conflict { .. } => panic!("a conflict with itself"),
                    }
                }
                posted.notify_one();
            }
        });
    }
    let cuts = AtomicU32::new(0);
    let cut = async {
        for _ in 0..20 {
            posted.notified().await;
            cuts.fetch_add(1, Ordering::Relaxed);
            base.cut_connections().await;
        }
    };
    let ended = async {
        while let Some(ended) = posters.join_next().await {
            ended.unwrap();
        }
    };
    tokio::pin!(ended);
    // Posts that come during a cut wake the cutter once only: where cutting is slow, the posters end
    // before it has had its twenty.
    tokio::select! {
        biased;
        () = cut => ended.await,
        () = &mut ended => {}
    }
    assert!(cuts.load(Ordering::Relaxed) > 0);
    assert_eq!(base.rows("submissions").await, 4 * 40 * 5);
}
