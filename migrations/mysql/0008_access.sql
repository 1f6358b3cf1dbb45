-- Tokens that rotate, enrolment codes, terminal keys, the feed of changes that every ingress follows,
-- who changed what, and security events. A time of 0 means *not yet* (decision 0007).

ALTER TABLE tokens
    -- What keyed the hash: 'sha256' is the plain digest of the first version, else the id of a pepper.
    ADD COLUMN hash_key      VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'sha256',
    ADD COLUMN family_id     BIGINT        NOT NULL DEFAULT 0, -- the first token of the line of successors
    ADD COLUMN parent_id     BIGINT        NULL,               -- the token that this one replaces
    ADD COLUMN origin        VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'issued',
    ADD COLUMN confirmed_at  BIGINT        NOT NULL DEFAULT 0, -- first seen in use, or handed to a person
    ADD COLUMN retires_at    BIGINT        NOT NULL DEFAULT 0, -- end of the overlap, once a successor is confirmed
    ADD COLUMN networks      VARCHAR(1000) NULL,               -- networks it may be used from: 10.0.0.0/8, 192.0.2.7
    ADD COLUMN last_used_at  BIGINT        NOT NULL DEFAULT 0,
    ADD UNIQUE KEY tokens_parent (parent_id),                  -- a token has one successor
    ADD KEY tokens_family (family_id);

UPDATE tokens SET family_id = id, confirmed_at = created_at;

ALTER TABLE terminals
    ADD COLUMN key_digest    BINARY(32)    NULL,               -- of the api_key of tills that log in
    ADD COLUMN key_hash_key  VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    ADD COLUMN last_seen_at  BIGINT        NOT NULL DEFAULT 0;

CREATE TABLE enrolments (
    id               BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    digest           BINARY(32)   NOT NULL,
    hash_key         VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    tenant_id        BIGINT       NOT NULL,
    serial_number    VARCHAR(255) NOT NULL,
    created_at       BIGINT       NOT NULL,
    expires_at       BIGINT       NOT NULL,
    redeemed_at      BIGINT       NOT NULL DEFAULT 0,
    registration_id  BINARY(16)   NULL,                        -- who redeemed it: chosen by the till
    token_id         BIGINT       NOT NULL DEFAULT 0,
    UNIQUE KEY enrolments_digest (digest),
    CONSTRAINT enrolments_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One row: its lock makes the numbers of the feed follow the order of the commits.
CREATE TABLE auth_epoch (
    id     BIGINT NOT NULL PRIMARY KEY,
    epoch  BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

INSERT INTO auth_epoch (id, epoch) VALUES (1, 0);

CREATE TABLE auth_changes (
    epoch       BIGINT      NOT NULL PRIMARY KEY,
    kind        VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- token, family, terminal, tenant
    subject_id  BIGINT      NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Who changed what, in the transaction of the change. Rows are only ever added.
CREATE TABLE admin_actions (
    id            BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    at            BIGINT       NOT NULL,
    actor         VARCHAR(64)  NOT NULL,                       -- 'token:7', 'cli:ana', 'system'
    action        VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    subject_kind  VARCHAR(10)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    subject_id    BIGINT       NOT NULL,
    detail        VARCHAR(500) NOT NULL,
    address       VARCHAR(45)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    request_id    VARCHAR(64)  NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A row for each kind, subject and hour: an attacker moves a count and fills no disk.
CREATE TABLE security_events (
    kind        VARCHAR(32)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    subject     VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- 'token:7', 'address:203.0.113.9'
    hour        BIGINT       NOT NULL,                         -- hours since the epoch
    count       BIGINT       NOT NULL,
    first_at    BIGINT       NOT NULL,
    last_at     BIGINT       NOT NULL,
    address     VARCHAR(45)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- of the last one
    request_id  VARCHAR(64)  NOT NULL,
    PRIMARY KEY (hour, kind, subject)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
