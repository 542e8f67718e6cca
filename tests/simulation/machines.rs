//! The machines that are tested.

pub use vast_threatbus::bus::{alive, flight, gate, outbox, pace, seen_indicators, subscription};
