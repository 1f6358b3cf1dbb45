-- Tries to forward that did not succeed, with what was sent and answered by its digest.

CREATE TABLE forward_tries (
    id              BIGINT      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    transaction_id  BIGINT      NOT NULL,           -- the sale, also of its voids and refunds
    attempt         INT         NOT NULL,
    sent_at         BIGINT      NOT NULL,
    took_ms         INT         NOT NULL,
    sink            VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    batch_id        CHAR(36)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    sales           INT         NOT NULL,           -- in that batch
    code            VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    status          INT         NULL,               -- of the answer; NULL where there was none
    request_digest  BINARY(32)  NOT NULL,
    answer_digest   BINARY(32)  NULL,
    KEY forward_tries_sale (transaction_id, id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
