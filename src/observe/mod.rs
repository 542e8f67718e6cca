//! What the program reports about itself: log, metrics, progress.

pub mod logging;
pub mod metrics;
pub mod status;
pub mod telemetry;
