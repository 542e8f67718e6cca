//! A STIX pattern: what parses is written as a pattern that parses to the same, but
//! for the positions of things.
#![no_main]

use vast_threatbus::protocol::stix::pattern::{self, Version};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = pattern::parse(text);
    for version in [Version::Stix20, Version::Stix21] {
        if let Ok(parsed) = pattern::parse_as(text, version) {
            let written = parsed.to_string();
            match pattern::parse_as(&written, version) {
                Ok(again) => assert_eq!(again.to_string(), written),
                Err(error) => panic!("{written}: {error}"),
            }
        }
    }
});
