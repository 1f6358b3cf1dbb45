-- The web applications that sales are forwarded to, besides the one of the settings: one a tenant, or one
-- for all. Tokens are sealed with a key that is not in the database.

CREATE TABLE sinks (
    id              INTEGER NOT NULL PRIMARY KEY,
    name            TEXT NOT NULL,
    tenant_id       INTEGER NOT NULL, -- 0: of every tenant without one of its own
    environment     TEXT NOT NULL,
    endpoint        TEXT NOT NULL,
    token           TEXT,
    timeout_ms      INTEGER NOT NULL,
    batch_size      INTEGER NOT NULL,
    verify_ssl      INTEGER NOT NULL,
    enabled         INTEGER NOT NULL,
    schema_version  TEXT NOT NULL,
    ca              TEXT,
    allow_private   INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL,
    UNIQUE (name),
    UNIQUE (tenant_id, environment)
) STRICT;

-- Counts the changes of sinks, so that a worker sees with one small read that there is one.
CREATE TABLE sinks_epoch (
    id     INTEGER NOT NULL PRIMARY KEY,
    epoch  INTEGER NOT NULL
) STRICT;

INSERT INTO sinks_epoch (id, epoch) VALUES (1, 0);
