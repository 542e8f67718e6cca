//! A match on its way out: from the matched event through its transformation to
//! a sink.

mod feed;
mod gather;
mod handing;
pub mod lines;
pub mod report;
pub mod transform;
pub mod writer;
