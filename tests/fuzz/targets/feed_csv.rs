//! A feed as comma-separated values.
#![no_main]

use vast_threatbus::protocol::feed::FileFormat;

#[path = "common/feed.rs"]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| feed::read(&[FileFormat::Csv], bytes));
