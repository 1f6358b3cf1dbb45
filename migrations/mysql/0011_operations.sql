-- What people and the scheduler say about the running fleet: who does what must be done once, which
-- workers are alive, which queues are held, and how wide each queue is worked on.

CREATE TABLE duties (
    name        VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    holder      VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    held_until  BIGINT      NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

INSERT INTO duties (name, holder, held_until) VALUES ('scheduler', '', 0);

CREATE TABLE worker_beats (
    process      VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    queue        VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    concurrency  BIGINT      NOT NULL,
    connections  BIGINT      NOT NULL, -- most connections to the database that the process opens
    cpu          BIGINT      NOT NULL, -- of its machine, its memory and its pool: used, in thousandths
    memory       BIGINT      NOT NULL,
    pool         BIGINT      NOT NULL,
    seen_at      BIGINT      NOT NULL,
    PRIMARY KEY (process, queue)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE queue_holds (
    id          BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    queue       VARCHAR(20)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- '' is every queue
    tenant_id   BIGINT       NOT NULL, -- 0 is everybody
    owner       VARCHAR(100) NOT NULL,
    reason      VARCHAR(500) NOT NULL,
    created_at  BIGINT       NOT NULL,
    ends_at     BIGINT       NOT NULL,
    lifted_at   BIGINT       NULL,
    KEY queue_holds_end (ends_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A queue without a row is as wide as stage.<name>.concurrency says.
CREATE TABLE queue_widths (
    queue        VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    concurrency  BIGINT      NOT NULL,
    changed_at   BIGINT      NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE width_moves (
    id       BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    at       BIGINT       NOT NULL,
    queue    VARCHAR(20)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    was      BIGINT       NOT NULL,
    becomes  BIGINT       NOT NULL,
    actor    VARCHAR(64)  NOT NULL, -- 'cli:ana', 'autoscaler'
    reason   VARCHAR(500) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
