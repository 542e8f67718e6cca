//! What `vast export` answers: lines while it runs, and at the end an exit
//! status and some words on standard error that tell whether they were all.

use crate::child::{self, End, Outcome};

/// The longest line that is read, in bytes. Real ones have tens of kB.
pub const LONGEST_LINE: usize = 16 << 20;

/// Cuts a stream of bytes into lines.
#[derive(Default)]
pub struct Lines {
    partial: Vec<u8>,
    /// In the middle of a line that is too long.
    skipping: bool,
}

/// What [`Lines`] found.
pub enum Piece<'a> {
    /// A whole line, without its end.
    Line(&'a [u8]),
    /// A line of more than [`LONGEST_LINE`] bytes; this is its beginning. The
    /// rest of it is passed over.
    TooLong(&'a [u8]),
}

impl Lines {
    /// Takes the next bytes and hands out the lines that they complete.
    pub fn push(&mut self, mut bytes: &[u8], mut found: impl FnMut(Piece<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.partial.is_empty() {
                found(Piece::Line(line));
            } else {
                self.partial.extend_from_slice(line);
                found(Piece::Line(&self.partial));
                self.partial.clear();
            }
        }
        if self.skipping {
            return;
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > LONGEST_LINE {
            found(Piece::TooLong(&self.partial));
            self.partial = Vec::new();
            self.skipping = true;
        }
    }

    /// What came after the last line's end.
    pub fn rest(&self) -> &[u8] {
        &self.partial
    }
}

/// How one query ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Every event that matches was printed, or as many as were asked for.
    Complete,
    /// The engine ended without an error and without saying how many events it
    /// had sent. A node that is shut down ends queries in just this way.
    Unconfirmed,
    /// The engine does not take the query: the reason in its words.
    Refused(String),
    /// The node is not there, or went away in the middle.
    Unreachable(String),
    /// Something else went wrong: what is missing is not known.
    Broken(String),
    /// Its time was over.
    TimedOut,
    /// The program stops.
    Stopped,
    /// We wanted no more.
    Enough,
}

/// Judges an ended `vast export` that printed `lines` whole lines.
pub fn judge(outcome: &Outcome, lines: u64) -> Answer {
    let status = match &outcome.end {
        End::TimedOut => return Answer::TimedOut,
        End::Stopped => return Answer::Stopped,
        End::Enough => return Answer::Enough,
        End::Exited(status) => *status,
    };
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    if status.success() {
        return judge_success(&stderr, lines);
    }
    let words = outcome.last_words();
    let reason = format!("{}: {words}", child::describe(status));
    let says = |sign: &str| stderr.contains(sign);
    let usage = lines == 0 && !words.starts_with("!!") && is_usage(&stderr);
    if status.code() != Some(1) {
        Answer::Broken(reason)
    } else if says("cannot_connect_to_node") || says("remote_link_unreachable") {
        Answer::Unreachable(reason)
    } else if says("!! parse_error") || says("!! invalid_query") || usage {
        Answer::Refused(reason)
    } else {
        Answer::Broken(reason)
    }
}

/// The usage text lists options as `[-e | --endpoint=] <string>`. Log lines, all
/// that a child leaves that dies early, may begin with a time in brackets.
fn is_usage(stderr: &str) -> bool {
    stderr
        .lines()
        .any(|line| line.trim_start().starts_with("[-"))
}

fn judge_success(stderr: &str, lines: u64) -> Answer {
    if let Some(shipped) = shipped(stderr) {
        // More lines than events: one of them is no event, and says so itself.
        return if shipped <= lines {
            Answer::Complete
        } else {
            Answer::Broken(format!(
                "it shipped {shipped} events and printed {lines} lines"
            ))
        };
    }
    if stderr.contains("reached limit of") {
        Answer::Complete
    } else {
        Answer::Unconfirmed
    }
}

/// The number in `exporter processed C candidates … and shipped N results`.
fn shipped(stderr: &str) -> Option<u64> {
    let (_, after) = stderr.rsplit_once("shipped ")?;
    let (number, _) = after.split_once(" results")?;
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn lines_of(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, usize, Vec<u8>) {
        let (mut lines, mut found, mut too_long) = (Lines::default(), Vec::new(), 0);
        for piece in pieces {
            lines.push(piece, |piece| match piece {
                Piece::Line(line) => found.push(line.to_vec()),
                Piece::TooLong(_) => too_long += 1,
            });
        }
        (found, too_long, lines.rest().to_vec())
    }

    #[test]
    fn lines_are_put_together_across_reads() {
        let (lines, _, rest) = lines_of(&[b"a\nb", b"c\n\nd", b"", b"e"]);
        assert_eq!(lines, [&b"a"[..], b"bc", b""]);
        assert_eq!(rest, b"de");
    }

    #[test]
    fn an_endless_line_is_cut_once_and_the_next_is_read() {
        let long = vec![b'x'; LONGEST_LINE / 2 + 1];
        let (lines, too_long, rest) = lines_of(&[&long, &long, &long, b"y\nz\n"]);
        assert_eq!((lines, too_long), (vec![b"z".to_vec()], 1));
        assert!(rest.is_empty());
    }

    fn exited(code: i32, stderr: &str) -> Outcome {
        Outcome {
            end: End::Exited(ExitStatus::from_raw(code << 8)),
            stderr: stderr.as_bytes().to_vec(),
        }
    }

    #[test]
    fn exit_status_and_words_tell_what_happened() {
        let shipped = "x exporter processed 30 candidates in 1ms and shipped 3 results\n";
        assert_eq!(judge(&exited(0, shipped), 3), Answer::Complete);
        assert!(matches!(judge(&exited(0, shipped), 2), Answer::Broken(_)));
        let limit = "json-writer reached limit of 5 events\n";
        assert_eq!(judge(&exited(0, limit), 5), Answer::Complete);
        assert_eq!(
            judge(&exited(0, "connecting to VAST node"), 0),
            Answer::Unconfirmed
        );
        let refused = |words| matches!(judge(&exited(1, words), 0), Answer::Refused(_));
        assert!(refused("log\n!! parse_error\n"));
        assert!(refused("!! invalid_query"));
        let usage = "  [--read=] <string>   path\n  null   exports query without printing them";
        assert!(refused(usage));
        let away = |words| matches!(judge(&exited(1, words), 0), Answer::Unreachable(_));
        assert!(away(
            "!! cannot_connect_to_node: \"ip_connect failed\" \"h\" 1"
        ));
        assert!(away("exit_reason(remote_link_unreachable)\n!! exit\n"));
        assert!(matches!(judge(&exited(1, "!! exit"), 0), Answer::Broken(_)));
        assert!(matches!(judge(&exited(134, ""), 0), Answer::Broken(_)));
        assert!(matches!(judge(&exited(1, ""), 0), Answer::Broken(_)));
        assert!(matches!(
            judge(&exited(1, "[12:00:00.000] connecting to VAST node h:1"), 0),
            Answer::Broken(_)
        ));
        assert!(matches!(
            judge(&exited(1, "some log"), 3),
            Answer::Broken(_)
        ));
        let killed = Outcome {
            end: End::Exited(ExitStatus::from_raw(9)),
            stderr: Vec::new(),
        };
        assert!(matches!(judge(&killed, 0), Answer::Broken(reason) if reason.contains("signal 9")));
    }
}
