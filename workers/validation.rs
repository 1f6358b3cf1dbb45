//! validation

use super::Ctx;
use crate::{outcome::Outcome, queue::Job, store::StoreError};

/// Terminals with their tenants, cached for a bounded time.
#[derive(Clone)]
pub struct Directory {}

pub(super) async fn run(ctx: &Ctx, jobs: &[Job]) -> Result<Outcome, StoreError> {
    let _ = (ctx, jobs);
    todo!("workers")
}
