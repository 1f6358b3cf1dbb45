//! Who calls: from `Authorization: Bearer` to a terminal, without a database read on the hot path.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request::Parts};

use super::{
    App,
    client_addr::ClientAddr,
    deadline::Deadline,
    error::Error,
    identities::Known,
    quota,
    security::{Kind, Trail, Who},
};
use crate::{
    domain::{
        ability,
        directory::{Identity, Tenant, Terminal},
        rotation::Standing,
        time::Timestamp,
        token,
    },
    store::StoreError,
};

/// Longest `Authorization` value that is looked at, in bytes; a token has about 70.
const LONGEST_CREDENTIALS: usize = 256;

pub(super) const CREATE: &str = ability::TRANSACTION_CREATE;
pub(super) const READ: &str = ability::TRANSACTION_READ;
pub(super) const BEAT: &str = ability::HEARTBEAT_SEND;

/// A terminal that may submit, with the tenant it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Till {
    pub(super) terminal: Terminal,
    pub(super) tenant: Tenant,
}

impl Known {
    /// The terminal behind the token, if it may use `ability` at `now`.
    ///
    /// A good token of a terminal that is switched off is told so, because a technician stands in
    /// front of it.
    fn admit(&self, ability: &'static str, now: Timestamp) -> Result<Arc<Till>, Error> {
        if !self.identity.may(ability) {
            return Err(Error::AbilityMissing { ability });
        }
        self.usable_till(now)
    }

    /// The terminal behind the token, if it is in use at `now`.
    pub(super) fn usable_till(&self, now: Timestamp) -> Result<Arc<Till>, Error> {
        let till = self.till.as_ref().ok_or(Error::TerminalRequired)?;
        if till.tenant.active && till.terminal.usable(now) {
            Ok(Arc::clone(till))
        } else {
            Err(Error::TerminalInactive)
        }
    }
}

/// The bearer token, if the header holds exactly one.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (only, more) = (values.next()?, values.next());
    let text = only
        .to_str()
        .ok()
        .filter(|text| text.len() <= LONGEST_CREDENTIALS)?;
    let (scheme, token) = text.split_once(' ')?;
    if more.is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    Some(token.trim())
}

/// What the token that was sent stands for: one that is good now, in the place where it is used.
///
/// A token that is expired, revoked or retired is answered like one that never was.
pub(super) async fn known(parts: &mut Parts, app: &Arc<App>) -> Result<Arc<Known>, Error> {
    let deadline = Deadline::from_request_parts(parts, app).await?;
    let plain = presented(&parts.headers).ok_or(Error::Unauthenticated)?;
    let trail = Trail::of(parts).ok_or(Error::Internal)?;
    let bearer = token::recognise(plain)
        .filter(|it| it.kind.is_bearer() && it.belongs_to(&app.config.auth.environment));
    if bearer.is_none() {
        app.events.saw(Kind::TokenMalformed, trail.address(), &trail);
        return Err(Error::Unauthenticated);
    }
    let digest = app.keyring.digest(plain);
    let known = deadline
        .bound(app.identities.get(digest, || look_up(app, plain)), || {
            app.answer_late()
        })
        .await?
        .map_err(|error| app.store_failed(&error))?;
    let Some(known) = known else {
        app.events.saw(Kind::TokenUnknown, trail.address(), &trail);
        return Err(Error::Unauthenticated);
    };
    if let Some(till) = &known.till {
        tracing::Span::current().record("terminal", till.terminal.id);
    }
    let (identity, now) = (&known.identity, Timestamp::now());
    let standing = identity.life.standing(now);
    if standing != Standing::Good {
        Box::pin(turn_away(app, &known, standing, &trail)).await?;
        app.identities.forget(&digest).await;
        return Err(Error::Unauthenticated);
    }
    if !identity.networks.is_empty() && !identity.networks.hold(trail.client) {
        app.events
            .saw(Kind::TokenNetwork, Who::Token(identity.token_id), &trail);
        return Err(Error::NetworkRefused);
    }
    app.sightings.note(&known, now);
    Ok(known)
}

/// The same for whoever is no administrator. From an address that is kept out no token is looked at: a guess
/// costs no look-up there, and is no event.
pub(super) async fn bearer(parts: &mut Parts, app: &Arc<App>) -> Result<Arc<Known>, Error> {
    if let Some(client) = parts.extensions.get::<ClientAddr>() {
        quota::address(app, client.0)?;
    }
    known(parts, app).await
}

/// Reads what a token stands for. The first use of a token that was sent over the network confirms
/// that it arrived, and starts the overlap of the one it replaces.
async fn look_up(app: &App, plain: &str) -> Result<Option<Identity>, StoreError> {
    let candidates = app.keyring.candidates(plain);
    let Some(mut identity) = app.store.identity(&candidates).await? else {
        return Ok(None);
    };
    let now = Timestamp::now();
    if identity.life.standing(now) != Standing::Good {
        return Ok(Some(identity));
    }
    if !identity.confirmed {
        let parent_ends = now.plus(app.config.auth.rotation_overlap_ms.duration());
        let first = app
            .store
            .confirm_token(identity.token_id, &identity.digest, now, parent_ends)
            .await?;
        if !first {
            // Another process was faster, or the token was made anew between the two statements.
            return app.store.identity(&candidates).await;
        }
        identity.confirmed = true;
    }
    if !app.keyring.newest().eq(&identity.hash_key) {
        let hashed = app.keyring.hash(plain);
        app.store
            .rekey_token(identity.token_id, &identity.digest, &hashed)
            .await?;
    }
    Ok(Some(identity))
}

/// A token that is not good was used: says so to those who watch, and revokes the family of one that
/// was replaced long ago.
async fn turn_away(app: &App, known: &Known, standing: Standing, trail: &Trail) -> Result<(), Error> {
    let identity = &known.identity;
    let kind = match standing {
        Standing::Good => return Ok(()),
        Standing::Revoked => Kind::TokenRevoked,
        Standing::Expired => Kind::TokenExpired,
        Standing::Reused => {
            let family = identity.family_id;
            let event = trail.event(Kind::TokenReuse, Who::Family(family));
            let revoked = app
                .store
                .revoke_family(family, Timestamp::now(), Some(&event))
                .await
                .map_err(|error| app.store_failed(&error))?;
            if revoked {
                app.events.announce(&event);
                return Ok(());
            }
            Kind::TokenRevoked
        }
    };
    app.events.saw(kind, Who::Token(identity.token_id), trail);
    Ok(())
}

async fn admit(parts: &mut Parts, app: &Arc<App>, ability: &'static str) -> Result<Arc<Till>, Error> {
    let known = bearer(parts, app).await?;
    let admitted = known.admit(ability, Timestamp::now());
    if admitted == Err(Error::TerminalInactive)
        && let (Some(till), Some(trail)) = (&known.till, Trail::of(parts))
    {
        let who = Who::Terminal(till.terminal.id);
        app.events.saw(Kind::TerminalInactive, who, &trail);
    }
    let till = admitted?;
    quota::till(app, &till, &parts.extensions).await?;
    Ok(till)
}

/// The caller of an endpoint that takes sales.
pub(super) struct Submitter(pub(super) Arc<Till>);

impl FromRequestParts<Arc<App>> for Submitter {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let till = admit(parts, app, CREATE).await?;
        match app.gate.refuses() {
            Some(wait) => Err(app.gate_closed(wait)),
            None => Ok(Self(till)),
        }
    }
}

/// The caller of an endpoint that shows sales.
pub(super) struct Reader(pub(super) Arc<Till>);

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        admit(parts, app, READ).await.map(Self)
    }
}

/// The caller of the heartbeat.
pub(super) struct Beater(pub(super) Arc<Till>);

impl FromRequestParts<Arc<App>> for Beater {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        admit(parts, app, BEAT).await.map(Self)
    }
}

/// The caller of an endpoint that any good token opens, whatever it may do.
pub(super) struct Bearer(pub(super) Arc<Known>);

impl FromRequestParts<Arc<App>> for Bearer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        bearer(parts, app).await.map(Self)
    }
}

#[cfg(test)]
mod tests;
