//! The least that an ingress can do: read JSON, hash it, answer. What the machine's HTTP costs.

use std::net::SocketAddr;

use axum::{Json, Router, body::Bytes, http::StatusCode, routing::post};
use tokio::net::TcpListener;

use super::BenchError;
use crate::{domain::checksum::sha256, standin::sim::SUBMIT_PATH};

/// Serves until the process is ended.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(address: SocketAddr) -> Result<(), BenchError> {
    let listener = TcpListener::bind(address).await?;
    let router = Router::new().route(SUBMIT_PATH, post(answer));
    Ok(axum::serve(listener, router).await?)
}

async fn answer(body: Bytes) -> (StatusCode, Json<serde_json::Value>) {
    match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(document) => {
            let digest = data_encoding::HEXLOWER.encode(&sha256(&body));
            let submission = document.get("submission_uuid");
            let answer = serde_json::json!({ "submission_uuid": submission, "digest": digest });
            (StatusCode::ACCEPTED, Json(answer))
        }
        Err(error) => (StatusCode::BAD_REQUEST, Json(error.to_string().into())),
    }
}
