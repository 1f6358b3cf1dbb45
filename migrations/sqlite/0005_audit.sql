-- One hash chain a tenant, appended to, never changed. The primary key keeps two writers from
-- forking a chain, the other key keeps an event from being written twice.

CREATE TABLE audit_log (
    tenant_id       INTEGER NOT NULL,
    seq             INTEGER NOT NULL, -- from 1 without gaps
    transaction_id  INTEGER NOT NULL,
    change_no       INTEGER NOT NULL,
    kind            TEXT NOT NULL,
    at              INTEGER NOT NULL,
    details         TEXT NOT NULL, -- canonical JSON, hashed as text
    appended_at     INTEGER NOT NULL,
    prev_hash       BLOB NOT NULL,
    hash            BLOB NOT NULL,
    PRIMARY KEY (tenant_id, seq),
    UNIQUE (transaction_id, change_no)
) STRICT, WITHOUT ROWID;
