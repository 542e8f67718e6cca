//! Which version of each indicator is the newest so far, by its `modified` (STIX 2.1,
//! section 3.6): an older one that comes later changes nothing, whatever became of the
//! newer one.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use log::debug;

use super::{Indicator, Message};
use crate::observe::logging::printable;

/// The newest versions are remembered of so many indicators, some 40 MB. Beyond it, what
/// comes last counts.
const MOST: usize = 2_000_000;

/// What a version of an indicator is to those that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// The first, the same again, or one that does not say when it was modified.
    Plain,
    /// It takes the place of an older one.
    Newer,
    /// A newer one came before.
    Outdated,
}

/// The newest version of each indicator that came.
#[derive(Debug, Default)]
pub struct Versions {
    /// Seeded anew for each: ids come from outside and may be hostile.
    hasher: RandomState,
    /// By the hash of the id: microseconds since 1970.
    newest: HashMap<u64, i64>,
}

impl Versions {
    /// The message, where it is not that of an outdated version; that of a newer one takes
    /// the place of what came under its id.
    pub fn newest(&mut self, mut message: Message) -> Option<Message> {
        if let Message::Match {
            indicator,
            replaces,
            ..
        } = &mut message
        {
            match self.see(indicator) {
                Version::Plain => {}
                Version::Newer => *replaces = true,
                Version::Outdated => {
                    let id = printable(&indicator.id, 200);
                    debug!("indicator {id}: a newer version came before");
                    return None;
                }
            }
        }
        Some(message)
    }

    /// Takes note of a version.
    fn see(&mut self, indicator: &Indicator) -> Version {
        let Some(modified) = indicator.validity.modified() else {
            return Version::Plain;
        };
        let id = self.hasher.hash_one(&*indicator.id);
        match self.newest.get_mut(&id) {
            Some(newest) if *newest > modified => Version::Outdated,
            Some(newest) if *newest < modified => {
                *newest = modified;
                Version::Newer
            }
            Some(_) => Version::Plain,
            None => {
                if self.newest.len() < MOST {
                    self.newest.insert(id, modified);
                }
                Version::Plain
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::timestamp;
    use crate::protocol::stix;

    fn version(id: u8, modified: Option<&str>, revoked: bool) -> Indicator {
        let mut object = serde_json::json!({
            "type": "indicator", "pattern": "[url:value = '/']", "revoked": revoked,
            "id": format!("indicator--00000000-0000-4001-8000-0000000000{id:02}"),
        });
        if let Some(modified) = modified {
            object["modified"] = modified.into();
        }
        match stix::message::read(&object.to_string()) {
            Ok(Message::Match { indicator, .. }) => indicator,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_newest_counts_in_whatever_order_they_come() {
        let mut versions = Versions::default();
        for (id, modified, revoked, expected) in [
            (1, Some("2024-03-01T00:00:00Z"), true, Version::Plain),
            (1, Some("2024-01-01T00:00:00Z"), false, Version::Outdated),
            (2, Some("2024-01-01T00:00:00Z"), false, Version::Plain),
            (1, Some("2024-03-01T01:00:00+01:00"), false, Version::Plain),
            (1, Some("2024-03-01T00:00:00.001Z"), false, Version::Newer),
            (1, Some("2024-03-01T00:00:00Z"), true, Version::Outdated),
            (1, None, false, Version::Plain),
            (1, Some("yesterday"), false, Version::Plain),
        ] {
            let indicator = version(id, modified, revoked);
            assert_eq!(versions.see(&indicator), expected, "{id} {modified:?}");
        }
        assert!(timestamp("yesterday").is_none());
    }
}
