//! The HTTP side of the stand-in web application.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;

use super::{
    BULK_PATH, CONTROL_PATH, Heard, SinkHandle,
    abort::Abort,
    batch::{self, Batch, Unreadable},
    control,
    ledger::ItemResult,
    locked,
    mode::{Answer, Denial, Mode},
    signature,
};
use crate::domain::{compression::Compression, time::Timestamp};

/// Entries in one page of the control API.
const PAGE: usize = 1000;

/// Where the mode `redirect` points; it answers 200 with a page.
const LOGIN_PATH: &str = "/login";

const LOGIN_PAGE: &str = "<!doctype html><title>Log in</title><p>Please log in.</p>";

#[derive(Clone)]
struct App {
    sink: SinkHandle,
    stop: CancellationToken,
}

pub(super) fn router(sink: SinkHandle, stop: CancellationToken) -> Router {
    let limit = DefaultBodyLimit::max(sink.0.options.max_body_bytes);
    Router::new()
        .route(BULK_PATH, post(bulk))
        .route(CONTROL_PATH, post(control))
        .route(LOGIN_PATH, get(async || Html(LOGIN_PAGE)))
        .route("/_control/ledger", get(ledger))
        .route("/_control/entries/{after}", get(entries).delete(forget))
        .route("/_control/clashes", get(clashes))
        .route("/_control/mode", get(mode).put(set_mode))
        .route("/_control/reset", post(reset))
        .layer(limit)
        .with_state(App { sink, stop })
}

async fn bulk(
    State(app): State<App>,
    ConnectInfo(abort): ConnectInfo<Abort>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let shared = &app.sink.0;
    if let Some(token) = &shared.options.token
        && !bears(&headers, token)
    {
        return app.refuse("unauthorized", StatusCode::UNAUTHORIZED, &[]);
    }
    if !is_json(&headers) {
        return app.refuse("not_json", StatusCode::UNSUPPORTED_MEDIA_TYPE, &[]);
    }
    if app.sink.mode().answer == Answer::Plain && headers.contains_key(header::CONTENT_ENCODING) {
        let problem = "no JSON".to_owned();
        return app.refuse("malformed", StatusCode::BAD_REQUEST, &[problem]);
    }
    let body = match decoded(&headers, body, shared.options.max_body_bytes) {
        Ok(body) => body,
        Err(problem) => return app.refuse("not_decoded", StatusCode::UNSUPPORTED_MEDIA_TYPE, &[problem]),
    };
    if let Err(problem) = app.believes(&headers, &body) {
        return app.refuse("unsigned", StatusCode::UNAUTHORIZED, &[problem]);
    }
    let batch = match batch::read(&body, shared.options.max_items) {
        Ok(batch) => batch,
        Err(Unreadable::Malformed(problem)) => {
            return app.refuse("malformed", StatusCode::BAD_REQUEST, &[problem]);
        }
        Err(Unreadable::Envelope(breaches)) => {
            return app.refuse("refused", StatusCode::UNPROCESSABLE_ENTITY, &breaches);
        }
    };
    let key = header_text(&headers, "idempotency-key").unwrap_or_default();
    let fits = locked(&shared.ledger).key_fits(key, batch.fingerprint());
    if let Err(breach) = fits {
        let breach = format!("batch {}: {breach}", batch.batch_id);
        return app.refuse("refused", StatusCode::UNPROCESSABLE_ENTITY, &[breach]);
    }
    app.sink.hear(Heard {
        batch_id: batch.batch_id.clone(),
        request_id: header_text(&headers, "x-request-id").map(str::to_owned),
        traceparent: header_text(&headers, "traceparent").map(str::to_owned),
        encoding: header_text(&headers, "content-encoding").map(str::to_owned),
        signatures: header_text(&headers, "webhook-signature").map_or(0, |all| all.split(' ').count()),
    });
    let mode = locked(&shared.mode).take();
    let results = app.effect(&batch, mode);
    app.answer(&batch, mode.answer, results, &abort).await
}

/// Control totals: what the other side of a reconciliation asks for.
async fn control(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let shared = &app.sink.0;
    if let Some(token) = &shared.options.token
        && !bears(&headers, token)
    {
        return app.refuse("unauthorized", StatusCode::UNAUTHORIZED, &[]);
    }
    if let Err(problem) = app.believes(&headers, &body) {
        return app.refuse("unsigned", StatusCode::UNAUTHORIZED, &[problem]);
    }
    let asked: control::Asked = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(error) => return app.refuse("malformed", StatusCode::BAD_REQUEST, &[error.to_string()]),
    };
    locked(&shared.ledger).count_request("control");
    if let Answer::Status(status) = app.sink.mode().answer {
        return told_to_fail(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    }
    // The lock ends here: a refusal takes it again.
    let told = control::answer(&locked(&shared.ledger), &asked);
    match told {
        Ok(told) => Json(told).into_response(),
        Err(breach) => app.refuse("refused", StatusCode::UNPROCESSABLE_ENTITY, &[breach]),
    }
}

/// The body without its compression.
fn decoded(headers: &HeaderMap, body: Bytes, most: usize) -> Result<Bytes, String> {
    let Some(word) = header_text(headers, "content-encoding") else {
        return Ok(body);
    };
    let coding: Compression = word.parse().map_err(|_| format!("{word} is not known"))?;
    let plain = coding.decode(&body, most).map_err(|error| error.to_string())?;
    Ok(plain.into())
}

impl App {
    /// Whether a request is signed as it must be.
    fn believes(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        let keys = locked(&self.sink.0.keys).clone();
        if keys.is_empty() {
            return Ok(());
        }
        signature::check(&keys, headers, body)
    }

    /// What the request does to the ledger under `mode`, told or not.
    fn effect(&self, batch: &Batch, mode: Mode) -> Vec<ItemResult> {
        let takes = match mode.answer {
            Answer::Ok | Answer::Slow(_) | Answer::Partial { .. } | Answer::Scramble | Answer::Plain => true,
            _ => mode.apply,
        };
        let mut ledger = locked(&self.sink.0.ledger);
        let results = if takes {
            ledger.apply(batch, Timestamp::now(), |position| denial(mode.answer, position))
        } else {
            Vec::new()
        };
        ledger.count_request(mode.answer.word());
        drop(ledger);
        self.sink.0.changed.send_replace(());
        results
    }

    async fn answer(
        &self,
        batch: &Batch,
        answer: Answer,
        mut results: Vec<ItemResult>,
        abort: &Abort,
    ) -> Response {
        match answer {
            Answer::Ok | Answer::Partial { .. } | Answer::Flap(_) | Answer::Plain => {}
            Answer::Slow(delay) => self.pause(delay).await,
            Answer::Scramble => {
                results.reverse();
                results.extend(results.last().cloned());
                results.push(ItemResult::unasked());
            }
            Answer::Status(status) => {
                let status = StatusCode::from_u16(status);
                return told_to_fail(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
            }
            Answer::Busy(seconds) => {
                let wait = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
                return (wait, told_to_fail(StatusCode::TOO_MANY_REQUESTS)).into_response();
            }
            Answer::Hang => {
                self.pause(self.sink.0.options.hold).await;
                return told_to_fail(StatusCode::GATEWAY_TIMEOUT);
            }
            Answer::Reset => {
                abort.reset();
                return told_to_fail(StatusCode::INTERNAL_SERVER_ERROR);
            }
            Answer::Drip(pause) => return self.drip(pause),
            Answer::Huge(bytes) => return huge(bytes),
            Answer::Garbled => return json_text(r#"{"status":"success","results":[{"tsms_id":"#.into()),
            Answer::Empty => return StatusCode::NO_CONTENT.into_response(),
            Answer::Html => return Html(LOGIN_PAGE).into_response(),
            Answer::Redirect => {
                let to = [(header::LOCATION, HeaderValue::from_static(LOGIN_PATH))];
                return (StatusCode::FOUND, to).into_response();
            }
        }
        let taken = |result: &&ItemResult| matches!(result.status, "accepted" | "duplicate");
        Json(json!({
            "status": "success",
            "batch_id": batch.batch_id,
            "received_count": batch.items.len(),
            "processed_count": results.iter().filter(taken).count(),
            "results": results,
        }))
        .into_response()
    }

    /// An answer that is right and comes a byte at a time.
    fn drip(&self, pause: Duration) -> Response {
        let app = self.clone();
        let bytes = stream::unfold(DRIPPED.bytes(), move |mut rest| {
            let app = app.clone();
            async move {
                let byte = rest.next()?;
                app.pause(pause).await;
                Some((Ok::<_, Infallible>(Bytes::copy_from_slice(&[byte])), rest))
            }
        });
        json_text(Body::from_stream(bytes))
    }

    /// Waits, unless the server is to end.
    async fn pause(&self, delay: Duration) {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = self.stop.cancelled() => {}
        }
    }

    fn refuse(&self, outcome: &'static str, status: StatusCode, errors: &[String]) -> Response {
        let mut ledger = locked(&self.sink.0.ledger);
        ledger.count_request(outcome);
        if errors.is_empty() {
            ledger.complain(outcome.to_owned());
        }
        for error in errors {
            ledger.complain(error.clone());
        }
        drop(ledger);
        self.sink.0.changed.send_replace(());
        let body = json!({ "status": "error", "code": outcome, "errors": errors });
        (status, Json(body)).into_response()
    }
}

/// What drips.
const DRIPPED: &str = r#"{"status":"success"}"#;

/// JSON without an end in sight, a piece at a time so that it costs no memory.
fn huge(bytes: u64) -> Response {
    const PIECE: usize = 16 * 1024;
    let pieces = bytes.div_ceil(PIECE as u64);
    let piece = Bytes::from(vec![b'x'; PIECE]);
    let text = stream::iter(0..pieces).map(move |_| Ok::<_, Infallible>(piece.clone()));
    let quote = |text: &'static str| stream::iter([Ok(Bytes::from_static(text.as_bytes()))]);
    let whole = quote("{\"status\":\"success\",\"note\":\"")
        .chain(text)
        .chain(quote("\"}"));
    json_text(Body::from_stream(whole))
}

fn json_text(body: Body) -> Response {
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (kind, body).into_response()
}

fn denial(answer: Answer, position: u64) -> Option<Denial> {
    match answer {
        Answer::Partial { every, denial } => position.is_multiple_of(every.get()).then_some(denial),
        _ => None,
    }
}

fn told_to_fail(status: StatusCode) -> Response {
    let body = json!({ "status": "error", "code": "told_to" });
    (status, Json(body)).into_response()
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn bears(headers: &HeaderMap, token: &str) -> bool {
    header_text(headers, "authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
        .is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into())
}

fn is_json(headers: &HeaderMap) -> bool {
    header_text(headers, "content-type")
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The mode as the control API reads and shows it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeText {
    mode: String,
}

async fn ledger(State(app): State<App>) -> Response {
    Json(app.sink.summary()).into_response()
}

async fn entries(State(app): State<App>, Path(after): Path<i64>) -> Response {
    let page = locked(&app.sink.0.ledger).page(after, PAGE);
    let next = if page.len() == PAGE {
        page.last().map(|entry| entry.tsms_id)
    } else {
        None
    };
    Json(json!({ "entries": page, "next": next })).into_response()
}

/// Loses one sale, as a restored backup does.
async fn forget(State(app): State<App>, Path(id): Path<i64>) -> StatusCode {
    if app.sink.tamper(id, |_| None) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

async fn clashes(State(app): State<App>) -> Response {
    Json(json!({ "clashes": app.sink.clashes() })).into_response()
}

async fn mode(State(app): State<App>) -> Json<ModeText> {
    let mode = app.sink.mode().to_string();
    Json(ModeText { mode })
}

async fn set_mode(State(app): State<App>, Json(text): Json<ModeText>) -> Response {
    match text.mode.parse() {
        Ok(mode) => {
            app.sink.set_mode(mode);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()).into_response(),
    }
}

async fn reset(State(app): State<App>) -> StatusCode {
    app.sink.reset();
    StatusCode::NO_CONTENT
}
