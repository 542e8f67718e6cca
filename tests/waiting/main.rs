//! The slow tests: they wait for brokers that come back, or for an engine's own pauses.

#[path = "../scenarios/mod.rs"]
mod scenarios;
#[path = "../support/mod.rs"]
mod support;

mod faults;
mod fleet;
mod live;
mod neighbours;
mod several;
mod sinks;
mod subscription;
mod tenzir_live;
