//! Simulated terminals that post real, correctly signed sales of both eras, and keep a ledger.
