//! Faults at any scale: short ones are tests (`tests/faults.rs`), long ones are
//! `make torture`, which prints what came of them.

// Each test binary compiles this module for itself and uses only a part of it.
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

/// How long anything may take that comes at once on an idle machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What came of a fault.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How often the fault happened.
    pub times: u64,
    /// Sightings that there should be.
    pub expected: u64,
    /// Those of them that arrived.
    pub delivered: u64,
    /// Arrivals beyond the first of each.
    pub duplicated: u64,
    /// The longest time between two arrivals.
    pub silence: Duration,
    /// What else was measured.
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
    /// The same with one more note.
    pub fn noted(mut self, note: &str) -> Self {
        if !self.note.is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(note);
        self
    }
}

/// Numbers that are the same for the same seed (xorshift).
pub struct Random(u64);

impl Random {
    /// Numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`; 0 where that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end.max(1)
    }
}
