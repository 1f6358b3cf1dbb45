//! What a token may do: every ability there is, in one place.

/// Submit sales, voids and refunds.
pub const TRANSACTION_CREATE: &str = "transaction:create";
/// See what became of one's own sales.
pub const TRANSACTION_READ: &str = "transaction:read";
/// Report that the till is alive.
pub const HEARTBEAT_SEND: &str = "heartbeat:send";
/// Manage tenants.
pub const ADMIN_TENANTS: &str = "admin:tenants";
/// Manage terminals, their keys and enrolment codes.
pub const ADMIN_TERMINALS: &str = "admin:terminals";
/// Manage tokens.
pub const ADMIN_TOKENS: &str = "admin:tokens";
/// Manage rate limits.
pub const ADMIN_LIMITS: &str = "admin:limits";
/// Manage sinks: where sales are forwarded to.
pub const ADMIN_SINKS: &str = "admin:sinks";
/// Read security events and who changed what.
pub const ADMIN_SECURITY: &str = "admin:security";
/// Hold breakers open or closed.
pub const ADMIN_BREAKERS: &str = "admin:breakers";
/// See dead letters, bring them back, discard them.
pub const ADMIN_LETTERS: &str = "admin:letters";
/// Every `admin:` ability.
pub const ADMIN_ALL: &str = "admin:*";

/// What a terminal's token may be allowed. `transaction:status` is of the old system and means nothing
/// here; tokens that carry it are taken as they are.
pub const OF_TERMINALS: [&str; 4] = [
    TRANSACTION_CREATE,
    TRANSACTION_READ,
    "transaction:status",
    HEARTBEAT_SEND,
];

/// What a terminal's token may do unless told otherwise.
pub const USUAL: [&str; 3] = [TRANSACTION_CREATE, TRANSACTION_READ, HEARTBEAT_SEND];

/// What an administrator's token may be allowed.
pub const OF_ADMINS: [&str; 9] = [
    ADMIN_ALL,
    ADMIN_TENANTS,
    ADMIN_TERMINALS,
    ADMIN_TOKENS,
    ADMIN_LIMITS,
    ADMIN_SINKS,
    ADMIN_SECURITY,
    ADMIN_BREAKERS,
    ADMIN_LETTERS,
];

/// Whether who holds `held` may do `asked`: the same word, or the wildcard where an admin ability is asked.
#[must_use]
pub fn covers(held: &str, asked: &str) -> bool {
    held == asked || (held == ADMIN_ALL && asked.starts_with("admin:"))
}
