//! The outcome of a `vast export`: its exit status and some words on standard error tell
//! whether it printed everything.

use crate::engine::QueryOutcome;
use crate::process::child::{self, ChildEnd, ChildOutcome};

/// Judges a `vast export` that has ended after printing `lines` whole lines.
pub fn judge(outcome: &ChildOutcome, lines: u64) -> QueryOutcome {
    let status = match &outcome.end {
        ChildEnd::TimedOut => return QueryOutcome::TimedOut,
        ChildEnd::Stopped => return QueryOutcome::Stopped,
        ChildEnd::Enough => return QueryOutcome::Enough,
        ChildEnd::Exited(status) => *status,
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
        QueryOutcome::Broken(reason)
    } else if says("cannot_connect_to_node") || says("remote_link_unreachable") {
        QueryOutcome::Unreachable(reason)
    } else if says("!! parse_error") || says("!! invalid_query") || usage {
        QueryOutcome::Refused(reason)
    } else {
        QueryOutcome::Broken(reason)
    }
}

/// The usage text lists options as `[-e | --endpoint=] <string>`. Log lines, which are
/// all that a child writes if it dies early, may begin with a time in brackets.
fn is_usage(stderr: &str) -> bool {
    stderr
        .lines()
        .any(|line| line.trim_start().starts_with("[-"))
}

fn judge_success(stderr: &str, lines: u64) -> QueryOutcome {
    if let Some(shipped) = shipped(stderr) {
        // More lines than events: one of them is not an event, and is reported
        // separately.
        return if shipped <= lines {
            QueryOutcome::Complete
        } else {
            QueryOutcome::Broken(format!(
                "it shipped {shipped} events and printed {lines} lines"
            ))
        };
    }
    if stderr.contains("reached limit of") {
        QueryOutcome::Complete
    } else {
        QueryOutcome::Unconfirmed
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

    fn exited(code: i32, stderr: &str) -> ChildOutcome {
        ChildOutcome {
            end: ChildEnd::Exited(ExitStatus::from_raw(code << 8)),
            stderr: stderr.as_bytes().to_vec(),
        }
    }

    #[test]
    fn exit_status_and_words_tell_what_happened() {
        let shipped = "x exporter processed 30 candidates in 1ms and shipped 3 results\n";
        assert_eq!(judge(&exited(0, shipped), 3), QueryOutcome::Complete);
        assert!(matches!(
            judge(&exited(0, shipped), 2),
            QueryOutcome::Broken(_)
        ));
        let limit = "json-writer reached limit of 5 events\n";
        assert_eq!(judge(&exited(0, limit), 5), QueryOutcome::Complete);
        assert_eq!(
            judge(&exited(0, "connecting to VAST node"), 0),
            QueryOutcome::Unconfirmed
        );
        let refused = |words| matches!(judge(&exited(1, words), 0), QueryOutcome::Refused(_));
        assert!(refused("log\n!! parse_error\n"));
        assert!(refused("!! invalid_query"));
        let usage = "  [--read=] <string>   path\n  null   exports query without printing them";
        assert!(refused(usage));
        let away = |words| matches!(judge(&exited(1, words), 0), QueryOutcome::Unreachable(_));
        assert!(away(
            "!! cannot_connect_to_node: \"ip_connect failed\" \"h\" 1"
        ));
        assert!(away("exit_reason(remote_link_unreachable)\n!! exit\n"));
        assert!(matches!(
            judge(&exited(1, "!! exit"), 0),
            QueryOutcome::Broken(_)
        ));
        assert!(matches!(
            judge(&exited(134, ""), 0),
            QueryOutcome::Broken(_)
        ));
        assert!(matches!(judge(&exited(1, ""), 0), QueryOutcome::Broken(_)));
        assert!(matches!(
            judge(&exited(1, "[12:00:00.000] connecting to VAST node h:1"), 0),
            QueryOutcome::Broken(_)
        ));
        assert!(matches!(
            judge(&exited(1, "some log"), 3),
            QueryOutcome::Broken(_)
        ));
        let killed = ChildOutcome {
            end: ChildEnd::Exited(ExitStatus::from_raw(9)),
            stderr: Vec::new(),
        };
        assert!(
            matches!(judge(&killed, 0), QueryOutcome::Broken(reason) if reason.contains("signal 9"))
        );
    }
}
