-- Who is blocked and who is let through whatever the limits, by a person's order; which ingresses
-- are alive; and who was refused, by the hour.

CREATE TABLE limit_orders (
    id         BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    kind       VARCHAR(10)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    class      VARCHAR(20)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    identifier VARCHAR(64)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    owner      VARCHAR(100) NOT NULL,
    reason     VARCHAR(500) NOT NULL,
    created_at BIGINT       NOT NULL,
    ends_at    BIGINT       NOT NULL,
    lifted_at  BIGINT       NULL,
    KEY limit_orders_end (ends_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE ingress_beats (
    name       VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    seen_at    BIGINT      NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE limit_refusals (
    hour       BIGINT      NOT NULL, -- hours since 1970
    class      VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    tenant_id  BIGINT      NOT NULL, -- 0 where it is not known
    identifier VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    refused    BIGINT      NOT NULL,
    PRIMARY KEY (hour, class, tenant_id, identifier)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
