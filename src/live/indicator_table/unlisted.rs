//! Live indicators without a value: their conditions are checked against every event, so
//! their number is limited.

use std::sync::Arc;
use std::time::SystemTime;

use super::Matched;
use crate::indicator::{Indicator, Protocol, Selection};
use crate::intake::{Expiry, NoRoom, PutOutcome};
use crate::matching::condition::{Condition, LazyEvent, MOST_UNLISTED};

/// One of them, without its original message.
#[derive(Debug)]
struct One {
    id: Arc<str>,
    protocol: Protocol,
    selection: Arc<Selection>,
    condition: Arc<Condition>,
    ioc: Box<[String]>,
    since: SystemTime,
    end: Option<Expiry>,
}

impl One {
    fn matched(&self) -> Matched {
        Matched {
            indicator: Indicator {
                selection: Some(self.selection.clone()),
                condition: Some(self.condition.clone()),
                ioc: self.ioc.to_vec(),
                ..Indicator::new(self.id.clone(), self.protocol, vec![])
            },
            since: self.since,
            part: None,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Unlisted(Vec<One>);

impl Unlisted {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks an indicator against every event from the next one on, replacing the one
    /// with the same id. Without a condition there is nothing to check.
    pub(super) fn put(
        &mut self,
        indicator: &Indicator,
        selection: &Arc<Selection>,
        end: Option<Expiry>,
        now: SystemTime,
    ) -> PutOutcome {
        let Some(condition) = &indicator.condition else {
            return PutOutcome::Full(NoRoom::Checks);
        };
        let known = self.0.iter_mut().find(|one| one.id == indicator.id);
        if let Some(known) = known {
            known.end = end;
            if known.protocol == indicator.protocol && known.condition == *condition {
                return PutOutcome::Repeated;
            }
            known.protocol = indicator.protocol;
            known.selection = selection.clone();
            known.condition = condition.clone();
            known.ioc = indicator.ioc.clone().into();
            known.since = now;
            return PutOutcome::Added;
        }
        if self.0.len() >= MOST_UNLISTED {
            return PutOutcome::Full(NoRoom::Checks);
        }
        self.0.push(One {
            id: indicator.id.clone(),
            protocol: indicator.protocol,
            selection: selection.clone(),
            condition: condition.clone(),
            ioc: indicator.ioc.clone().into(),
            since: now,
            end,
        });
        PutOutcome::Added
    }

    pub(super) fn expiry_of(&self, id: &str) -> Option<Expiry> {
        self.0.iter().find(|one| &*one.id == id)?.end
    }

    /// Returns how many there were.
    pub(super) fn remove(&mut self, id: &str) -> usize {
        let before = self.0.len();
        self.0.retain(|one| &*one.id != id);
        before - self.0.len()
    }

    /// Adds those that the event matches and that are not in `out` yet.
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

    /// The query for each, with its id.
    pub(super) fn selections(&self) -> Vec<(Arc<Selection>, Arc<str>)> {
        let selections = self.0.iter();
        let selections = selections.map(|one| (one.selection.clone(), one.id.clone()));
        selections.collect()
    }
}
