//! The indicators of a followed file, in a few bytes each: a file may have a million of
//! them.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::indicator::{Indicator, Message};
use crate::intake::ShortId;

/// The indicators of a file: their ids, each with a hash of its content. They are in a tree,
/// since a hash table doubles as it grows, and a reload moves them from one set to the next
/// one by one.
#[derive(Debug, Default)]
pub struct Ids(BTreeMap<Id, u64>);

/// An id: in its short form if it has one, as nearly all do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// Its short form.
    Short(ShortId),
    /// An id without a short form.
    Long(Arc<str>),
}

impl Id {
    fn of(id: &Arc<str>) -> Self {
        ShortId::of(id).map_or_else(|| Id::Long(id.clone()), Id::Short)
    }

    /// The original id.
    pub fn text(&self) -> Arc<str> {
        match self {
            Id::Short(short) => short.text().expect("it is in no table"),
            Id::Long(text) => text.clone(),
        }
    }
}

impl Ids {
    /// Adds an indicator of a file, or removes a withdrawn one.
    pub fn note(&mut self, message: &Message) {
        self.renew(message, &mut Ids::default());
    }

    /// The same for a file that was read before: an indicator that it had already is removed
    /// from `old`. Returns whether the indicator is new or has changed.
    pub fn renew(&mut self, message: &Message, old: &mut Ids) -> bool {
        match message {
            Message::Match { indicator, .. } => {
                let id = Id::of(&indicator.id);
                let is_now = fingerprint(indicator);
                let before = old.0.remove(&id);
                // If a file has an id twice, the last one counts.
                self.0.insert(id, is_now).or(before) != Some(is_now)
            }
            Message::Withdraw(id) => {
                self.0.remove(&Id::of(id));
                true
            }
            Message::Unsupported { .. } => false,
        }
    }

    /// Adds the remaining indicators of an earlier reading.
    pub fn keep(&mut self, mut old: Ids) {
        self.0.append(&mut old.0);
    }

    /// Whether the file has an indicator with this id.
    pub fn hold(&self, id: &Id) -> bool {
        self.0.contains_key(id)
    }

    /// All ids.
    pub fn into_ids(self) -> impl Iterator<Item = Id> {
        self.0.into_keys()
    }
}

/// A hash of everything in an indicator that matching and sightings use.
fn fingerprint(indicator: &Indicator) -> u64 {
    let mut hasher = foldhash::quality::FixedState::default().build_hasher();
    match &indicator.original {
        Some(original) => original.get().hash(&mut hasher),
        None => {
            (&indicator.observables, &indicator.ioc).hash(&mut hasher);
            let properties = indicator.properties.as_deref();
            properties.map(RawValue::get).hash(&mut hasher);
            let condition = indicator.condition.as_deref();
            let condition = condition.map(|condition| format!("{condition:?}"));
            condition.hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::Protocol;
    use crate::matching::condition::Condition;
    use crate::observable::Observable;

    const SHORT: &str = "indicator--00000000-0000-4000-8000-00000000000a";
    const LONG: &str = "an id without a short form";

    fn indicator(id: &str, name: &str) -> Indicator {
        let observables = vec![Observable::domain(name)];
        Indicator::new(id.into(), Protocol::Legacy, observables)
    }

    fn message(indicator: Indicator) -> Message {
        Message::Match {
            indicator,
            replaces: false,
            left_out: vec![],
        }
    }

    fn named(id: &str, name: &str) -> Message {
        message(indicator(id, name))
    }

    fn texts(ids: Ids) -> Vec<String> {
        ids.into_ids().map(|id| id.text().to_string()).collect()
    }

    #[test]
    fn an_indicator_whose_properties_alone_change_is_another() {
        let with = |json: &str| {
            let properties = serde_json::from_str(json).expect("JSON");
            message(Indicator {
                properties: Some(properties),
                ..indicator(SHORT, "a.example")
            })
        };
        let mut old = Ids::default();
        old.note(&with(r#"{"confidence":50}"#));
        let mut ids = Ids::default();
        assert!(!ids.renew(&with(r#"{"confidence":50}"#), &mut old));
        assert!(ids.renew(&with(r#"{"confidence":75}"#), &mut old));
        assert!(ids.renew(&named(SHORT, "a.example"), &mut old));
    }

    #[test]
    fn an_indicator_whose_condition_alone_changes_is_another() {
        let at = |port: u16| {
            let name = Observable::domain("a.example");
            let condition = Condition::domain_at_port(&name, port);
            message(Indicator {
                condition: Some(Arc::new(condition)),
                ..indicator(SHORT, "a.example")
            })
        };
        let mut ids = Ids::default();
        ids.note(&at(80));
        assert!(!ids.renew(&at(80), &mut Ids::default()));
        assert!(ids.renew(&at(443), &mut Ids::default()));
    }

    #[test]
    fn what_is_found_again_leaves_the_old_set_and_what_is_left_is_gone() {
        for gone in [SHORT, LONG, "43"] {
            let mut old = Ids::default();
            old.note(&named(gone, "gone.example"));
            old.note(&named("stays", "stays.example"));
            old.note(&named("changes, with a long id", "one.example"));
            let mut ids = Ids::default();
            assert!(!ids.renew(&named("stays", "stays.example"), &mut old));
            let changed = named("changes, with a long id", "other.example");
            assert!(ids.renew(&changed, &mut old));
            assert!(ids.renew(&named("new", "new.example"), &mut old));
            assert_eq!(texts(old), [gone]);
            assert_eq!(texts(ids), ["new", "stays", "changes, with a long id"]);
        }
    }

    #[test]
    fn the_last_of_several_with_one_id_counts() {
        let (one, other) = (named("43", "one.example"), named("43", "other.example"));
        let mut old = Ids::default();
        old.note(&one);
        old.note(&other);
        let mut ids = Ids::default();
        // The first replaces the last, which has to be found again.
        assert!(ids.renew(&one, &mut old));
        assert!(ids.renew(&other, &mut old));
        assert!(!ids.renew(&other, &mut old));
    }

    #[test]
    fn what_is_kept_is_held_and_what_is_withdrawn_is_not() {
        let mut old = Ids::default();
        old.note(&named(SHORT, "a.example"));
        old.note(&named(LONG, "b.example"));
        let mut ids = Ids::default();
        ids.keep(old);
        assert!(ids.hold(&Id::of(&SHORT.into())) && ids.hold(&Id::of(&LONG.into())));
        ids.note(&Message::Withdraw(SHORT.into()));
        assert!(!ids.hold(&Id::of(&SHORT.into())));
        assert_eq!(texts(ids), [LONG]);
    }
}
