//! The machines that are tested.

pub use vast_threatbus::bus::{alive, flight, gate, outbox, seen_indicators, subscription};
