//! A match on its way out: from the matched event through its transformation to
//! a sink.

mod command;
mod feed;
mod gather;
mod handing;
pub mod instances;
pub mod lines;
mod locate;
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
