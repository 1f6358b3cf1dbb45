//! `POST /api/v1/heartbeat`: a sign of life, and what the till says of itself.
//!
//! Written behind: heartbeats are gathered in memory, the newest of each terminal, and written a few
//! times a minute. A process that is killed forgets the last seconds of them; the next one tells again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    App, HEARTBEAT,
    body::RawBody,
    caller::{BEAT, Beater},
    contract::schema,
    error::Error,
    form::is_object,
};
use crate::{
    config,
    domain::{payload::FieldError, time::Timestamp},
    store::{Heartbeat, Store},
};

/// Largest body of a heartbeat, in bytes.
const LONGEST: usize = 4096;

/// What a till may say. Members it adds are for versions to come.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct Said {
    /// Its clock, UTC.
    #[schema(
        pattern = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z?$"
    )]
    client_time: Option<String>,
    /// Sales that it still has to send.
    #[schema(minimum = 0, maximum = 4_294_967_295_i64)]
    backlog: Option<u32>,
}

/// Send a sign of life.
///
/// Tells the till our time, when the next one is due, and how far its clock is off. The body may be
/// empty. What is told is written a few times a minute: the last seconds of it may be lost.
#[utoipa::path(
    post,
    path = HEARTBEAT,
    operation_id = "heartbeat",
    tag = "sales",
    request_body(content = Option<Said>, description = "At most 4 KiB.", content_type = "application/json"),
    responses((status = 200, description = "Heard.", body = Pulse)),
    security(("bearer" = [BEAT])),
    extensions(("x-problems" = json!(["invalid_fields", "overloaded"]))),
)]
pub(super) async fn heartbeat(
    State(app): State<Arc<App>>,
    Beater(till): Beater,
    body: RawBody,
) -> Result<Json<Pulse>, Error> {
    let now = Timestamp::now();
    let said = read(&body.bytes)?;
    let client_time = match said.client_time.as_deref().map(Timestamp::parse).transpose() {
        Ok(time) => time,
        Err(_) => {
            return Err(field(
                "/client_time",
                "a UTC time of the form 2025-08-19T10:00:00Z is expected",
            ));
        }
    };
    let clock_skew_ms = client_time.map(|time| time.as_micros().saturating_sub(now.as_micros()) / 1000);
    app.beats.note(Heartbeat {
        terminal_id: till.terminal.id,
        received_at: now,
        clock_skew_ms,
        backlog: said.backlog,
    });
    let due = now.plus(app.config.heartbeat.interval_ms.duration());
    Ok(Json(Pulse {
        success: true,
        data: PulseData {
            message: "Heartbeat received",
            server_time: now.to_string(),
            next_heartbeat_due: due.to_string(),
            clock_skew_ms,
        },
    }))
}

fn read(body: &[u8]) -> Result<Said, Error> {
    if body.len() > LONGEST {
        return Err(Error::BodyTooLarge { limit: LONGEST });
    }
    if body.trim_ascii().is_empty() {
        return Ok(Said::default());
    }
    let said = (is_object(body) || body.trim_ascii() == b"null").then(|| serde_json::from_slice(body));
    match said {
        Some(Ok(said)) => Ok(Option::unwrap_or_default(said)),
        _ => Err(field(
            "",
            "an object with client_time (a text) and backlog (a whole number), or nothing, is expected",
        )),
    }
}

fn field(pointer: &str, message: &str) -> Error {
    Error::Fields(vec![FieldError {
        pointer: pointer.to_owned(),
        code: "format",
        message: message.to_owned(),
    }])
}

/// The answer, in the form of the field.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pulse {
    success: bool,
    data: PulseData,
}

#[derive(Debug, Serialize, ToSchema)]
struct PulseData {
    message: &'static str,
    #[schema(schema_with = schema::instant)]
    server_time: String,
    #[schema(schema_with = schema::instant)]
    next_heartbeat_due: String,
    /// The till's clock minus ours; `null` where it did not tell its time.
    #[schema(required)]
    clock_skew_ms: Option<i64>,
}

/// The heartbeats that are not written yet, the newest of each terminal.
#[derive(Clone)]
pub(super) struct Beats {
    waiting: Arc<Mutex<HashMap<i64, Heartbeat>>>,
    most: usize,
}

impl Beats {
    pub(super) fn new(settings: &config::Heartbeat) -> Self {
        Self {
            waiting: Arc::default(),
            most: settings.capacity,
        }
    }

    /// Beyond the bound the first heartbeat of a terminal is left out; its next one comes in minutes.
    fn note(&self, beat: Heartbeat) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < self.most || waiting.contains_key(&beat.terminal_id) {
            waiting.insert(beat.terminal_id, beat);
        }
    }

    fn take(&self) -> Vec<Heartbeat> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.drain().map(|(_, beat)| beat).collect()
    }

    /// Writes what waits.
    pub(super) async fn flush(&self, store: &Store) {
        let beats = self.take();
        if let Err(error) = store.record_heartbeats(&beats).await {
            tracing::warn!(%error, terminals = beats.len(), "heartbeats were not written");
        }
    }

    /// Writes what waits, every `pause`, until it is dropped.
    pub(super) async fn write_behind(self, store: Store, pause: Duration) {
        loop {
            tokio::time::sleep(pause).await;
            self.flush(&store).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(terminal_id: i64, micros: i64) -> Heartbeat {
        Heartbeat {
            terminal_id,
            received_at: Timestamp::from_micros(micros),
            clock_skew_ms: None,
            backlog: None,
        }
    }

    #[test]
    fn the_newest_of_each_terminal_is_kept_within_the_bound() {
        let beats = Beats {
            waiting: Arc::default(),
            most: 2,
        };
        for (terminal, micros) in [(1, 1), (2, 2), (1, 3), (3, 4)] {
            beats.note(beat(terminal, micros));
        }
        let mut taken = beats.take();
        taken.sort_by_key(|beat| beat.terminal_id);
        assert_eq!(taken, [beat(1, 3), beat(2, 2)]);
        assert!(beats.take().is_empty());
    }

    #[test]
    fn a_body_is_optional_and_read_strictly() {
        for nothing in ["", " \n", "{}", r#"{"firmware":"1.2"}"#] {
            let said = read(nothing.as_bytes()).unwrap();
            assert!(said.backlog.is_none() && said.client_time.is_none(), "{nothing}");
        }
        assert_eq!(read(br#"{"backlog":7}"#).unwrap().backlog, Some(7));
        for wrong in [
            "{",
            "null,",
            r#"{"backlog":-1}"#,
            r#"{"backlog":1.5}"#,
            r#"{"client_time":5}"#,
        ] {
            assert!(matches!(read(wrong.as_bytes()), Err(Error::Fields(_))), "{wrong}");
        }
        let long = vec![b' '; LONGEST + 1];
        assert_eq!(read(&long).unwrap_err(), Error::BodyTooLarge { limit: LONGEST });
    }
}
