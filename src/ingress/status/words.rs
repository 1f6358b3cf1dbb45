//! The words in which a sale and a submission stand.

use serde::Serialize;
use utoipa::ToSchema;

/// Where a sale stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum SaleState {
    /// Committed, not yet looked at.
    Accepted,
    /// Recorded, not yet decided.
    Pending,
    /// The rules hold; on its way to the web application.
    Valid,
    /// The web application has it. The end.
    Forwarded,
    /// A rule is broken. The end.
    Invalid,
    /// Could not be delivered; people see it.
    DeadLettered,
    /// Void, whatever else became of it.
    Voided,
}

/// Where an item of a submission stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ItemWord {
    /// It became, or becomes, a sale.
    Sale(SaleState),
    /// It did not.
    Other(NoSale),
}

/// Why an item made no sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum NoSale {
    /// The same sale came in another submission.
    Duplicate,
    /// Its `transaction_id` was used for other content.
    Conflict,
}

/// Where a submission stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum SubmissionState {
    /// Committed, not yet looked at.
    Accepted,
    /// Its sales are recorded.
    Processed,
    /// Could not be processed; `failure` says why.
    Failed,
}
