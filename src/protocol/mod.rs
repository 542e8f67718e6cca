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

/// What is wrong with a JSON text, without its place: readers name the line of the feed, and
/// what they parse may have been put together of several lines.
fn json_fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}
