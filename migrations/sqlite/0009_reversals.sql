-- Voids and refunds: one row each, made in the transaction that answers the till. Each is delivered to
-- the web application by itself, after the sale it takes back; due_at, claim and settled_at work as in
-- forwards. What these rows say is also what the audit log says.

CREATE TABLE reversals (
    id              INTEGER NOT NULL PRIMARY KEY, -- of the series of transactions
    tenant_id       INTEGER NOT NULL,
    terminal_id     INTEGER NOT NULL,
    transaction_id  BLOB NOT NULL,              -- the terminal's id of the sale
    sale_id         INTEGER NOT NULL DEFAULT 0, -- transactions.id; 0 while the sale has no row
    kind            TEXT NOT NULL,
    reference       TEXT NOT NULL,              -- the terminal's id of a refund
    amount          INTEGER NOT NULL,           -- centavos; 0 for a void
    reason          TEXT NOT NULL,
    content         BLOB NOT NULL,              -- digest of the request: tells a repeat
    made_at         INTEGER NOT NULL,
    state           TEXT NOT NULL,
    attempts        INTEGER NOT NULL,
    due_at          INTEGER,
    claim           INTEGER NOT NULL DEFAULT 0,
    last_code       TEXT,
    batch_id        TEXT NOT NULL DEFAULT '',
    settled_at      INTEGER NOT NULL DEFAULT 0,
    -- One void a sale, and one refund a reference, whoever comes first.
    UNIQUE (terminal_id, transaction_id, kind, reference)
) STRICT;
CREATE INDEX reversals_sale ON reversals (sale_id);
CREATE INDEX reversals_due ON reversals (due_at) WHERE due_at IS NOT NULL;

INSERT INTO sweep_marks (name, id) VALUES ('reversals', 0);

-- The last heartbeat of each terminal: written behind, newest wins. When a terminal was last seen at all
-- stands with its row in terminals.
CREATE TABLE heartbeats (
    terminal_id    INTEGER NOT NULL PRIMARY KEY,
    created_at     INTEGER NOT NULL, -- the first one
    received_at    INTEGER NOT NULL,
    clock_skew_ms  INTEGER,          -- the till's clock minus ours, where it told its time
    backlog        INTEGER           -- sales it says it still has to send
) STRICT;
