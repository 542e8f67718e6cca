//! The bridge between Threat Bus and VAST: indicators of compromise come in
//! from the bus, are matched in the engine, and every match goes out as a
//! sighting.
#![deny(unsafe_code)]

pub mod bridge;
pub mod bus;
pub mod check;
pub mod child;
pub mod cli;
pub mod command;
pub mod config;
pub mod endpoint;
pub mod engine;
pub mod exit_code;
pub mod explain;
pub mod indicator;
pub mod indicators_file;
pub mod indicators_source;
pub mod job;
pub mod legacy;
pub mod live;
pub mod logging;
pub mod matching;
pub mod metrics;
pub mod notify;
pub mod options;
pub mod outbox;
pub mod progress;
pub mod report;
pub mod retro;
pub mod sighting;
pub mod signals;
pub mod sink;
pub mod state;
pub mod status;
pub mod stix;
pub mod stop;
pub mod telemetry;
pub mod transform;
