//! A message of the bus, in the JSON of 2020.
#![no_main]

#[path = "common/bus.rs"]
mod bus;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bus::read(b"topicintel ", bytes));
