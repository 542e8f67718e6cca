//! The bridge between Threat Bus and VAST: indicators of compromise come in
//! from the bus, are matched in the engine, and every match is reported as a
//! sighting.
//!
//! A folder is a layer; imports run down the list only (`tests/quick/layers.rs`).
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
