//! VAST, spoken to through its `vast` command.

pub mod answer;
mod check;
pub mod client;
mod live;
pub mod matcher;
pub mod query;
pub mod version;
