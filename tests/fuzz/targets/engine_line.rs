//! The engine's output: split into lines, read as events, and attributed.
#![no_main]

use std::sync::LazyLock;

use vast_threatbus::engine::lines::{LineCutter, Piece};
use vast_threatbus::matching::{Attribution, Verdict};
use vast_threatbus::observable::Observable;
use vast_threatbus::protocol::Context;

static ATTRIBUTION: LazyLock<Attribution> = LazyLock::new(|| {
    let address = |text: &str| Observable::address(text.parse().expect("an address"));
    Attribution::new(&[
        vec![address("1.2.3.4")],
        vec![address("2001:db8::1"), Observable::domain("a.example")],
        vec![Observable::domain("a")],
        vec![Observable::Url("/\"\\\u{2603}".into())],
        vec![Observable::Url("/".into()), address("1.2.3.4")],
    ])
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The first byte determines where the output is divided.
    let (cut, answer) = match bytes.split_first() {
        Some((&cut, answer)) => (usize::from(cut).min(answer.len()), answer),
        None => return,
    };
    let mut lines = LineCutter::default();
    let mut found = Vec::new();
    for part in [&answer[..cut], &answer[cut..]] {
        lines.push(part, |piece| {
            if let Piece::Line(line) = piece {
                found.push(line.to_vec());
            }
        });
    }
    let mut expected: Vec<&[u8]> = answer.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines.rest(), expected.pop().unwrap_or_default());
    assert_eq!(found, expected);
    for line in found.iter().map(Vec::as_slice).chain([lines.rest()]) {
        read(&String::from_utf8_lossy(line));
    }
});

fn read(line: &str) {
    let mut verdict = Verdict::default();
    let _ = ATTRIBUTION.attribute(line, &mut verdict);
    let Ok(context) = Context::new(line) else {
        return;
    };
    if let Some(time) = context.time() {
        assert!(time.as_stix().ends_with('Z'));
        assert!(!time.as_python().is_empty());
    }
    // A changed event is still an event.
    for changed in [
        context.clone().with_plain_ports(),
        context.clone().unflattened(),
        context.unflattened().with_plain_ports(),
    ] {
        assert!(
            Context::new(changed.as_str()).is_ok(),
            "{}",
            changed.as_str()
        );
    }
}
