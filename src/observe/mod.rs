//! What the program tells about itself: the log, the metrics, how far it is.

pub mod logging;
pub mod metrics;
pub mod status;
pub mod telemetry;
