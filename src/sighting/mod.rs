//! From a match to a sighting: the matched event, its transformation, and the sink.

mod command;
pub mod delivery;
mod gather;
mod handing;
pub mod instances;
mod line_sink;
pub mod lines;
mod locate;
pub mod message;
pub mod noise;
mod pack;
pub mod pending;
pub mod report;
mod retries;
pub mod summary;
pub mod tally;
pub mod transform;
mod untaken;
mod windows;
pub mod writer;
