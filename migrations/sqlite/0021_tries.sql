-- Tries to forward that did not succeed, with what was sent and answered by its digest.

CREATE TABLE forward_tries (
    id              INTEGER NOT NULL PRIMARY KEY,
    transaction_id  INTEGER NOT NULL, -- the sale, also of its voids and refunds
    attempt         INTEGER NOT NULL,
    sent_at         INTEGER NOT NULL,
    took_ms         INTEGER NOT NULL,
    sink            TEXT NOT NULL,
    batch_id        TEXT NOT NULL,
    sales           INTEGER NOT NULL, -- in that batch
    code            TEXT NOT NULL,
    status          INTEGER,          -- of the answer; NULL where there was none
    request_digest  BLOB NOT NULL,
    answer_digest   BLOB
) STRICT;

CREATE INDEX forward_tries_sale ON forward_tries (transaction_id, id);
