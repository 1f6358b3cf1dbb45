-- The circuit breaker of each sink, agreed by every worker process: one row, changed by compare-and-set.
-- A sink without a row never failed. Half-open is an open breaker whose time is over; `probe` then fences
-- the one call that may try.

CREATE TABLE breakers (
    id           BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    sink         VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    state        VARCHAR(6)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- 'open', 'closed'
    version      BIGINT       NOT NULL DEFAULT 1,  -- counts changes
    changed_at   BIGINT       NOT NULL,            -- when it last opened or closed
    open_until   BIGINT       NOT NULL DEFAULT 0,
    cause        VARCHAR(200) NOT NULL DEFAULT '',
    probe        BIGINT       NOT NULL DEFAULT 0,  -- 0: nobody tries
    probe_until  BIGINT       NOT NULL DEFAULT 0,
    forced       VARCHAR(6)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '', -- a person's word
    forced_until BIGINT       NOT NULL DEFAULT 0,
    owner        VARCHAR(100) NOT NULL DEFAULT '',
    reason       VARCHAR(500) NOT NULL DEFAULT '',
    UNIQUE KEY breakers_sink (sink)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE INDEX admin_actions_kind ON admin_actions (subject_kind, id);
