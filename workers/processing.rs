//! processing

use super::Ctx;
use crate::{outcome::Outcome, queue::Job, store::StoreError};

pub(super) async fn run(ctx: &Ctx, jobs: &[Job]) -> Result<Outcome, StoreError> {
    let _ = (ctx, jobs);
    todo!("workers")
}
