//! A message of the bus, a STIX-2 object.
#![no_main]

#[path = "common/bus.rs"]
mod bus;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bus::read(b"topicindicator ", bytes));
