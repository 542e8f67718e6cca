//! A match on its way out: from the matched event through its transformation to
//! a sink.

pub mod report;
pub mod transform;
pub mod writer;
