-- Alerts to people: one row for each thing that can be wrong, and the messages about them. Rounds of two
-- schedulers come one after the other by the lock of the duty's row, so that nothing is told twice.

CREATE TABLE alerts (
    id         INTEGER NOT NULL PRIMARY KEY,
    kind       TEXT NOT NULL,
    subject    TEXT NOT NULL,              -- 'terminal:7', 'sink:webapp'
    summary    TEXT NOT NULL,
    opened_at  INTEGER NOT NULL,
    closed_at  INTEGER NOT NULL DEFAULT 0, -- 0 while it goes on
    told_at    INTEGER NOT NULL DEFAULT 0, -- when people were last told; 0: never
    UNIQUE (kind, subject)
) STRICT;

CREATE INDEX alerts_open ON alerts (closed_at, id);

CREATE TABLE alert_messages (
    id          INTEGER NOT NULL PRIMARY KEY,
    uid         TEXT NOT NULL,             -- the same for every attempt, known to the receiver
    channel     TEXT NOT NULL,             -- 'email', 'webhook'
    title       TEXT NOT NULL,
    body        TEXT NOT NULL,
    state       TEXT NOT NULL,             -- 'PENDING', 'SENDING', 'SENT', 'FAILED'
    attempts    INTEGER NOT NULL DEFAULT 0,
    due_at      INTEGER,                   -- NULL when it has ended
    claim       INTEGER NOT NULL DEFAULT 0,
    last_code   TEXT,
    created_at  INTEGER NOT NULL,
    settled_at  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX alert_messages_due ON alert_messages (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX alert_messages_made ON alert_messages (channel, created_at);

INSERT INTO duties (name, holder, held_until) VALUES ('alerts', '', 0);
