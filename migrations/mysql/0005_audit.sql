-- One hash chain a tenant, appended to, never changed. The primary key keeps two writers from
-- forking a chain, the other key keeps an event from being written twice.

CREATE TABLE audit_log (
    tenant_id       BIGINT      NOT NULL,
    seq             BIGINT      NOT NULL, -- from 1 without gaps
    transaction_id  BIGINT      NOT NULL,
    change_no       INT         NOT NULL,
    kind            VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    at              BIGINT      NOT NULL,
    details         MEDIUMTEXT  NOT NULL, -- canonical JSON, hashed as text
    appended_at     BIGINT      NOT NULL,
    prev_hash       BINARY(32)  NOT NULL,
    hash            BINARY(32)  NOT NULL,
    PRIMARY KEY (tenant_id, seq),
    UNIQUE KEY audit_log_change (transaction_id, change_no)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
