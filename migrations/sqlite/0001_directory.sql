-- Who may submit. Small, rarely written tables: here foreign keys cost nothing and catch mistakes.
--
-- Everywhere: times are microseconds since the epoch, UTC. Tables are STRICT, so that a text or a
-- float cannot slip into an integer column. The MySQL folder holds the same tables; what differs is
-- said here.

CREATE TABLE companies (
    id          INTEGER NOT NULL PRIMARY KEY,
    code        TEXT NOT NULL,
    name        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    UNIQUE (code)
) STRICT;

CREATE TABLE tenants (
    id          INTEGER NOT NULL PRIMARY KEY,
    company_id  INTEGER NOT NULL,
    code        TEXT NOT NULL,
    name        TEXT NOT NULL,
    timezone    TEXT NOT NULL,
    active      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    UNIQUE (code),
    CONSTRAINT tenants_company FOREIGN KEY (company_id) REFERENCES companies (id)
) STRICT;

CREATE TABLE terminals (
    id             INTEGER NOT NULL PRIMARY KEY,
    tenant_id      INTEGER NOT NULL,
    serial_number  TEXT NOT NULL,
    status         TEXT NOT NULL,
    expires_at     INTEGER,
    callback_url   TEXT,
    created_at     INTEGER NOT NULL,
    UNIQUE (serial_number),
    CONSTRAINT terminals_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) STRICT;

-- Only the SHA-256 of a token is kept: who reads this table can submit nothing.
CREATE TABLE tokens (
    id           INTEGER NOT NULL PRIMARY KEY,
    digest       BLOB NOT NULL,
    terminal_id  INTEGER, -- NULL: an administrator's
    name         TEXT NOT NULL,
    abilities    TEXT NOT NULL, -- a JSON list
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    UNIQUE (digest),
    CONSTRAINT tokens_terminal FOREIGN KEY (terminal_id) REFERENCES terminals (id)
) STRICT;
