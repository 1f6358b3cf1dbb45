-- How batches to a sink are compressed, and the secrets that sign them, sealed as its token is.

ALTER TABLE sinks ADD COLUMN compression TEXT NOT NULL DEFAULT 'none';
ALTER TABLE sinks ADD COLUMN signing TEXT;
