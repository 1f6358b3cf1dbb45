-- Dead letters brought back or discarded by a person: a row for each order with how far it has come, so
-- that it goes on after a crash where it stood, and what it has taken out of dead_letters.

CREATE TABLE redrives (
    id          INTEGER NOT NULL PRIMARY KEY,
    kind        TEXT NOT NULL,
    filter      TEXT NOT NULL,
    reason      TEXT NOT NULL,
    state       TEXT NOT NULL,
    up_to       INTEGER NOT NULL,           -- the newest letter it may touch
    position    INTEGER NOT NULL DEFAULT 0, -- the last letter it looked at
    moved       INTEGER NOT NULL DEFAULT 0,
    kept        INTEGER NOT NULL DEFAULT 0, -- matched, but could not be brought back
    created_at  INTEGER NOT NULL,
    settled_at  INTEGER NOT NULL DEFAULT 0  -- 0 while under way
) STRICT;

CREATE TABLE settled_letters (
    id          INTEGER NOT NULL PRIMARY KEY,
    redrive_id  INTEGER NOT NULL,
    letter_id   INTEGER NOT NULL,
    stage       TEXT NOT NULL,
    subject_id  INTEGER NOT NULL,
    tenant_id   INTEGER NOT NULL,
    code        TEXT NOT NULL,
    detail      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    settled_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX settled_letters_subject ON settled_letters (stage, subject_id);
