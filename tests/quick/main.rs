//! The quick tests: those that do not wait for seconds at a time.

#[path = "../scenarios/mod.rs"]
mod scenarios;
#[path = "../support/mod.rs"]
mod support;

#[path = "../judge/random.rs"]
mod random;
#[path = "../judge/random_patterns.rs"]
mod random_patterns;
#[path = "../judge/validator_rules.rs"]
mod validator_rules;

mod attribution;
mod bad_input;
mod batches;
mod broker;
mod check;
mod command_line;
mod cycles;
mod delivery;
mod ends;
mod engine;
mod feeds;
mod files;
mod fleet;
mod hostile;
mod indicator_life;
mod indicators_file;
mod inputs;
mod kinds;
mod layers;
mod lifecycle;
mod lifecycle_table;
mod lines;
mod log_fields;
mod log_formats;
mod log_silence;
mod logging;
mod match_judge;
mod metrics;
mod noise;
mod object_paths;
mod once;
mod options;
mod pattern_judge;
mod readme;
mod recall;
mod recording;
mod report_once;
mod retro;
mod service;
mod several_events;
mod several_judge;
mod sink;
mod standin_recordings;
mod standin_setup;
mod summary;
mod tenzir;
mod transform;
mod upgrade;
