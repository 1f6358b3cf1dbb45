-- Row ids are taken from here in blocks: an id is known before its row is committed, and a
-- multi-row insert needs no answer to learn its ids.
CREATE TABLE id_blocks (
    name     VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    next_id  BIGINT      NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

INSERT INTO id_blocks (name, next_id) VALUES ('submission', 1), ('transaction', 1);

-- Where the sweeper stands: nothing below a mark is unfinished.
CREATE TABLE sweep_marks (
    name  VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    id    BIGINT      NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

INSERT INTO sweep_marks (name, id) VALUES ('validation', 0), ('processing', 0), ('audit', 0);
