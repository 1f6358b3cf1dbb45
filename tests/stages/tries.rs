//! What is kept of tries that did not succeed, for whoever looks into a dead letter.

use sha2::{Digest as _, Sha256};
use tsms::{
    config::Millis,
    domain::{dead_letter::Letter, sale::ForwardState, time::Timestamp},
    stage::Stage,
    standin::sink::mode::{Answer, Mode},
    store::Try,
};

use crate::world::World;

/// What the stand-in web application answers when it is told to fail.
const ANSWER: &[u8] = br#"{"code":"told_to","status":"error"}"#;

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

#[tokio::test]
async fn a_dead_letter_tells_of_every_try_by_digest() {
    let world = World::new(|config| {
        config.forwarding.timeout_ms = Millis::new(300);
        config.forwarding.breaker_failures = 100;
        config.forwarding.max_attempts = 3;
    })
    .await;
    let jobs = world.due_sales(0, 2, 1).await;
    for (attempt, answer) in [
        (1, Answer::Status(503)),
        (2, Answer::Hang),
        (3, Answer::Status(500)),
    ] {
        world.sink.set_mode(Mode::always(answer));
        // A try that is not due yet is none.
        while world.attempts(&jobs).await < attempt {
            world.run(Stage::Forwarding, &jobs).await;
        }
    }
    assert!(world.all(&jobs, ForwardState::Dead).await);
    let letters = world.store.dead_letters(0, 10).await.unwrap();
    assert_eq!(letters.len(), 2);
    for letter in &letters {
        let tries = world.store.tries_of(letter, 10).await.unwrap();
        let told: Vec<_> = tries
            .iter()
            .map(|one| (one.attempt, one.code.as_str(), one.status))
            .collect();
        let expected = [
            (3, "http_5xx", Some(500)),
            (2, "timeout", None),
            (1, "http_5xx", Some(503)),
        ];
        assert_eq!(told, expected);
        let answers: Vec<_> = tries.iter().map(Try::answer_sha256).collect();
        assert_eq!(answers, [Some(hex(ANSWER)), None, Some(hex(ANSWER))]);
        assert!(
            tries
                .iter()
                .all(|one| one.request_sha256().len() == 64 && one.sink == "webapp")
        );
        assert!(tries.iter().all(|one| (1..=2).contains(&one.sales)), "{tries:?}");
        let requests: std::collections::HashSet<_> = tries.iter().map(|one| one.request_digest).collect();
        assert_eq!(requests.len(), 3, "each batch has its own id and time");
        assert_eq!(world.store.tries_of(letter, 1).await.unwrap().len(), 1, "bounded");
    }
}

#[tokio::test]
async fn what_succeeds_leaves_none() {
    let world = World::new(|_| ()).await;
    let jobs = world.due_sales(0, 3, 1).await;
    world.forward_to_the_end(&jobs).await;
    let letter = Letter {
        id: 1,
        stage: "forwarding".to_owned(),
        subject_id: jobs[0].key,
        tenant_id: jobs[0].tenant_id,
        code: String::new(),
        detail: String::new(),
        created_at: Timestamp::now(),
    };
    assert!(world.store.tries_of(&letter, 10).await.unwrap().is_empty());
}
