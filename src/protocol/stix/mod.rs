//! STIX: what the indicators of the newer generation of bus messages say.

pub mod message;
pub mod paths;
pub mod pattern;
pub mod plan;
