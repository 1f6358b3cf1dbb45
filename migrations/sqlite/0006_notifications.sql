-- Callbacks to terminals. Made in the transaction of the decision they tell of; the unique key
-- makes each once. due_at works as in forwards.

CREATE TABLE notifications (
    id              INTEGER NOT NULL PRIMARY KEY,
    tenant_id       INTEGER NOT NULL,
    terminal_id     INTEGER NOT NULL,
    transaction_id  INTEGER NOT NULL,
    kind            TEXT NOT NULL,
    url             TEXT NOT NULL,
    payload         TEXT NOT NULL,
    state           TEXT NOT NULL,
    attempts        INTEGER NOT NULL,
    due_at          INTEGER,
    claim           INTEGER,
    last_status     INTEGER, -- HTTP status of the last answer
    last_code       TEXT,
    created_at      INTEGER NOT NULL,
    settled_at      INTEGER,
    UNIQUE (transaction_id, kind)
) STRICT;
CREATE INDEX notifications_due ON notifications (due_at, transaction_id)
    WHERE due_at IS NOT NULL;
