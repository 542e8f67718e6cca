//! Tenzir, spoken to through its `tenzir` command. It has no concepts: the node
//! tells which fields hold addresses and which hold text, and both are compared
//! by type. What is said to be measured here was measured on 6.20.0.

mod answer;
mod check;
pub mod client;
mod fields;
mod live;
mod query;
mod tether;
mod typed;
