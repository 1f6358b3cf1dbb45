//! Who may submit: companies, tenants, terminals and their tokens.

use serde::Serialize;
use utoipa::ToSchema;

use super::{ability, checksum::Digest, network::Networks, rotation::Life, time::Timestamp};

/// A shop of a company in a mall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// Row id; the `tenant_id` of the payload.
    pub id: i64,
    /// The company it belongs to.
    pub company_id: i64,
    /// Its customer code, unique.
    pub code: String,
    /// Trade name.
    pub name: String,
    /// IANA time zone of its business day.
    pub timezone: String,
    /// Whether it may submit.
    pub active: bool,
}

/// Where a terminal stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TerminalStatus {
    /// May submit.
    Active,
    /// Switched off for now.
    Inactive,
    /// Never again.
    Revoked,
}

/// A point-of-sale terminal (a till).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Terminal {
    /// Row id; the `terminal_id` of the payload.
    pub id: i64,
    /// The tenant it stands in.
    pub tenant_id: i64,
    /// Serial number, unique; the `hardware_id` of the payload.
    pub serial_number: String,
    /// Its state now.
    pub status: TerminalStatus,
    /// When it stops being accepted, if ever.
    pub expires_at: Option<Timestamp>,
    /// Where results are posted, if the vendor wants them.
    pub callback_url: Option<String>,
}

impl Terminal {
    /// Whether the terminal may submit at `now`.
    #[must_use]
    pub fn usable(&self, now: Timestamp) -> bool {
        self.status == TerminalStatus::Active && self.expires_at.is_none_or(|end| now < end)
    }
}

/// What a bearer token stands for: the terminal, its tenant, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Row id of the token.
    pub token_id: i64,
    /// The family it belongs to: the row id of the first token of the line.
    pub family_id: i64,
    /// Who submits; `None` for an administrator's token.
    pub terminal: Option<(Terminal, Tenant)>,
    /// What it may do, e.g. `transaction:create`.
    pub abilities: Vec<String>,
    /// What decides whether it is good.
    pub life: Life,
    /// Where it may be used from; anywhere when empty.
    pub networks: Networks,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it was seen in use, or handed to a person. Until then its answer may be lost.
    pub confirmed: bool,
    /// The name of the pepper its hash is keyed with.
    pub hash_key: String,
    /// The hash that found it.
    pub digest: Digest,
}

impl Identity {
    /// Whether the token carries `ability`, or the wildcard `admin:*` where an admin ability is asked.
    #[must_use]
    pub fn may(&self, ability: &str) -> bool {
        self.abilities.iter().any(|held| ability::covers(held, ability))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_usable_while_active_and_before_its_end() {
        let end = Timestamp::from_micros(1_000);
        let mut terminal = Terminal {
            id: 1,
            tenant_id: 125,
            serial_number: "SN-0001".to_owned(),
            status: TerminalStatus::Active,
            expires_at: Some(end),
            callback_url: None,
        };
        assert!(terminal.usable(Timestamp::from_micros(999)));
        assert!(!terminal.usable(end));
        terminal.expires_at = None;
        assert!(terminal.usable(end));
        for status in [TerminalStatus::Inactive, TerminalStatus::Revoked] {
            terminal.status = status;
            assert!(!terminal.usable(Timestamp::from_micros(0)), "{status:?}");
        }
    }

    #[test]
    fn the_wildcard_reaches_admin_abilities_only() {
        let holding = |ability: &str| Identity {
            token_id: 1,
            family_id: 1,
            terminal: None,
            abilities: vec![ability.to_owned()],
            life: Life::default(),
            networks: Networks::default(),
            created_at: Timestamp::from_micros(0),
            confirmed: true,
            hash_key: String::new(),
            digest: [0; 32],
        };
        assert!(holding("transaction:create").may("transaction:create"));
        assert!(!holding("transaction:create").may("transaction:read"));
        assert!(holding("admin:*").may("admin:manage"));
        assert!(!holding("admin:*").may("transaction:create"));
        assert!(!holding("admin:manage").may("admin:tokens"));
    }
}
