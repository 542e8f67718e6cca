//! STIX: the indicators of the newer generation of bus messages.

pub mod message;
pub mod paths;
pub mod pattern;
pub mod plan;
