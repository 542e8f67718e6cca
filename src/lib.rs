//! A bridge between Threat Bus and VAST: it receives indicators of compromise from the bus,
//! matches them in the engine, and reports every match as a sighting.
//!
//! Each folder is a layer, and imports only go down the list (`tests/quick/layers.rs`).
#![deny(unsafe_code)]

pub mod bus;
pub mod cli;
pub mod config;
pub mod engine;
pub mod indicator;
pub mod intake;
pub mod live;
pub mod logs;
pub mod matching;
pub mod observable;
pub mod observe;
pub mod process;
pub mod protocol;
pub mod retro;
pub mod run;
pub mod sighting;
pub mod state;
