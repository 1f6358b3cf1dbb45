//! `POST /api/v1/auth/register`: a till with an enrolment code becomes a terminal with a token.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Attempt, Grant, NamesTill, REGISTER, Success, usual_abilities};
use crate::{
    domain::{network::Networks, time::Timestamp, token},
    ingress::{App, caller::Till, deadline::Deadline, error::Error, security::Kind},
    store::{NewToken, Origin, Redeemed, Registration},
};

/// A till that registers itself.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = RegisterRequest)]
pub(in crate::ingress) struct Request {
    /// The code that an operator made for this serial number.
    enrolment_code: String,
    /// The serial number of the till.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    serial_number: String,
    /// A UUID that the till makes before its first attempt and keeps for every repetition: by it the
    /// repetition of a till whose answer was lost is told from somebody else with the same code.
    registration_id: Uuid,
}

impl NamesTill for Request {
    fn serial_number(&self) -> &str {
        &self.serial_number
    }
}

/// Register a till.
///
/// Redeems an enrolment code for a token. A wrong code, a wrong serial number and an old code are one
/// answer. A till whose answer was lost sends the same request again and gets a new token; the lost one
/// is void.
#[utoipa::path(
    post,
    path = REGISTER,
    operation_id = "register",
    tag = "tokens",
    request_body(content = Request, content_type = "application/json"),
    responses((status = 200, description = "A token.", body = Success<Grant>)),
    extensions(("x-problems" = json!([
        "invalid_fields", "enrolment_refused", "enrolment_used", "rate_limited", "blocked",
        "store_unavailable",
    ]))),
)]
pub(super) async fn register(
    State(app): State<Arc<App>>,
    deadline: Deadline,
    Attempt { form, trail }: Attempt<Request>,
) -> Result<Json<Success<Grant>>, Error> {
    let auth = &app.config.auth;
    let refused = || {
        app.events.saw(Kind::EnrolmentFailed, trail.address(), &trail);
        Error::EnrolmentRefused
    };
    token::recognise(&form.enrolment_code)
        .filter(|code| code.kind == token::Kind::Enrolment && code.belongs_to(&auth.environment))
        .ok_or_else(refused)?;
    let now = Timestamp::now();
    let end = Some(now.plus(auth.token_ttl_ms.duration()));
    let (plain, hashed) = app.credentials.make(token::Kind::Terminal);
    let registration = Registration {
        candidates: app.keyring.candidates(&form.enrolment_code),
        serial_number: form.serial_number,
        registration_id: form.registration_id,
        token: NewToken {
            hashed,
            terminal_id: None,
            name: "enrolled".to_owned(),
            abilities: usual_abilities(),
            expires_at: end,
            networks: Networks::default(),
            origin: Origin::Enrolled,
        },
        at: now,
        repeat_for: auth.enrolment_repeat_ms.duration(),
    };
    let redeemed = deadline
        .bound(app.store.register(&registration), || app.answer_late())
        .await?
        .map_err(|error| app.store_failed(&error))?;
    match redeemed {
        Redeemed::Done(both) => {
            let (terminal, tenant) = *both;
            let till = Till { terminal, tenant };
            let grant = Grant::new(&till, plain, usual_abilities(), end);
            Ok(Json(Success::of(grant)))
        }
        Redeemed::Used => {
            app.events.saw(Kind::EnrolmentReuse, trail.address(), &trail);
            Err(Error::EnrolmentUsed)
        }
        Redeemed::Refused => Err(refused()),
    }
}
