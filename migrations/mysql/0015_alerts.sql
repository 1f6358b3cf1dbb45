-- Alerts to people: one row for each thing that can be wrong, and the messages about them. Rounds of two
-- schedulers come one after the other by the lock of the duty's row, so that nothing is told twice.

CREATE TABLE alerts (
    id         BIGINT        NOT NULL AUTO_INCREMENT PRIMARY KEY,
    kind       VARCHAR(20)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    subject    VARCHAR(150)  NOT NULL,           -- 'terminal:7', 'sink:webapp'
    summary    VARCHAR(500)  NOT NULL,
    opened_at  BIGINT        NOT NULL,
    closed_at  BIGINT        NOT NULL DEFAULT 0, -- 0 while it goes on
    told_at    BIGINT        NOT NULL DEFAULT 0, -- when people were last told; 0: never
    UNIQUE KEY alerts_subject (kind, subject),
    KEY alerts_open (closed_at, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE alert_messages (
    id          BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    uid         CHAR(32)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- the same for every attempt
    channel     VARCHAR(10)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- 'email', 'webhook'
    title       VARCHAR(200) NOT NULL,
    body        MEDIUMTEXT   NOT NULL,
    state       VARCHAR(10)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- 'PENDING', 'SENDING', 'SENT', 'FAILED'
    attempts    INT          NOT NULL DEFAULT 0,
    due_at      BIGINT       NULL,               -- NULL when it has ended
    claim       BIGINT       NOT NULL DEFAULT 0,
    last_code   VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NULL,
    created_at  BIGINT       NOT NULL,
    settled_at  BIGINT       NOT NULL DEFAULT 0,
    KEY alert_messages_due (due_at),
    KEY alert_messages_made (channel, created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

INSERT INTO duties (name, holder, held_until) VALUES ('alerts', '', 0);
