//! The stand-in web application: keeps its own ledger and answers as it is told.
