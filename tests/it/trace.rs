//! What a client calls its request arrives with its sale at the web application.

use tsms::{
    domain::{checksum::Version, trace::TraceContext},
    standin::{sim::SignedBody, sink::Heard},
};

use crate::{
    bodies::sale,
    on_both_tiers,
    world::{Answer, DEADLINE, World},
};

on_both_tiers!(a_sale_arrives_under_its_request_and_in_its_trace);

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
