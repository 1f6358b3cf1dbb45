-- Who may submit. Small, rarely written tables: here foreign keys cost nothing and catch mistakes.
--
-- Everywhere: times are microseconds since the epoch, UTC, in a BIGINT, so that no time zone of a
-- server or session can shift them. Texts are utf8mb4 with a binary collation, so that keys are
-- equal when their characters are, as in SQLite (but for trailing
-- spaces, which MySQL ignores when it compares). Fixed words are ascii.

CREATE TABLE companies (
    id          BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    code        VARCHAR(50)  NOT NULL,
    name        VARCHAR(255) NOT NULL,
    created_at  BIGINT       NOT NULL,
    UNIQUE KEY companies_code (code)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE tenants (
    id          BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    company_id  BIGINT       NOT NULL,
    code        VARCHAR(50)  NOT NULL,
    name        VARCHAR(255) NOT NULL,
    timezone    VARCHAR(64)  NOT NULL,
    active      TINYINT      NOT NULL,
    created_at  BIGINT       NOT NULL,
    UNIQUE KEY tenants_code (code),
    CONSTRAINT tenants_company FOREIGN KEY (company_id) REFERENCES companies (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE terminals (
    id             BIGINT        NOT NULL AUTO_INCREMENT PRIMARY KEY,
    tenant_id      BIGINT        NOT NULL,
    serial_number  VARCHAR(255)  NOT NULL,
    status         VARCHAR(10)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    expires_at     BIGINT        NULL,
    callback_url   VARCHAR(2000) NULL,
    created_at     BIGINT        NOT NULL,
    UNIQUE KEY terminals_serial_number (serial_number),
    CONSTRAINT terminals_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Only the SHA-256 of a token is kept: who reads this table can submit nothing.
CREATE TABLE tokens (
    id           BIGINT        NOT NULL AUTO_INCREMENT PRIMARY KEY,
    digest       BINARY(32)    NOT NULL,
    terminal_id  BIGINT        NULL,     -- NULL: an administrator's
    name         VARCHAR(255)  NOT NULL,
    abilities    VARCHAR(2000) NOT NULL, -- a JSON list
    created_at   BIGINT        NOT NULL,
    expires_at   BIGINT        NULL,
    revoked_at   BIGINT        NULL,
    UNIQUE KEY tokens_digest (digest),
    CONSTRAINT tokens_terminal FOREIGN KEY (terminal_id) REFERENCES terminals (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
