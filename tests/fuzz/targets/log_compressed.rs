//! A compressed log.
#![no_main]

use std::io::Read;

use vast_threatbus::logs::decode::decoded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok((_, reader)) = decoded(bytes) {
        // The output of a decompression bomb is read in pieces.
        let _ = std::io::copy(&mut reader.take(1 << 20), &mut std::io::sink());
    }
});
