-- The web applications that sales are forwarded to, besides the one of the settings: one a tenant, or one
-- for all. Tokens are sealed with a key that is not in the database.

CREATE TABLE sinks (
    id              BIGINT        NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name            VARCHAR(40)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    tenant_id       BIGINT        NOT NULL, -- 0: of every tenant without one of its own
    environment     VARCHAR(12)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    endpoint        VARCHAR(1000) NOT NULL,
    token           VARCHAR(1500) CHARACTER SET ascii COLLATE ascii_bin NULL,
    timeout_ms      INT           NOT NULL,
    batch_size      INT           NOT NULL,
    verify_ssl      TINYINT       NOT NULL,
    enabled         TINYINT       NOT NULL,
    schema_version  VARCHAR(8)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    ca              VARCHAR(6000) CHARACTER SET ascii COLLATE ascii_bin NULL,
    allow_private   TINYINT       NOT NULL,
    version         BIGINT        NOT NULL,
    created_at      BIGINT        NOT NULL,
    changed_at      BIGINT        NOT NULL,
    UNIQUE KEY sinks_name (name),
    UNIQUE KEY sinks_tenant (tenant_id, environment)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Counts the changes of sinks, so that a worker sees with one small read that there is one.
CREATE TABLE sinks_epoch (
    id     TINYINT NOT NULL PRIMARY KEY,
    epoch  BIGINT  NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

INSERT INTO sinks_epoch (id, epoch) VALUES (1, 0);
