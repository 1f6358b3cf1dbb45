-- Voids and refunds: one row each, made in the transaction that answers the till. Each is delivered to
-- the web application by itself, after the sale it takes back; due_at, claim and settled_at work as in
-- forwards. What these rows say is also what the audit log says.

CREATE TABLE reversals (
    id              BIGINT        NOT NULL PRIMARY KEY, -- of the series of transactions
    tenant_id       BIGINT        NOT NULL,
    terminal_id     BIGINT        NOT NULL,
    transaction_id  BINARY(16)    NOT NULL,           -- the terminal's id of the sale
    sale_id         BIGINT        NOT NULL DEFAULT 0, -- transactions.id; 0 while the sale has no row
    kind            CHAR(6)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    reference       VARCHAR(191)  NOT NULL,           -- the terminal's id of a refund
    amount          DECIMAL(12,2) NOT NULL,           -- 0 for a void
    reason          VARCHAR(255)  NOT NULL,
    content         BINARY(32)    NOT NULL,           -- digest of the request: tells a repeat
    made_at         BIGINT        NOT NULL,
    state           CHAR(9)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    attempts        INT           NOT NULL,
    due_at          BIGINT        NULL,
    claim           BIGINT        NOT NULL DEFAULT 0,
    last_code       VARCHAR(64)   CHARACTER SET ascii COLLATE ascii_bin NULL,
    batch_id        CHAR(36)      CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    settled_at      BIGINT        NOT NULL DEFAULT 0,
    -- One void a sale, and one refund a reference, whoever comes first.
    UNIQUE KEY reversals_once (terminal_id, transaction_id, kind, reference),
    KEY reversals_sale (sale_id),
    KEY reversals_due (due_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

INSERT INTO sweep_marks (name, id) VALUES ('reversals', 0);

-- The last heartbeat of each terminal: written behind, newest wins. When a terminal was last seen at all
-- stands with its row in terminals.
CREATE TABLE heartbeats (
    terminal_id    BIGINT NOT NULL PRIMARY KEY,
    created_at     BIGINT NOT NULL, -- the first one
    received_at    BIGINT NOT NULL,
    clock_skew_ms  BIGINT NULL,     -- the till's clock minus ours, where it told its time
    backlog        BIGINT NULL      -- sales it says it still has to send
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
