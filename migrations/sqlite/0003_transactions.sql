-- One row a sale. Every known adjustment and tax is a column: a child row for each is what makes a
-- sale cost eleven rows. Amounts are centavos, exact; nothing here is ever deleted by a timer.

CREATE TABLE transactions (
    id                          INTEGER NOT NULL PRIMARY KEY,
    tenant_id                   INTEGER NOT NULL,
    terminal_id                 INTEGER NOT NULL,
    submission_id               INTEGER NOT NULL,
    submission_uuid             BLOB NOT NULL,
    transaction_id              BLOB NOT NULL,
    hardware_id                 TEXT,
    transaction_timestamp       INTEGER NOT NULL,
    base_amount                 INTEGER,
    gross_sales                 INTEGER,
    net_sales                   INTEGER,
    promo_discount              INTEGER NOT NULL,
    senior_discount             INTEGER NOT NULL,
    pwd_discount                INTEGER NOT NULL,
    vip_card_discount           INTEGER NOT NULL,
    service_charge_distributed  INTEGER NOT NULL,
    service_charge_retained     INTEGER NOT NULL,
    employee_discount           INTEGER NOT NULL,
    vat                         INTEGER NOT NULL,
    vatable_sales               INTEGER NOT NULL,
    sc_vat_exempt_sales         INTEGER NOT NULL,
    other_tax                   INTEGER NOT NULL,
    promo_status                TEXT,
    customer_code               TEXT,
    receipt_no                  TEXT,
    payload_checksum            BLOB NOT NULL,
    remarks                     TEXT, -- JSON: noticed while reading the payload
    validation_status           TEXT NOT NULL,
    findings                    TEXT, -- JSON: what validation and processing found
    dead_code                   TEXT, -- why processing was given up
    created_at                  INTEGER NOT NULL,
    decided_at                  INTEGER NOT NULL DEFAULT 0, -- 0 while PENDING
    voided_at                   INTEGER,
    void_reason                 TEXT,
    -- One effect per (terminal, transaction id), for ever.
    UNIQUE (terminal_id, transaction_id)
) STRICT;

-- Duplicate receipts of a terminal; not unique, since receipt numbers start again.
CREATE INDEX transactions_receipt ON transactions (terminal_id, receipt_no);

-- A repeated validation job finds the rows it made.
CREATE INDEX transactions_submission ON transactions (submission_id);
