-- How batches to a sink are compressed, and the secrets that sign them, sealed as its token is.

ALTER TABLE sinks
    ADD COLUMN compression VARCHAR(8)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'none',
    ADD COLUMN signing     VARCHAR(1500) CHARACTER SET ascii COLLATE ascii_bin NULL;
