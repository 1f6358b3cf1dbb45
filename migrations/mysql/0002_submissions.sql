-- What terminals sent, exactly as sent: the durable promise behind every 202.
--
-- No foreign keys here nor on the tables of the hot path that follow: each would cost an index
-- look-up and a shared lock on the parent row per insert, and the tenant and terminal written come
-- from an authenticated token, never from a body. Ids are handed out in blocks (id_blocks), so that
-- they are known before the commit and stay close to time order.
--
-- What an update fills in has a fixed width and is never NULL: a row that grows in a full page makes
-- InnoDB split it, which wrote ten times the redo of the update itself.

CREATE TABLE submissions (
    id                    BIGINT       NOT NULL PRIMARY KEY,
    tenant_id             BIGINT       NOT NULL,
    terminal_id           BIGINT       NOT NULL,
    submission_uuid       BINARY(16)   NOT NULL,
    submission_timestamp  BIGINT       NOT NULL,
    payload_checksum      BINARY(32)   NOT NULL,
    transaction_id        BINARY(16)   NULL,  -- of a submission with one sale; a batch has submission_items
    request_id            VARCHAR(128) NOT NULL,
    accepted_at           BIGINT       NOT NULL,
    processed_at          BIGINT       NOT NULL DEFAULT 0,  -- when validation made its rows; 0 before
    results               MEDIUMTEXT   NULL,  -- JSON: items that made no row; NULL when all did
    dead_code             VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NULL, -- why it was given up
    body                  MEDIUMBLOB   NOT NULL,
    -- Idempotency is decided by this key, not by looking first.
    UNIQUE KEY submissions_uuid (terminal_id, submission_uuid),
    KEY submissions_transaction (terminal_id, transaction_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Which sales a batch carries, so that their status can be told before validation made their rows.
-- A submission with one sale needs no row here.
CREATE TABLE submission_items (
    submission_id   BIGINT     NOT NULL,
    position        INT        NOT NULL,
    terminal_id     BIGINT     NOT NULL,
    transaction_id  BINARY(16) NOT NULL,
    PRIMARY KEY (submission_id, position),
    KEY submission_items_transaction (terminal_id, transaction_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
