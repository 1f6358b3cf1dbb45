//! Results are told to terminals that want to know.

use std::sync::Arc;

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Mutex, sync::mpsc};
use tsms::domain::checksum::Version;

use crate::{
    bodies::{flawed, sale},
    on_both_tiers,
    world::{DEADLINE, World, register_till},
};

on_both_tiers!(each_result_is_posted_to_the_callback_url);

/// Refuses the first callback, then takes each.
async fn receiver() -> (String, mpsc::Receiver<Value>) {
    let (told, heard) = mpsc::channel(64);
    let refuse_first = Arc::new(Mutex::new(true));
    let app = Router::new().route(
        "/results",
        post(
            move |State(told): State<mpsc::Sender<Value>>, Json(result): Json<Value>| async move {
                if std::mem::take(&mut *refuse_first.lock().await) {
                    return StatusCode::SERVICE_UNAVAILABLE;
                }
                told.send(result).await.unwrap();
                StatusCode::NO_CONTENT
            },
        ),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/results", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app.with_state(told)).await });
    (url, heard)
}

async fn each_result_is_posted_to_the_callback_url(world: World) {
    let (url, mut heard) = receiver().await;
    let tenant_id = world.till().tenant_id;
    let till = register_till(&world.store, tenant_id, "C-T1", "SN-CALLBACK", Some(url)).await;
    let bodies = [sale(&till, Version::V21, 1), flawed(&till, Version::V21, 2)];
    for body in &bodies {
        assert_eq!(world.post(&till, body.body.clone()).await.status, 202);
    }
    let mut results = Vec::new();
    while results.len() < bodies.len() {
        results.push(
            tokio::time::timeout(DEADLINE, heard.recv())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    for (body, (result, word)) in bodies.iter().zip([("VALID", "success"), ("INVALID", "failed")]) {
        let id = body.sales[0].transaction_id.to_string();
        let told = results
            .iter()
            .find(|told| told["transaction_id"] == id.as_str())
            .unwrap();
        assert_eq!(told["validation_result"], result, "{told}");
        assert_eq!(told["validation_status"], word, "{told}");
        assert_eq!(
            told["errors"].as_array().unwrap().is_empty(),
            result == "VALID",
            "{told}"
        );
    }
    world.stop().await;
}
