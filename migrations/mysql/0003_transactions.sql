-- One row a sale. Every known adjustment and tax is a column: a child row for each is what makes a
-- sale cost eleven rows. Amounts are exact; nothing here is ever deleted by a timer.

CREATE TABLE transactions (
    id                          BIGINT        NOT NULL PRIMARY KEY,
    tenant_id                   BIGINT        NOT NULL,
    terminal_id                 BIGINT        NOT NULL,
    submission_id               BIGINT        NOT NULL,
    submission_uuid             BINARY(16)    NOT NULL,
    transaction_id              BINARY(16)    NOT NULL,
    hardware_id                 VARCHAR(255)  NULL,
    transaction_timestamp       BIGINT        NOT NULL,
    base_amount                 DECIMAL(12,2) NULL,
    gross_sales                 DECIMAL(12,2) NULL,
    net_sales                   DECIMAL(12,2) NULL,
    promo_discount              DECIMAL(12,2) NOT NULL,
    senior_discount             DECIMAL(12,2) NOT NULL,
    pwd_discount                DECIMAL(12,2) NOT NULL,
    vip_card_discount           DECIMAL(12,2) NOT NULL,
    service_charge_distributed  DECIMAL(12,2) NOT NULL,
    service_charge_retained     DECIMAL(12,2) NOT NULL,
    employee_discount           DECIMAL(12,2) NOT NULL,
    vat                         DECIMAL(12,2) NOT NULL,
    vatable_sales               DECIMAL(12,2) NOT NULL,
    sc_vat_exempt_sales         DECIMAL(12,2) NOT NULL,
    other_tax                   DECIMAL(12,2) NOT NULL,
    promo_status                VARCHAR(255)  NULL,
    customer_code               VARCHAR(255)  NULL,
    receipt_no                  VARCHAR(128)  NULL,
    payload_checksum            BINARY(32)    NOT NULL,
    remarks                     MEDIUMTEXT    NULL, -- JSON: noticed while reading the payload
    validation_status           CHAR(7)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    findings                    MEDIUMTEXT    NULL, -- JSON: what validation and processing found
    dead_code                   VARCHAR(64)   CHARACTER SET ascii COLLATE ascii_bin NULL, -- why processing was given up
    created_at                  BIGINT        NOT NULL,
    decided_at                  BIGINT        NOT NULL DEFAULT 0, -- 0 while PENDING
    voided_at                   BIGINT        NULL,
    void_reason                 VARCHAR(1000) NULL,
    -- One effect per (terminal, transaction id), for ever.
    UNIQUE KEY transactions_transaction (terminal_id, transaction_id),
    -- Duplicate receipts of a terminal; not unique, since receipt numbers start again.
    KEY transactions_receipt (terminal_id, receipt_no),
    -- A repeated validation job finds the rows it made.
    KEY transactions_submission (submission_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
