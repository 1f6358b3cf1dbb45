-- What terminals sent, exactly as sent: the durable promise behind every 202.
--
-- No foreign keys here nor on the tables of the hot path that follow: each would cost an index
-- look-up per insert, and the tenant and terminal written come from an authenticated token, never
-- from a body. Ids are handed out in blocks (id_blocks), so that
-- they are known before the commit and stay close to time order.

CREATE TABLE submissions (
    id                    INTEGER NOT NULL PRIMARY KEY,
    tenant_id             INTEGER NOT NULL,
    terminal_id           INTEGER NOT NULL,
    submission_uuid       BLOB NOT NULL,
    submission_timestamp  INTEGER NOT NULL,
    payload_checksum      BLOB NOT NULL,
    transaction_id        BLOB, -- of a submission with one sale; a batch has submission_items
    request_id            TEXT NOT NULL,
    accepted_at           INTEGER NOT NULL,
    processed_at          INTEGER NOT NULL DEFAULT 0, -- when validation made its rows; 0 before
    results               TEXT, -- JSON: items that made no row; NULL when all did
    dead_code             TEXT, -- why it was given up
    -- The last column: a row that is longer than a page is read up to the column wanted.
    body                  BLOB NOT NULL,
    -- Idempotency is decided by this key, not by looking first.
    UNIQUE (terminal_id, submission_uuid)
) STRICT;
CREATE INDEX submissions_transaction ON submissions (terminal_id, transaction_id)
    WHERE transaction_id IS NOT NULL;

-- Which sales a batch carries, so that their status can be told before validation made their rows.
-- A submission with one sale needs no row here.
CREATE TABLE submission_items (
    submission_id   INTEGER NOT NULL,
    position        INTEGER NOT NULL,
    terminal_id     INTEGER NOT NULL,
    transaction_id  BLOB NOT NULL,
    PRIMARY KEY (submission_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX submission_items_transaction ON submission_items (terminal_id, transaction_id);
