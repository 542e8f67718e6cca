//! Reads a feed in the form that its content tells and in a given one: every line and
//! object is either one thing or another, and the counts are those of what is shown.

use vast_threatbus::indicator::Message;
use vast_threatbus::protocol::feed::{self, Column, Form, Found, Options};

/// Reads a feed in all ways.
pub fn read(form: Form, bytes: &[u8]) {
    for form in [None, Some(form)] {
        for column in [None, Some(Column::Number(2))] {
            let options = Options { form, column };
            let (mut usable, mut unsupported, mut rejected) = (0, 0, 0);
            let report = feed::read(bytes, &options, &mut |found| match found {
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
    }
}
