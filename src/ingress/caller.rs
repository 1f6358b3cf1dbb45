//! Who calls: from `Authorization: Bearer` to a terminal, without a database read on the hot path.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request::Parts};
use moka::future::Cache;

use super::{App, deadline::Deadline, error::Error};
use crate::{
    config,
    domain::{
        checksum::Digest,
        directory::{Identity, Tenant, Terminal},
        time::Timestamp,
        token,
    },
    store::StoreError,
};

/// Longest `Authorization` value that is looked at, in bytes; a token has about 60.
const LONGEST_CREDENTIALS: usize = 256;

pub(super) const CREATE: &str = "transaction:create";
pub(super) const READ: &str = "transaction:read";
pub(super) const BEAT: &str = "heartbeat:send";

/// A terminal that may submit, with the tenant it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Till {
    pub(super) terminal: Terminal,
    pub(super) tenant: Tenant,
}

/// What is known of a token. Kept for `identity_ttl_ms`, so a revocation takes that long at most.
#[derive(Debug)]
pub(super) struct Known {
    identity: Identity,
    till: Option<Arc<Till>>,
}

impl From<Identity> for Known {
    fn from(mut identity: Identity) -> Self {
        let till = identity
            .terminal
            .take()
            .map(|(terminal, tenant)| Arc::new(Till { terminal, tenant }));
        Self { identity, till }
    }
}

impl Known {
    /// Refuses a token that is expired or revoked.
    fn alive(&self, now: Timestamp) -> Result<(), Error> {
        let expired = self.identity.expires_at.is_some_and(|end| end <= now);
        if expired || self.identity.revoked_at.is_some() {
            return Err(Error::Unauthenticated);
        }
        Ok(())
    }

    /// The terminal behind the token, if it may use `ability` at `now`.
    ///
    /// A token that is expired or revoked is answered like one that never was; a good token of a
    /// terminal that is switched off is told so, because a technician stands in front of it.
    fn admit(&self, ability: &'static str, now: Timestamp) -> Result<Arc<Till>, Error> {
        self.alive(now)?;
        if !self.identity.may(ability) {
            return Err(Error::AbilityMissing { ability });
        }
        let till = self.till.as_ref().ok_or(Error::TerminalRequired)?;
        if till.tenant.active && till.terminal.usable(now) {
            Ok(Arc::clone(till))
        } else {
            Err(Error::TerminalInactive)
        }
    }
}

/// Identities by the digest of their token; unknown tokens are remembered too.
#[derive(Clone)]
pub(super) struct Identities(Cache<Digest, Option<Arc<Known>>>);

impl Identities {
    pub(super) fn new(settings: &config::Ingress) -> Self {
        Self(
            Cache::builder()
                .max_capacity(settings.identity_capacity)
                .time_to_live(settings.identity_ttl_ms.duration())
                .build(),
        )
    }

    /// What the token stands for. Callers that ask for the same token at the same time share one
    /// `load`; an error is not remembered.
    async fn get<Load>(
        &self,
        digest: Digest,
        load: impl FnOnce() -> Load,
    ) -> Result<Option<Arc<Known>>, Arc<StoreError>>
    where
        Load: Future<Output = Result<Option<Identity>, StoreError>>,
    {
        if let Some(known) = self.0.get(&digest).await {
            return Ok(known);
        }
        let load = async move { Ok(load().await?.map(|identity| Arc::new(Known::from(identity)))) };
        // Boxed because it is large and seldom runs: inside the future of every request it would be
        // moved about with it.
        Box::pin(self.0.try_get_with(digest, load)).await
    }
}

/// The token's digest, if the header holds exactly one well-formed bearer token.
fn presented(headers: &HeaderMap) -> Option<Digest> {
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
    token::recognise(token.trim()).map(|(_, digest)| digest)
}

async fn admit(parts: &mut Parts, app: &Arc<App>, ability: &'static str) -> Result<Arc<Till>, Error> {
    known(parts, app).await?.admit(ability, Timestamp::now())
}

/// What is known of the token that was sent.
async fn known(parts: &mut Parts, app: &Arc<App>) -> Result<Arc<Known>, Error> {
    let deadline = Deadline::from_request_parts(parts, app).await?;
    let digest = presented(&parts.headers).ok_or(Error::Unauthenticated)?;
    let load = || app.store.identity(&digest);
    let known = deadline
        .bound(app.identities.get(digest, load), || app.answer_late())
        .await?
        .map_err(|error| app.store_failed(&error))?
        .ok_or(Error::Unauthenticated)?;
    if let Some(till) = &known.till {
        tracing::Span::current().record("terminal", till.terminal.id);
    }
    Ok(known)
}

/// The caller of an endpoint that takes sales.
pub(super) struct Submitter(pub(super) Arc<Till>);

impl FromRequestParts<Arc<App>> for Submitter {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        admit(parts, app, CREATE).await.map(Self)
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

/// The caller of an endpoint that any good token opens.
pub(super) struct Holder;

impl FromRequestParts<Arc<App>> for Holder {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        known(parts, app).await?.alive(Timestamp::now()).map(|()| Self)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::HeaderValue;

    use super::*;
    use crate::domain::directory::TerminalStatus;

    fn identities() -> Identities {
        Identities(Cache::new(10))
    }

    fn identity() -> Identity {
        Identity {
            token_id: 1,
            terminal: Some((
                Terminal {
                    id: 7,
                    tenant_id: 3,
                    serial_number: "S-7".to_owned(),
                    status: TerminalStatus::Active,
                    expires_at: None,
                    callback_url: None,
                },
                Tenant {
                    id: 3,
                    company_id: 1,
                    code: "C-3".to_owned(),
                    name: "Shop".to_owned(),
                    timezone: "Asia/Manila".to_owned(),
                    active: true,
                },
            )),
            abilities: vec![CREATE.to_owned()],
            expires_at: None,
            revoked_at: None,
        }
    }

    fn admitted(change: impl FnOnce(&mut Identity)) -> Result<i64, Error> {
        let mut identity = identity();
        change(&mut identity);
        let now = Timestamp::from_micros(1_000);
        Known::from(identity)
            .admit(CREATE, now)
            .map(|till| till.terminal.id)
    }

    #[test]
    fn only_a_living_token_of_a_usable_terminal_is_admitted() {
        let now = Timestamp::from_micros(1_000);
        let later = Timestamp::from_micros(1_001);
        assert_eq!(admitted(|_| {}), Ok(7));
        assert_eq!(admitted(|i| i.expires_at = Some(later)), Ok(7));
        assert_eq!(
            admitted(|i| i.expires_at = Some(now)),
            Err(Error::Unauthenticated)
        );
        assert_eq!(
            admitted(|i| i.revoked_at = Some(later)),
            Err(Error::Unauthenticated)
        );
        assert_eq!(admitted(|i| i.terminal = None), Err(Error::TerminalRequired));
        assert_eq!(
            admitted(|i| i.abilities = vec![READ.to_owned(), "admin:*".to_owned()]),
            Err(Error::AbilityMissing { ability: CREATE })
        );
        let with_terminal = |change: fn(&mut Terminal, &mut Tenant)| {
            admitted(|i| {
                if let Some((terminal, tenant)) = &mut i.terminal {
                    change(terminal, tenant);
                }
            })
        };
        assert_eq!(
            with_terminal(|_, tenant| tenant.active = false),
            Err(Error::TerminalInactive)
        );
        assert_eq!(
            with_terminal(|terminal, _| terminal.status = TerminalStatus::Inactive),
            Err(Error::TerminalInactive)
        );
        assert_eq!(
            with_terminal(|terminal, _| terminal.expires_at = Some(Timestamp::from_micros(1_000))),
            Err(Error::TerminalInactive)
        );
    }

    #[tokio::test]
    async fn one_load_serves_all_who_ask_and_unknown_tokens_are_remembered() {
        let identities = identities();
        let loads = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(tokio::sync::Barrier::new(2));
        let ask = || {
            let (identities, loads, gate) = (identities.clone(), Arc::clone(&loads), Arc::clone(&gate));
            async move {
                let load = || async {
                    loads.fetch_add(1, Ordering::SeqCst);
                    gate.wait().await;
                    Ok(None)
                };
                identities.get([1; 32], load).await.unwrap().is_none()
            }
        };
        let open = async {
            gate.wait().await;
            true
        };
        let (a, b, c, _) = tokio::join!(ask(), ask(), ask(), open);
        assert!(a && b && c);
        assert!(ask().await, "remembered");
        assert_eq!(loads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_store_error_is_not_remembered() {
        let identities = identities();
        let broken = identities
            .get([2; 32], || async { Err(StoreError::Missing("database")) })
            .await;
        assert!(broken.is_err());
        let healed = identities.get([2; 32], || async { Ok(Some(identity())) }).await;
        assert!(healed.unwrap().is_some());
    }

    #[test]
    fn credentials_of_another_form_are_not_looked_up() {
        for text in [
            "",
            "Bearer",
            "Basic abc",
            "Bearertoken",
            &format!("Bearer {}", "x".repeat(300)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(text).unwrap());
            assert!(presented(&headers).is_none(), "{text}");
        }
        assert!(presented(&HeaderMap::new()).is_none());
    }
}
