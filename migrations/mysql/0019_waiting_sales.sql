-- SQLite gets an index of the submissions that wait for validation; MySQL has no partial indexes and keeps
-- the whole one.
DO 0;
