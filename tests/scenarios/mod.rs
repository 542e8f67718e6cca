//! Faults at any scale: short ones are tests (`tests/waiting/faults.rs`), long ones are `make
//! torture`, which prints the outcomes.

// Each test binary compiles this module separately and only uses a part of it.
#![allow(dead_code)]

pub mod brokers;
pub mod clock;
pub mod cycles;
pub mod disk;
pub mod engine;
pub mod kills;
pub mod sinks;
pub mod tally;
pub mod traffic;

use std::time::Duration;

/// The time limit for anything that happens at once on an idle machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The outcome of a fault.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The number of faults.
    pub times: u64,
    /// The number of expected sightings.
    pub expected: u64,
    /// How many of them arrived.
    pub delivered: u64,
    /// Arrivals beyond the first of each.
    pub duplicated: u64,
    /// The longest time between two arrivals.
    pub silence: Duration,
    /// Other measurements.
    pub note: String,
}

impl Outcome {
    /// Sightings that never arrived.
    pub fn lost(&self) -> u64 {
        self.expected - self.delivered
    }

    /// Asserts that nothing was lost.
    pub fn complete(&self) {
        assert_eq!(self.lost(), 0, "{self:?}");
    }
}

impl Outcome {
    /// The same with another note.
    pub fn noted(mut self, note: &str) -> Self {
        if !self.note.is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(note);
        self
    }
}

/// Random numbers, the same for the same seed (xorshift).
pub struct Random(u64);

impl Random {
    /// Numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end.max(1)
    }
}
