//! A configuration file, up to the values of each option.
#![no_main]

use std::path::Path;

use vast_threatbus::config::{Settings, parse_file};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let read = parse_file(text, Path::new("config.yaml"));
    if let Err(error) = read.and_then(|found| Settings::merge(&[&found])) {
        let text = error.to_string();
        assert!(!text.contains('\x1b'), "{text:?}");
    }
});
