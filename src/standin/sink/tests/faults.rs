//! How it fails when it is told to, and how it is told.

use super::*;

#[tokio::test]
async fn failing_answers_fail_and_then_it_recovers() {
    for (mode, expected) in [
        ("status:503*1", 503),
        ("status:422*1", 422),
        ("busy:2*1", 429),
        ("empty*1", 204),
        ("html*1", 200),
        ("redirect*1", 302),
    ] {
        for apply in [false, true] {
            let mode = if apply {
                mode.replace('*', "+apply*")
            } else {
                mode.to_owned()
            };
            let server = Server::with_mode(&mode).await;
            let response = server.try_post(&three()).await.unwrap();
            assert_eq!(response.status().as_u16(), expected, "{mode}");
            let headers = response.headers();
            assert_eq!(headers.contains_key("retry-after"), expected == 429, "{mode}");
            assert_eq!(headers.contains_key("location"), expected == 302, "{mode}");
            let text = response.text().await.unwrap();
            assert!(!text.contains("results"), "{mode}: {text}");
            assert_eq!(
                server.sink.summary().distinct,
                if apply { 3 } else { 0 },
                "{mode}"
            );
            let word = if apply { "duplicate" } else { "accepted" };
            assert_eq!(server.statuses(&three()).await, [word; 3], "{mode}");
        }
    }
}

#[tokio::test]
async fn a_reset_leaves_the_sender_in_the_dark() {
    for (mode, after) in [("reset*1", "accepted"), ("reset+apply*1", "duplicate")] {
        let server = Server::with_mode(mode).await;
        let error = server.try_post(&three()).await.unwrap_err();
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
        assert!(format!("{error:?}").contains("ConnectionReset"), "{error:?}");
        assert_eq!(server.statuses(&three()).await, [after; 3], "{mode}");
        assert_eq!(server.sink.summary().distinct, 3);
    }
}

#[tokio::test]
async fn a_hanging_request_ends_with_the_server_and_leaves_the_others_alone() {
    let server = Server::with_mode("hang+apply*1").await;
    let body = three();
    let hanging = server.try_post(&body);
    let other = async {
        let held = server.sink.wait_until(|now| now.distinct == 3, PATIENCE).await;
        held.unwrap();
        let statuses = server.statuses(&three()).await;
        server.stop.cancel();
        statuses
    };
    let (hanging, statuses) = tokio::join!(hanging, other);
    assert_eq!(statuses, ["duplicate"; 3]);
    assert_eq!(hanging.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn a_slow_answer_is_a_whole_answer() {
    let server = Server::with_mode("slow:50").await;
    assert_eq!(server.statuses(&three()).await, ["accepted"; 3]);
}

#[tokio::test]
async fn partial_answers_deny_every_kth_item() {
    let server = Server::with_mode("partial:2:retry*1").await;
    assert_eq!(server.statuses(&three()).await, ["accepted", "retry", "accepted"]);
    assert_eq!(
        server.statuses(&three()).await,
        ["duplicate", "accepted", "duplicate"]
    );

    let server = Server::with_mode("partial:3:rejected*1").await;
    assert_eq!(
        server.statuses(&three()).await,
        ["accepted", "accepted", "rejected"]
    );
    assert_eq!(server.sink.summary().distinct, 2);

    let server = Server::with_mode("partial:3:missing*1").await;
    assert_eq!(server.statuses(&three()).await, ["accepted", "accepted"]);
    assert_eq!(server.sink.summary().distinct, 3);
}

#[tokio::test]
async fn a_scrambled_answer_holds_every_result_somewhere() {
    let server = Server::with_mode("scramble").await;
    let (_, answer) = server.post(&three()).await;
    let results = answer["results"].as_array().unwrap();
    let ids: Vec<i64> = results
        .iter()
        .map(|result| result["tsms_id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [3, 2, 1, 1, -1]);
}

#[tokio::test]
async fn a_full_ledger_says_so() {
    let server = Server::start(SinkOptions {
        max_entries: 2,
        ..SinkOptions::default()
    })
    .await;
    assert_eq!(server.statuses(&three()).await, ["accepted", "accepted", "retry"]);
    let summary = server.sink.summary();
    assert_eq!((summary.distinct, summary.turned_away), (2, 1));
    assert!(summary.to_string().contains("LEDGER FULL"));
}

#[tokio::test]
async fn the_control_api_shows_and_sets() {
    let server = Server::with_mode("ok").await;
    server.post(&three()).await;
    let control = |path: &str| format!("{}/_control/{path}", server.url);
    let get = async |path: &str| -> Value {
        let response = server.client.get(control(path)).send().await.unwrap();
        response.json().await.unwrap()
    };
    assert_eq!(get("ledger").await["amount"], "30.57");
    let summary: Summary = serde_json::from_value(get("ledger").await).unwrap();
    assert_eq!(summary, server.sink.summary());
    let page = get("entries/1").await;
    let entries: Vec<Entry> = serde_json::from_value(page["entries"].clone()).unwrap();
    assert_eq!(entries, server.sink.entries()[1..]);
    assert_eq!(page["next"], Value::Null);
    assert_eq!(get("clashes").await["clashes"], json!([]));

    let set = async |mode: &str| {
        let request = server.client.put(control("mode")).json(&json!({ "mode": mode }));
        request.send().await.unwrap().status()
    };
    assert_eq!(set("status:503*2").await, StatusCode::NO_CONTENT);
    assert_eq!(get("mode").await["mode"], "status:503*2");
    assert_eq!(server.sink.mode(), Mode::always(Answer::Status(503)).times(2));
    assert_eq!(set("sideways").await, StatusCode::UNPROCESSABLE_ENTITY);

    let forgotten = server.client.post(control("reset")).send().await.unwrap();
    assert_eq!(forgotten.status(), StatusCode::NO_CONTENT);
    assert_eq!(server.sink.summary(), Summary::default());
    assert_eq!(server.sink.mode(), Mode::OK);
}

#[tokio::test]
async fn waiting_ends_when_it_comes_true_or_the_time_is_up() {
    let server = Server::with_mode("ok").await;
    let body = three();
    let waiting = server.sink.wait_until(|now| now.distinct == 3, PATIENCE);
    let (waited, _) = tokio::join!(waiting, server.post(&body));
    assert_eq!(waited.unwrap().distinct, 3);
    let never = server
        .sink
        .wait_until(|now| now.distinct == 4, Duration::ZERO)
        .await;
    assert_eq!(never.unwrap_err().summary.distinct, 3);
}

#[tokio::test]
async fn a_stopped_server_starts_again_with_its_ledger() {
    let server = Server::with_mode("ok").await;
    server.post(&three()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let again = Server {
        sink: server.sink.clone(),
        url,
        client: server.client.clone(),
        stop: stop.clone(),
    };
    tokio::spawn(serve(listener, server.sink.clone(), stop));
    drop(server);
    assert_eq!(again.statuses(&three()).await, ["duplicate"; 3]);
}
