//! The external formats of indicators and sightings: the messages of both generations of
//! Threat Bus, and files of indicators.

pub mod allow;
mod context;
pub mod facts;
pub mod feed;
pub mod legacy;
mod sensor;
pub mod stix;

pub use context::{Context, MatchType, NoContext};
pub use facts::{Facts, MatchedField, Series};
pub use sensor::Sensor;
