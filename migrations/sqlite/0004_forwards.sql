-- The delivery of each valid sale: one row, made in the transaction that decides VALID.
-- due_at is NULL when the delivery has ended; while it is claimed it is the end of the claim, so
-- that one index tells everything that is due and not moving.

CREATE TABLE forwards (
    transaction_id  INTEGER NOT NULL PRIMARY KEY,
    tenant_id       INTEGER NOT NULL,
    state           TEXT NOT NULL,
    attempts        INTEGER NOT NULL,
    due_at          INTEGER,
    claim           INTEGER NOT NULL DEFAULT 0, -- fences a worker against a later one; 0: nobody's
    last_code       TEXT,
    batch_id        TEXT NOT NULL DEFAULT '',
    created_at      INTEGER NOT NULL,
    settled_at      INTEGER NOT NULL DEFAULT 0 -- 0 while under way
) STRICT;
CREATE INDEX forwards_due ON forwards (due_at) WHERE due_at IS NOT NULL;

-- What could not be brought to an end, for a person to look at. subject_id is a submission
-- (validation) or a transaction (processing, forwarding).
CREATE TABLE dead_letters (
    id          INTEGER NOT NULL PRIMARY KEY,
    stage       TEXT NOT NULL,
    subject_id  INTEGER NOT NULL,
    tenant_id   INTEGER NOT NULL,
    code        TEXT NOT NULL,
    detail      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    UNIQUE (stage, subject_id)
) STRICT;
