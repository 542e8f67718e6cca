//! VAST, spoken to through its `vast` command.

pub mod answer;
pub mod check;
pub mod client;
pub mod matcher;
pub mod query;
pub mod version;
