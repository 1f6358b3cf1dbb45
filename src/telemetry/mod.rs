//! What the fleet tells about itself: metrics, what is made from their declarations, logs, and traces.

pub mod dashboards;
pub mod expression;
pub mod host;
pub mod logs;
pub mod metrics;
pub mod reference;
pub mod scrape;
pub mod traces;
