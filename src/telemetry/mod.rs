//! What the fleet tells about itself: metrics and logs.

pub mod logs;
pub mod metrics;
