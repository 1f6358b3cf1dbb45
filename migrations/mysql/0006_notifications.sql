-- Callbacks to terminals. Made in the transaction of the decision they tell of; the unique key
-- makes each once. due_at works as in forwards.

CREATE TABLE notifications (
    id              BIGINT        NOT NULL AUTO_INCREMENT PRIMARY KEY,
    tenant_id       BIGINT        NOT NULL,
    terminal_id     BIGINT        NOT NULL,
    transaction_id  BIGINT        NOT NULL,
    kind            VARCHAR(40)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    url             VARCHAR(2000) NOT NULL,
    payload         MEDIUMTEXT    NOT NULL,
    state           VARCHAR(10)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    attempts        INT           NOT NULL,
    due_at          BIGINT        NULL,
    claim           BIGINT        NULL,
    last_status     INT           NULL, -- HTTP status of the last answer
    last_code       VARCHAR(64)   CHARACTER SET ascii COLLATE ascii_bin NULL,
    created_at      BIGINT        NOT NULL,
    settled_at      BIGINT        NULL,
    UNIQUE KEY notifications_subject (transaction_id, kind),
    KEY notifications_due (due_at, transaction_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
