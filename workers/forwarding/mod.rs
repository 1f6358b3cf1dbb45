//! forwarding

use super::Ctx;
use crate::{outcome::Outcome, queue::Job, store::StoreError};

/// The client and the breaker towards the web application.
#[derive(Clone)]
pub struct WebApp {}

pub(super) async fn run(ctx: &Ctx, jobs: &[Job]) -> Result<Outcome, StoreError> {
    let _ = (ctx, jobs);
    todo!("workers")
}
