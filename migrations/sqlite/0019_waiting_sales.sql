-- contract: the version before 0019 looks a sale up without an index; only the embedded tier has this one,
-- where no two versions run at the same time.
-- The sale of a submission is looked for by this index only until validation has made its row, which has
-- an index of its own for the same key. An entry that goes away again soon leaves no leaf behind that is
-- written for every sale of a terminal.
DROP INDEX submissions_transaction;
CREATE INDEX submissions_waiting ON submissions (terminal_id, transaction_id)
    WHERE transaction_id IS NOT NULL AND processed_at = 0;
