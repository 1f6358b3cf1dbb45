-- The circuit breaker of each sink, agreed by every worker process: one row, changed by compare-and-set.
-- A sink without a row never failed. Half-open is an open breaker whose time is over; `probe` then fences
-- the one call that may try.

CREATE TABLE breakers (
    id           INTEGER NOT NULL PRIMARY KEY,
    sink         TEXT    NOT NULL UNIQUE,
    state        TEXT    NOT NULL,            -- 'open', 'closed'
    version      INTEGER NOT NULL DEFAULT 1,  -- counts changes
    changed_at   INTEGER NOT NULL,            -- when it last opened or closed
    open_until   INTEGER NOT NULL DEFAULT 0,
    cause        TEXT    NOT NULL DEFAULT '',
    probe        INTEGER NOT NULL DEFAULT 0,  -- 0: nobody tries
    probe_until  INTEGER NOT NULL DEFAULT 0,
    forced       TEXT    NOT NULL DEFAULT '', -- a person's word
    forced_until INTEGER NOT NULL DEFAULT 0,
    owner        TEXT    NOT NULL DEFAULT '',
    reason       TEXT    NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX admin_actions_kind ON admin_actions (subject_kind, id);
