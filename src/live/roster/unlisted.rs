//! Live indicators that no value leads to: their conditions are checked in every
//! event, so there are only so many.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Matched, Put};
use crate::indicator::{Indicator, Protocol, Selection, Validity};
use crate::matching::condition::{Condition, LazyEvent, MOST_UNLISTED};

/// One of them, without the message that it came in.
#[derive(Debug)]
struct One {
    id: Arc<str>,
    protocol: Protocol,
    selection: Arc<Selection>,
    condition: Arc<Condition>,
    ioc: Box<[String]>,
    since: SystemTime,
    expires: Option<SystemTime>,
}

impl One {
    fn matched(&self) -> Matched {
        Matched {
            indicator: Indicator {
                id: self.id.clone(),
                protocol: self.protocol,
                observables: vec![],
                selection: Some(self.selection.clone()),
                condition: Some(self.condition.clone()),
                validity: Validity::ALWAYS,
                ioc: self.ioc.to_vec(),
                original: None,
                ticket: None,
            },
            since: self.since,
        }
    }

    fn has_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|time| time <= now)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Unlisted(Vec<One>);

impl Unlisted {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks an indicator in every event from the next one on; of one without a
    /// condition nothing is left to check.
    pub(super) fn add(
        &mut self,
        indicator: &Indicator,
        selection: &Arc<Selection>,
        expires: Option<SystemTime>,
        now: SystemTime,
    ) -> Put {
        let Some(condition) = &indicator.condition else {
            return Put::Full;
        };
        let known = self.0.iter_mut().find(|one| {
            one.id == indicator.id
                && one.protocol == indicator.protocol
                && one.condition == *condition
        });
        if let Some(known) = known {
            known.expires = expires;
            return Put::Repeated;
        }
        if self.0.len() >= MOST_UNLISTED {
            return Put::TooMany;
        }
        self.0.push(One {
            id: indicator.id.clone(),
            protocol: indicator.protocol,
            selection: selection.clone(),
            condition: condition.clone(),
            ioc: indicator.ioc.clone().into(),
            since: now,
            expires,
        });
        Put::Added
    }

    /// Gives how many there were.
    pub(super) fn remove(&mut self, id: &str) -> usize {
        let before = self.0.len();
        self.0.retain(|one| &*one.id != id);
        before - self.0.len()
    }

    /// Takes out what has expired; gives the ids.
    pub(super) fn expire(&mut self, now: SystemTime) -> impl Iterator<Item = Arc<str>> + use<> {
        let (gone, left) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|one: &One| one.has_expired(now));
        self.0 = left;
        gone.into_iter().map(|one: One| one.id)
    }

    pub(super) fn next_expiry(&self) -> Option<SystemTime> {
        self.0.iter().filter_map(|one| one.expires).min()
    }

    /// Adds those that the event matches, and that are not there already.
    pub(super) fn matches(&self, event: &LazyEvent<'_>, out: &mut Vec<Matched>) {
        for one in self.0.iter().filter(|one| event.fulfils(&one.condition)) {
            let is_same = |other: &Matched| {
                other.indicator.id == one.id && other.indicator.protocol == one.protocol
            };
            if !out.iter().any(is_same) {
                out.push(one.matched());
            }
        }
    }

    pub(super) fn with_id(&self, id: &str) -> Option<Matched> {
        let one = self.0.iter().find(|one| &*one.id == id)?;
        Some(one.matched())
    }

    pub(super) fn any_protocol(&self) -> Option<Protocol> {
        self.0.first().map(|one| one.protocol)
    }

    /// What each would be asked for, with its id.
    pub(super) fn selections(&self) -> Vec<(Arc<Selection>, Arc<str>)> {
        let selections = self.0.iter();
        let selections = selections.map(|one| (one.selection.clone(), one.id.clone()));
        selections.collect()
    }
}
