//! Tracks the newest version of each indicator by its `modified` (STIX 2.1, section 3.6).
//! An older version that arrives later is ignored, whatever became of the newer one.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use log::debug;

use super::Message;
use crate::observe::logging::printable;

/// The most indicators whose newest version is stored, about 40 MB. Beyond that, the
/// version that arrives last counts.
const MOST_VERSIONS: usize = 2_000_000;

/// How a version of an indicator relates to earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VersionOrder {
    /// It is the first, a repetition, or has no `modified`.
    Plain,
    /// It replaces an older one.
    Newer,
    /// A newer one arrived before.
    Outdated,
}

/// The newest version of each indicator so far.
#[derive(Debug, Default)]
pub struct Versions {
    /// Seeded at random, since ids come from outside and may be hostile.
    hasher: RandomState,
    /// By the hash of the id: microseconds since 1970.
    newest: HashMap<u64, i64>,
}

impl Versions {
    /// Returns the message unless its version is outdated. If it is newer, the message
    /// replaces the indicator with its id.
    pub fn newest(&mut self, mut message: Message) -> Option<Message> {
        let (id, modified, replaces) = match &mut message {
            Message::Match {
                indicator,
                replaces,
                ..
            } => (&indicator.id, indicator.validity.modified(), replaces),
            Message::Unsupported {
                id,
                modified,
                replaces,
                ..
            } => (&*id, *modified, replaces),
            Message::Withdraw(_) => return Some(message),
        };
        match self.see(id, modified) {
            VersionOrder::Plain => {}
            VersionOrder::Newer => *replaces = true,
            VersionOrder::Outdated => {
                let id = printable(id, 200);
                debug!("indicator {id}: a newer version was received before");
                return None;
            }
        }
        Some(message)
    }

    /// Records a version by its modification time.
    fn see(&mut self, id: &str, modified: Option<i64>) -> VersionOrder {
        let Some(modified) = modified else {
            return VersionOrder::Plain;
        };
        let id = self.hasher.hash_one(id);
        match self.newest.get_mut(&id) {
            Some(newest) if *newest > modified => VersionOrder::Outdated,
            Some(newest) if *newest < modified => {
                *newest = modified;
                VersionOrder::Newer
            }
            Some(_) => VersionOrder::Plain,
            None => {
                if self.newest.len() < MOST_VERSIONS {
                    self.newest.insert(id, modified);
                }
                VersionOrder::Plain
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::timestamp;
    use crate::protocol::stix;

    fn message(id: u8, modified: Option<&str>, revoked: bool, pattern: &str) -> Message {
        let mut object = serde_json::json!({
            "type": "indicator", "pattern": pattern, "revoked": revoked,
            "id": format!("indicator--00000000-0000-4001-8000-0000000000{id:02}"),
        });
        if let Some(modified) = modified {
            object["modified"] = modified.into();
        }
        stix::message::read(&object.to_string()).expect("an indicator")
    }

    /// Checks how an indicator with this pattern, revoked or not, relates to earlier
    /// ones.
    #[track_caller]
    fn assert_version(
        versions: &mut Versions,
        (id, modified, revoked, pattern): (u8, Option<&str>, bool, &str),
        expected: VersionOrder,
    ) {
        let message = message(id, modified, revoked, pattern);
        let replaced = match versions.newest(message) {
            None => VersionOrder::Outdated,
            Some(
                Message::Match { replaces: true, .. } | Message::Unsupported { replaces: true, .. },
            ) => VersionOrder::Newer,
            Some(_) => VersionOrder::Plain,
        };
        assert_eq!(replaced, expected, "{id} {modified:?} {pattern}");
    }

    #[test]
    fn the_newest_counts_in_whatever_order_they_come() {
        let mut versions = Versions::default();
        let pattern = "[url:value = '/']";
        for (id, modified, revoked, expected) in [
            (1, Some("2024-03-01T00:00:00Z"), true, VersionOrder::Plain),
            (
                1,
                Some("2024-01-01T00:00:00Z"),
                false,
                VersionOrder::Outdated,
            ),
            (2, Some("2024-01-01T00:00:00Z"), false, VersionOrder::Plain),
            (
                1,
                Some("2024-03-01T01:00:00+01:00"),
                false,
                VersionOrder::Plain,
            ),
            (
                1,
                Some("2024-03-01T00:00:00.001Z"),
                false,
                VersionOrder::Newer,
            ),
            (
                1,
                Some("2024-03-01T00:00:00Z"),
                true,
                VersionOrder::Outdated,
            ),
            (1, None, false, VersionOrder::Plain),
            (1, Some("yesterday"), false, VersionOrder::Plain),
        ] {
            assert_version(&mut versions, (id, modified, revoked, pattern), expected);
        }
        assert!(timestamp("yesterday").is_none());
    }

    #[test]
    fn a_version_that_is_unsupported_is_a_version() {
        let mut versions = Versions::default();
        let (supported, unsupported) = ("[url:value = '/']", "[artifact:url = '/']");
        for (modified, pattern, expected) in [
            ("2024-02-01T00:00:00Z", supported, VersionOrder::Plain),
            ("2024-01-01T00:00:00Z", unsupported, VersionOrder::Outdated),
            ("2024-03-01T00:00:00Z", unsupported, VersionOrder::Newer),
            ("2024-02-01T00:00:00Z", supported, VersionOrder::Outdated),
        ] {
            assert_version(&mut versions, (1, Some(modified), false, pattern), expected);
        }
    }
}
