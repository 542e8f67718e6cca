//! The machines that are tested: those of the program, or, for the test of the test, those
//! with a fault put into them (`tests/simulation/mutate`).

pub use vast_threatbus::bus::{alive, flight, gate, outbox, remembered, subscription};
