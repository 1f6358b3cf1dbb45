//! A submission and its items as their terminal sees them.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    word_before,
    words::{ItemWord, NoSale, SaleState, SubmissionState},
};
use crate::{
    ingress::{contract::schema, status_url},
    store::{ItemState, SubmissionView},
};

/// A submission as its terminal sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::ingress) struct SubmissionStatus {
    submission_uuid: Uuid,
    #[schema(schema_with = schema::row_id)]
    submission_id: String,
    #[schema(inline)]
    pub(super) status: SubmissionState,
    #[schema(schema_with = schema::instant)]
    accepted_at: String,
    #[schema(required, schema_with = schema::instant_or_null)]
    processed_at: Option<String>,
    /// Why it could not be processed.
    #[schema(required)]
    failure: Option<String>,
    #[schema(minimum = 1)]
    transaction_count: usize,
    /// In the order of the body.
    #[schema(inline, min_items = 1)]
    pub(super) transactions: Vec<Item>,
}

/// One transaction of a submission.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Item {
    transaction_id: Uuid,
    #[schema(inline)]
    pub(super) state: ItemWord,
    #[schema(schema_with = schema::status_url)]
    status_url: String,
}

impl SubmissionStatus {
    /// `words` holds the rows that this submission made itself.
    pub(super) fn new(submission: SubmissionView, words: &HashMap<Uuid, SaleState>) -> Self {
        let before = word_before(&submission);
        let special: HashMap<Uuid, NoSale> = submission
            .results
            .iter()
            .map(|result| match result.state {
                ItemState::Duplicate => (result.transaction_id, NoSale::Duplicate),
                ItemState::Conflict => (result.transaction_id, NoSale::Conflict),
            })
            .collect();
        let state = |id: &Uuid| match (words.get(id), special.get(id)) {
            (Some(state), _) => ItemWord::Sale(*state),
            (None, Some(reason)) => ItemWord::Other(*reason),
            (None, None) => ItemWord::Sale(before),
        };
        Self {
            submission_uuid: submission.submission_uuid,
            submission_id: submission.id.to_string(),
            status: match (&submission.dead_code, submission.processed_at) {
                (Some(_), _) => SubmissionState::Failed,
                (None, Some(_)) => SubmissionState::Processed,
                (None, None) => SubmissionState::Accepted,
            },
            accepted_at: submission.accepted_at.to_string(),
            processed_at: submission.processed_at.map(|at| at.to_string()),
            transaction_count: submission.transaction_ids.len(),
            transactions: submission
                .transaction_ids
                .iter()
                .map(|id| Item {
                    transaction_id: *id,
                    state: state(id),
                    status_url: status_url(*id),
                })
                .collect(),
            failure: submission.dead_code,
        }
    }
}
