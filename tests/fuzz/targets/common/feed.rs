//! Reads a feed in its detected or in a given format: every line and object counts exactly
//! once, and the counts are those of the results.

use vast_threatbus::indicator::Message;
use vast_threatbus::protocol::feed::{self, Column, FileFormat, Found, Options};

/// Reads a feed as the first byte says.
pub fn read(formats: &[FileFormat], bytes: &[u8]) {
    let Some((&way, feed)) = bytes.split_first() else {
        return;
    };
    let way = usize::from(way);
    let options = Options {
        // One more than the number of formats means detection.
        format: formats.get(way / 2 % (formats.len() + 1)).copied(),
        column: (way % 2 == 1).then_some(Column::Number(2)),
    };
    let (mut usable, mut unsupported, mut rejected) = (0, 0, 0);
    let report = feed::read(feed, &options, &mut |found| match found {
        Found::Message(Message::Unsupported { .. }) => unsupported += 1,
        Found::Message(Message::Match { indicator, .. }) => {
            assert!(!indicator.observables.is_empty() || indicator.selection.is_some());
            usable += 1;
        }
        Found::Message(Message::Withdraw(_)) => usable += 1,
        Found::Rejected(line, rejection) => {
            assert!(line > 0 && !rejection.reason.is_empty());
            rejected += 1;
        }
    });
    if let Ok(report) = report {
        let counts = (report.usable, report.unsupported, report.rejected);
        assert_eq!(counts, (usable, unsupported, rejected));
    }
}
