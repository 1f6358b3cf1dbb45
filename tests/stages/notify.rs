//! Notification: a terminal is told the result of its sales, once, as often as it takes.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};
use tsms::{
    config::Millis, outcome::Verdict, stage::Stage, standin::sim::SimTerminal, store::NewTerminal, workers,
};

use crate::world::{World, followers, keys, stripped, with_body};

/// Answers with these statuses, then with 204; keeps the bodies.
#[derive(Clone, Default)]
struct Till {
    statuses: Arc<Mutex<VecDeque<u16>>>,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Till {
    async fn listen(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/result", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().answer(stream));
            }
        });
        url
    }

    async fn answer(self, mut stream: TcpStream) {
        let mut read = Vec::new();
        let body = loop {
            if stream.read_buf(&mut read).await.unwrap() == 0 {
                return;
            }
            let text = String::from_utf8_lossy(&read);
            // The body is one JSON object, so it is whole when it can be read.
            let body = text
                .split_once("\r\n\r\n")
                .and_then(|(_, body)| serde_json::from_str(body).ok());
            if let Some(body) = body {
                break body;
            }
        };
        self.bodies.lock().await.push(body);
        let status = self.statuses.lock().await.pop_front().unwrap_or(204);
        let answer = format!(
            "HTTP/1.1 {status} x\r\nLocation: /other\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// A world whose first terminal wants to be told, at `url`.
async fn world(url: String) -> World {
    let mut world = World::new(|config| {
        config.notification.retry_min_ms = Millis::new(1);
        config.notification.retry_max_ms = Millis::new(1);
        config.notification.max_attempts = 4;
    })
    .await;
    let new = NewTerminal {
        tenant_id: world.tills[0].tenant_id,
        serial_number: "SN-called-back".to_owned(),
        callback_url: Some(url),
        expires_at: None,
    };
    let terminal = world.store.create_terminal(&new).await.unwrap();
    world.tills[0] = SimTerminal {
        terminal_id: terminal.id,
        serial_number: terminal.serial_number,
        ..world.tills[0].clone()
    };
    world
}

#[tokio::test]
async fn results_are_told_once_and_tried_again_until_they_arrive() {
    let till = Till::default();
    *till.statuses.lock().await = [500, 302].into();
    let world = world(till.clone().listen().await).await;
    let accepted = world.accept(0, 2, true, 1).await;
    let validated = world.run(Stage::Validation, &[with_body(&accepted)]).await;
    let rows = followers(&validated, Stage::Processing);
    let decided = world.run(Stage::Processing, &rows).await;
    let jobs = followers(&decided, Stage::Notification);
    assert_eq!(jobs.len(), 2);
    // Decided again, the notices are not made again, but a lost job is.
    let again = world.run(Stage::Processing, &stripped(&rows)).await;
    assert_eq!(
        keys(&again, Stage::Notification),
        keys(&decided, Stage::Notification)
    );

    let first = world.run(Stage::Notification, &jobs).await;
    assert!(
        first
            .verdicts
            .iter()
            .all(|verdict| matches!(verdict, Verdict::Retry { .. })),
        "{first:?}"
    );
    for _ in 0..100 {
        world.run(Stage::Notification, &jobs).await;
        if till.bodies.lock().await.len() == 4 {
            break;
        }
    }
    world.run(Stage::Notification, &jobs).await;
    let bodies = till.bodies.lock().await;
    assert_eq!(bodies.len(), 4, "two that failed, two that arrived");
    let mut told: Vec<_> = bodies
        .iter()
        .skip(2)
        .map(|body| body["validation_result"].as_str().unwrap())
        .collect();
    told.sort_unstable();
    assert_eq!(told, ["INVALID", "VALID"]);
    for body in bodies.iter() {
        assert_eq!(body["submission_uuid"], accepted.submission_uuid.to_string());
        let failed = body["validation_status"] == "failed";
        assert_eq!(failed, body["validation_result"] == "INVALID");
        assert_eq!(failed, !body["errors"].as_array().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_callback_that_cannot_arrive_is_given_up() {
    for (url, tries) in [("ftp://example.com/", 1), ("http://127.0.0.1:1/", 4)] {
        let world = world(url.to_owned()).await;
        let accepted = world.accept(0, 1, false, 1).await;
        let validated = world.run(Stage::Validation, &[with_body(&accepted)]).await;
        let decided = world
            .run(Stage::Processing, &followers(&validated, Stage::Processing))
            .await;
        let jobs = followers(&decided, Stage::Notification);
        let mut claimed = 0;
        for _ in 0..200 {
            let verdict = world.run(Stage::Notification, &jobs).await.verdicts.remove(0);
            claimed += usize::from(verdict != Verdict::Done);
            if matches!(verdict, Verdict::Dead { .. }) {
                break;
            }
        }
        assert_eq!(claimed, tries, "{url}");
        assert_eq!(
            world.run(Stage::Notification, &jobs).await.verdicts,
            [Verdict::Done]
        );
    }
}

#[tokio::test]
async fn a_callback_into_the_private_network_is_not_made() {
    let till = Till::default();
    let url = till.clone().listen().await;
    // The same machine by name: what the name leads to is checked as well.
    for url in [url.clone(), url.replace("127.0.0.1", "localhost")] {
        let world = world(url).await;
        let accepted = world.accept(0, 1, false, 1).await;
        let validated = world.run(Stage::Validation, &[with_body(&accepted)]).await;
        let rows = followers(&validated, Stage::Processing);
        let decided = world.run(Stage::Processing, &rows).await;
        let jobs = followers(&decided, Stage::Notification);
        let strict = world.other(|config| config.egress.allow = "10.0.0.0/8".parse().unwrap());
        let refused = workers::run(Stage::Notification, &strict, &jobs).await.unwrap();
        assert_eq!(refused.verdicts[0].code(), "address_refused", "{refused:?}");
        assert!(till.bodies.lock().await.is_empty(), "it was called");
    }
}
