//! notification

use super::Ctx;
use crate::{outcome::Outcome, queue::Job, store::StoreError};

/// The client for terminals' callback addresses.
#[derive(Clone)]
pub struct Callbacks {}

pub(super) async fn run(ctx: &Ctx, jobs: &[Job]) -> Result<Outcome, StoreError> {
    let _ = (ctx, jobs);
    todo!("workers")
}
