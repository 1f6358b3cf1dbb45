-- The delivery of each valid sale: one row, made in the transaction that decides VALID.
-- due_at is NULL when the delivery has ended; while it is claimed it is the end of the claim, so
-- that one index tells everything that is due and not moving.

CREATE TABLE forwards (
    transaction_id  BIGINT      NOT NULL PRIMARY KEY,
    tenant_id       BIGINT      NOT NULL,
    state           CHAR(9)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    attempts        INT         NOT NULL,
    due_at          BIGINT      NULL,
    claim           BIGINT      NOT NULL DEFAULT 0, -- fences a worker against a later one; 0: nobody's
    last_code       VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    batch_id        CHAR(36)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    created_at      BIGINT      NOT NULL,
    settled_at      BIGINT      NOT NULL DEFAULT 0, -- 0 while under way
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
