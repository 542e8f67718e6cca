//! A log: JSON lines and arrays, exports and answers.
#![no_main]

#[path = "common/logs.rs"]
mod logs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| logs::check(bytes));
