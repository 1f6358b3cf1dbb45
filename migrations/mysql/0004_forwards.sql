-- The delivery of each valid sale: one row, made in the transaction that decides VALID.
-- due_at is NULL when the delivery has ended; while it is claimed it is the end of the claim, so
-- that one index tells everything that is due and not moving.

CREATE TABLE forwards (
    transaction_id  BIGINT      NOT NULL PRIMARY KEY,
    tenant_id       BIGINT      NOT NULL,
    state           VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    attempts        INT         NOT NULL,
    due_at          BIGINT      NULL,
    claim           BIGINT      NULL, -- fences the worker that claimed it against a later one
    last_code       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    batch_id        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    created_at      BIGINT      NOT NULL,
    settled_at      BIGINT      NULL,
    KEY forwards_due (due_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What could not be brought to an end, for a person to look at. subject_id is a submission
-- (validation) or a transaction (processing, forwarding).
CREATE TABLE dead_letters (
    id          BIGINT        NOT NULL AUTO_INCREMENT PRIMARY KEY,
    stage       VARCHAR(16)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    subject_id  BIGINT        NOT NULL,
    tenant_id   BIGINT        NOT NULL,
    code        VARCHAR(64)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    detail      VARCHAR(2000) NOT NULL,
    created_at  BIGINT        NOT NULL,
    UNIQUE KEY dead_letters_subject (stage, subject_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
