-- What people and the scheduler say about the running fleet: who does what must be done once, which
-- workers are alive, which queues are held, and how wide each queue is worked on.

CREATE TABLE duties (
    name        TEXT NOT NULL PRIMARY KEY,
    holder      TEXT NOT NULL,
    held_until  INTEGER NOT NULL
) STRICT;

INSERT INTO duties (name, holder, held_until) VALUES ('scheduler', '', 0);

CREATE TABLE worker_beats (
    process      TEXT NOT NULL,
    queue        TEXT NOT NULL,
    concurrency  INTEGER NOT NULL,
    connections  INTEGER NOT NULL, -- most connections to the database that the process opens
    cpu          INTEGER NOT NULL, -- of its machine, its memory and its pool: used, in thousandths
    memory       INTEGER NOT NULL,
    pool         INTEGER NOT NULL,
    seen_at      INTEGER NOT NULL,
    PRIMARY KEY (process, queue)
) STRICT;

CREATE TABLE queue_holds (
    id          INTEGER NOT NULL PRIMARY KEY,
    queue       TEXT NOT NULL, -- '' is every queue
    tenant_id   INTEGER NOT NULL, -- 0 is everybody
    owner       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    ends_at     INTEGER NOT NULL,
    lifted_at   INTEGER
) STRICT;
CREATE INDEX queue_holds_end ON queue_holds (ends_at);

-- A queue without a row is as wide as stage.<name>.concurrency says.
CREATE TABLE queue_widths (
    queue        TEXT NOT NULL PRIMARY KEY,
    concurrency  INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE width_moves (
    id       INTEGER NOT NULL PRIMARY KEY,
    at       INTEGER NOT NULL,
    queue    TEXT NOT NULL,
    was      INTEGER NOT NULL,
    becomes  INTEGER NOT NULL,
    actor    TEXT NOT NULL, -- 'cli:ana', 'autoscaler'
    reason   TEXT NOT NULL
) STRICT;
