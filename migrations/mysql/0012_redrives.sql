-- Dead letters brought back or discarded by a person: a row for each order with how far it has come, so
-- that it goes on after a crash where it stood, and what it has taken out of dead_letters.

CREATE TABLE redrives (
    id          BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    kind        VARCHAR(10)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    filter      VARCHAR(500) NOT NULL,
    reason      VARCHAR(500) NOT NULL,
    state       VARCHAR(10)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    up_to       BIGINT       NOT NULL,           -- the newest letter it may touch
    position    BIGINT       NOT NULL DEFAULT 0, -- the last letter it looked at
    moved       BIGINT       NOT NULL DEFAULT 0,
    kept        BIGINT       NOT NULL DEFAULT 0, -- matched, but could not be brought back
    created_at  BIGINT       NOT NULL,
    settled_at  BIGINT       NOT NULL DEFAULT 0  -- 0 while under way
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE settled_letters (
    id          BIGINT        NOT NULL AUTO_INCREMENT PRIMARY KEY,
    redrive_id  BIGINT        NOT NULL,
    letter_id   BIGINT        NOT NULL,
    stage       VARCHAR(16)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    subject_id  BIGINT        NOT NULL,
    tenant_id   BIGINT        NOT NULL,
    code        VARCHAR(64)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    detail      VARCHAR(2000) NOT NULL,
    created_at  BIGINT        NOT NULL,
    settled_at  BIGINT        NOT NULL,
    KEY settled_letters_subject (stage, subject_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
