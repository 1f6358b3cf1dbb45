//! What a client calls its request arrives with its sale at the web application, or stands in its dead letter.

use serde_json::{Value, json};
use tsms::{
    domain::{checksum::Version, dead_letter::Letter, trace::TraceContext},
    letters::{self, Origin},
    standin::{
        sim::SignedBody,
        sink::{
            Heard,
            mode::{Answer as SinkAnswer, Mode},
        },
    },
};

use crate::{
    bodies::sale,
    on_both_tiers,
    world::{Answer, DEADLINE, World, issue},
};

on_both_tiers!(
    a_sale_arrives_under_its_request_and_in_its_trace,
    a_dead_letter_names_its_request_and_trace,
);

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn a_sale_arrives_under_its_request_and_in_its_trace(world: World) {
    let (traced, plain, nameless) = (
        named(
            &world,
            1,
            &[("x-request-id", "till-7.1"), ("traceparent", PARENT)],
        )
        .await,
        named(&world, 2, &[("x-request-id", "till-7.2")]).await,
        // What is no trace context is not passed on, and an id is made where none is given.
        named(&world, 3, &[("traceparent", "00-nonsense")]).await,
    );
    assert_eq!(traced.request_id.as_deref(), Some("till-7.1"));
    let (sent, came) = (trace(PARENT), trace(&traced.traceparent.unwrap()));
    assert_eq!(came.trace_id(), sent.trace_id());
    assert_ne!(came.to_string(), PARENT, "a step of its own in the trace");

    assert_eq!(plain.request_id.as_deref(), Some("till-7.2"));
    assert_eq!(plain.traceparent, None);

    let made = nameless.request_id.unwrap();
    uuid::Uuid::parse_str(&made).unwrap();
    assert_eq!(nameless.traceparent, None);
    world.stop().await;
}

async fn a_dead_letter_names_its_request_and_trace(world: World) {
    let (_, admin) = issue(&world.store, None, &["admin:letters"]).await;
    let headers = [("x-request-id", "till-7.1"), ("traceparent", PARENT)];
    let kept = sale(world.till(), Version::V21, 1);
    assert_eq!(post(&world, &kept, &headers).await.status, 202);
    world.drain().await;
    // The web application takes neither the void of this sale nor two further sales.
    world.sink.set_mode(Mode::always(SinkAnswer::Status(422)));
    let id = kept.sales[0].transaction_id;
    assert_eq!(world.void(world.till(), id, "Wrong price").await.status, 200);
    for (seed, headers) in [(2, &headers[..]), (3, &headers[..1])] {
        let refused = sale(world.till(), Version::V21, seed);
        assert_eq!(post(&world, &refused, headers).await.status, 202);
        world.drain().await;
    }
    let mut letters = world.store.dead_letters(0, 10).await.unwrap();
    letters.sort_by_key(|letter| (letter.stage.clone(), letter.id));
    let stages: Vec<&str> = letters.iter().map(|letter| letter.stage.as_str()).collect();
    assert_eq!(stages, ["forwarding", "forwarding", "reversal"]);
    let ours = trace(PARENT).trace_id();
    for (letter, trace) in letters.iter().zip([json!(ours), Value::Null, json!(ours)]) {
        let path = format!("/api/v1/admin/dead-letters/{}", letter.id);
        let shown = world.call("GET", &path, &admin, Value::Null).await.json();
        assert_eq!(
            (&shown["request_id"], &shown["trace_id"]),
            (&json!("till-7.1"), &trace)
        );
        let which = format!("id={}", letter.id);
        let (code, told) = world
            .operator(&["dlq", "show", "--where", &which, "--json"])
            .await;
        assert_eq!(code, Some(0), "{told}");
        let told: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
        assert_eq!((&told["id"], &told["trace_id"]), (&json!(letter.id), &trace));
    }
    let which = format!("id={}", letters[0].id);
    let (_, told) = world.operator(&["dlq", "show", "--where", &which]).await;
    assert!(
        told.contains(&format!("request till-7.1, trace {ours}")),
        "{told}"
    );

    // A letter of validation is about a submission.
    let rows = world.store.transactions(&[letters[0].subject_id]).await.unwrap();
    let early = Letter {
        stage: "validation".to_owned(),
        subject_id: rows[0].submission_id,
        ..letters[0].clone()
    };
    let origin = letters::origin(&world.store, &early).await.unwrap();
    assert_eq!(origin.trace_id, Some(ours));
    let gone = Letter {
        subject_id: 999_999,
        ..early
    };
    assert_eq!(
        letters::origin(&world.store, &gone).await.unwrap(),
        Origin::default()
    );
    world.stop().await;
}

fn trace(text: &str) -> TraceContext {
    TraceContext::parse(text).unwrap_or_else(|| panic!("{text} is no traceparent"))
}

/// Posts a sale with these headers; what the batch that brought it to the web application said.
async fn named(world: &World, seed: u64, headers: &[(&str, &str)]) -> Heard {
    let till = world.till();
    let body = sale(till, Version::V21, seed);
    let answer = post(world, &body, headers).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let count = seed;
    let seen = world
        .sink
        .wait_until(|seen| seen.distinct == count, DEADLINE)
        .await;
    seen.unwrap();
    let id = body.sales[0].transaction_id;
    let entries = world.sink.entries();
    let entry = entries.iter().find(|entry| entry.transaction_id == id).unwrap();
    let heard = world.sink.heard();
    let heard = heard
        .iter()
        .find(|heard| heard.batch_id == entry.first_batch)
        .unwrap();
    // The answer of the ingress names the same request.
    assert_eq!(
        answer.headers["x-request-id"].to_str().ok(),
        heard.request_id.as_deref()
    );
    heard.clone()
}

async fn post(world: &World, body: &SignedBody, headers: &[(&str, &str)]) -> Answer {
    let mut request = world
        .http
        .post(format!("{}/api/v1/transactions/official", world.base))
        .bearer_auth(&world.till().token)
        .header("content-type", "application/json")
        .body(body.body.clone());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request).await
}
