-- Tokens that rotate, enrolment codes, terminal keys, the feed of changes that every ingress follows,
-- who changed what, and security events. A time of 0 means *not yet* (decision 0007).

-- What keyed the hash: 'sha256' is the plain digest of the first version, else the id of a pepper.
ALTER TABLE tokens ADD COLUMN hash_key TEXT NOT NULL DEFAULT 'sha256';
ALTER TABLE tokens ADD COLUMN family_id INTEGER NOT NULL DEFAULT 0; -- the first token of the line of successors
ALTER TABLE tokens ADD COLUMN parent_id INTEGER; -- the token that this one replaces
ALTER TABLE tokens ADD COLUMN origin TEXT NOT NULL DEFAULT 'issued';
ALTER TABLE tokens ADD COLUMN confirmed_at INTEGER NOT NULL DEFAULT 0; -- first seen in use, or handed to a person
ALTER TABLE tokens ADD COLUMN retires_at INTEGER NOT NULL DEFAULT 0; -- end of the overlap, once a successor is confirmed
ALTER TABLE tokens ADD COLUMN networks TEXT; -- networks it may be used from: 10.0.0.0/8, 192.0.2.7
ALTER TABLE tokens ADD COLUMN last_used_at INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX tokens_parent ON tokens (parent_id); -- a token has one successor
CREATE INDEX tokens_family ON tokens (family_id);
CREATE INDEX tokens_terminal ON tokens (terminal_id); -- MySQL has one for the foreign key

UPDATE tokens SET family_id = id, confirmed_at = created_at;

ALTER TABLE terminals ADD COLUMN key_digest BLOB; -- of the api_key of tills that log in
ALTER TABLE terminals ADD COLUMN key_hash_key TEXT NOT NULL DEFAULT '';
ALTER TABLE terminals ADD COLUMN last_seen_at INTEGER NOT NULL DEFAULT 0;

CREATE TABLE enrolments (
    id               INTEGER NOT NULL PRIMARY KEY,
    digest           BLOB NOT NULL,
    hash_key         TEXT NOT NULL,
    tenant_id        INTEGER NOT NULL,
    serial_number    TEXT NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    redeemed_at      INTEGER NOT NULL DEFAULT 0,
    registration_id  BLOB, -- who redeemed it: chosen by the till
    token_id         INTEGER NOT NULL DEFAULT 0,
    UNIQUE (digest),
    CONSTRAINT enrolments_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;

-- One row: its lock makes the numbers of the feed follow the order of the commits.
CREATE TABLE auth_epoch (
    id     INTEGER NOT NULL PRIMARY KEY,
    epoch  INTEGER NOT NULL
) STRICT;

INSERT INTO auth_epoch (id, epoch) VALUES (1, 0);

CREATE TABLE auth_changes (
    epoch       INTEGER NOT NULL PRIMARY KEY,
    kind        TEXT NOT NULL, -- token, family, terminal, tenant
    subject_id  INTEGER NOT NULL
) STRICT;

-- Who changed what, in the transaction of the change. Rows are only ever added.
CREATE TABLE admin_actions (
    id            INTEGER NOT NULL PRIMARY KEY,
    at            INTEGER NOT NULL,
    actor         TEXT NOT NULL, -- 'token:7', 'cli:ana', 'system'
    action        TEXT NOT NULL,
    subject_kind  TEXT NOT NULL,
    subject_id    INTEGER NOT NULL,
    detail        TEXT NOT NULL,
    address       TEXT NOT NULL,
    request_id    TEXT NOT NULL
) STRICT;

-- A row for each kind, subject and hour: an attacker moves a count and fills no disk.
CREATE TABLE security_events (
    kind        TEXT NOT NULL,
    subject     TEXT NOT NULL, -- 'token:7', 'address:203.0.113.9'
    hour        INTEGER NOT NULL, -- hours since the epoch
    count       INTEGER NOT NULL,
    first_at    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    address     TEXT NOT NULL, -- of the last one
    request_id  TEXT NOT NULL,
    PRIMARY KEY (hour, kind, subject)
) STRICT;
