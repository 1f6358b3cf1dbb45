//! `POST /api/v1/auth/refresh`: a till replaces its token before it ends.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::Extensions;

use super::{Grant, REFRESH, Success};
use crate::{
    domain::time::Timestamp,
    ingress::{
        App,
        caller::Bearer,
        deadline::Deadline,
        error::Error,
        quota,
        security::{Kind, Trail, Who},
    },
    store::{Holder, Replaced},
};

/// Replace a token.
///
/// Gives a successor. The old token stays good until the new one is used and a while longer, so a
/// till whose answer was lost asks again with the old one, and gets another successor.
// See `domain/rotation.rs`.
#[utoipa::path(
    post,
    path = REFRESH,
    operation_id = "refresh",
    tag = "tokens",
    responses((status = 200, description = "A token.", body = Success<Grant>)),
    security(("bearer" = [])),
    extensions(("x-problems" = json!([
        "terminal_required", "terminal_inactive", "token_replaced", "rate_limited", "blocked",
    ]))),
)]
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Bearer(known): Bearer,
    deadline: Deadline,
    trail: Trail,
    extensions: Extensions,
) -> Result<Json<Success<Grant>>, Error> {
    let till = known.usable_till(Timestamp::now())?;
    quota::attempt(&app, trail.client, &till.terminal.serial_number, &extensions).await?;
    let (id, terminal_id) = (known.identity.token_id, Some(till.terminal.id));
    let (replaced, plain) = deadline
        .bound(app.credentials.replace(id, terminal_id, Holder::Till), || {
            app.answer_late()
        })
        .await?
        .map_err(|error| app.store_failed(&error))?;
    match replaced {
        Replaced::By(_, end) => {
            let grant = Grant::new(&till, plain, known.identity.abilities.clone(), end);
            Ok(Json(Success::of(grant)))
        }
        Replaced::Already => {
            app.events.saw(Kind::RefreshReplaced, Who::Token(id), &trail);
            Err(Error::TokenReplaced)
        }
        Replaced::Refused(_) => Err(Error::Unauthenticated),
    }
}
