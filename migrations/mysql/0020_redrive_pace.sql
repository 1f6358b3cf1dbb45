-- The pace of a redrive belongs to the run: two commands that go on with one run share it.
ALTER TABLE redrives
    ADD COLUMN rate    BIGINT NOT NULL DEFAULT 100, -- most letters a second
    ADD COLUMN next_at BIGINT NOT NULL DEFAULT 0;   -- no letter is moved before
