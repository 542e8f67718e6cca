//! What a simulated bridge lives in.

pub mod disk;
