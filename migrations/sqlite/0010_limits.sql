-- Who is blocked and who is let through whatever the limits, by a person's order; which ingresses
-- are alive; and who was refused, by the hour.

CREATE TABLE limit_orders (
    id         INTEGER NOT NULL PRIMARY KEY,
    kind       TEXT NOT NULL,
    class      TEXT NOT NULL,
    identifier TEXT NOT NULL,
    owner      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL,
    lifted_at  INTEGER
) STRICT;
CREATE INDEX limit_orders_end ON limit_orders (ends_at);

CREATE TABLE ingress_beats (
    name       TEXT NOT NULL PRIMARY KEY,
    seen_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE limit_refusals (
    hour       INTEGER NOT NULL, -- hours since 1970
    class      TEXT NOT NULL,
    tenant_id  INTEGER NOT NULL, -- 0 where it is not known
    identifier TEXT NOT NULL,
    refused    INTEGER NOT NULL,
    PRIMARY KEY (hour, class, tenant_id, identifier)
) STRICT;
