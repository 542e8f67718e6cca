//! Indicators of compromise from the bus, with their observables.
//!
//! Everything here is validated: where messages are read (`protocol/`), text from the bus
//! becomes one of these types or a rejection.

use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::matching::condition::{Condition, LazyEvent};
use crate::observable::Observable;

mod allow;
mod expansion;
mod left_out;
mod selection;
mod sequence;
mod validity;
mod versions;

pub use allow::{Allow, AllowEntry, Allowing, Because};
pub use expansion::MatchExpansion;
pub use left_out::{LeftOut, tell_of_left_out};
pub use selection::Selection;
pub use sequence::Sequence;
pub use validity::{Validity, ValidityState, timestamp};
pub use versions::Versions;

/// The generation of bus messages in which an indicator arrived and in which its
/// sightings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `Intel` and `Sighting` JSON, Threat Bus up to 2020.12.16.
    Legacy,
    /// STIX 2.1 objects, Threat Bus from 2021.2.24 on.
    Stix2,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Legacy => "legacy",
            Protocol::Stix2 => "stix2",
        })
    }
}

/// The operation that the bus requests for an indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new indicator: match it.
    Add,
    /// A changed indicator (`x_threatbus_update: EDIT`): replaces the one that is queued
    /// under the same id.
    Edit,
    /// The indicator is withdrawn (`REMOVE`): stop searching for it.
    Remove,
}

/// One indicator of compromise, as the bridge works with it.
#[derive(Clone, Debug)]
pub struct Indicator {
    /// The id on the bus: any text in the legacy protocol, `indicator--UUID` in STIX-2.
    pub id: Arc<str>,
    /// The protocol in which it arrived, which is also that of its sightings.
    pub protocol: Protocol,
    /// What to search for: an event with any one of these matches. Empty if there is a
    /// selection; the values of all parts if there is a sequence.
    pub observables: Vec<Observable>,
    /// The separate query, if there are no such values. There is a condition then, which
    /// decides what matches.
    pub selection: Option<Arc<Selection>>,
    /// What else must hold for an event with one of them; checked in the event
    /// ([`Condition::holds_in`]), whatever its source.
    pub condition: Option<Arc<Condition>>,
    /// When the indicator is valid.
    pub validity: Validity,
    /// The values as the bus wrote them, for sightings and `%ioc`.
    pub ioc: Vec<String>,
    /// The original JSON of the message, if sightings carry it (STIX-2).
    pub original: Option<Box<RawValue>>,
    /// Other properties from the feed, as a JSON object.
    pub properties: Option<Box<RawValue>>,
    /// The events that match only together, if there are several.
    pub sequence: Option<Arc<Sequence>>,
}

impl Indicator {
    /// Makes an indicator for these observables that is always valid and has nothing
    /// else.
    pub fn new(id: Arc<str>, protocol: Protocol, observables: Vec<Observable>) -> Self {
        Indicator {
            id,
            protocol,
            observables,
            selection: None,
            condition: None,
            validity: Validity::ALWAYS,
            ioc: Vec::new(),
            original: None,
            properties: None,
            sequence: None,
        }
    }

    /// An indicator of a feed of 2020 for these domains, for tests.
    #[cfg(test)]
    pub fn of_domains(id: &str, domains: &[&str]) -> Self {
        Indicator {
            ioc: domains.iter().map(|&name| name.to_owned()).collect(),
            ..Indicator::new(
                id.into(),
                Protocol::Legacy,
                domains
                    .iter()
                    .map(|name| Observable::domain(name))
                    .collect(),
            )
        }
    }

    /// The kind of what it names in one word, as statistics have it. What is searched
    /// besides the values that it names ([`MatchExpansion`]) does not change it: a domain
    /// with the names under it is a domain, and a range of addresses is a network.
    pub fn kind(&self) -> &'static str {
        if let Some(url) = expansion::url_with_host(&self.observables) {
            return url.kind();
        }
        let kinds = self.observables.iter().map(Observable::kind);
        let joint = kinds.reduce(|one, other| match (one, other) {
            _ if one == other => one,
            ("answer", named) | (named, "answer") => named,
            ("domain", "subdomain") | ("subdomain", "domain") => "domain",
            ("ipv4" | "ipv6", "network") | ("network", "ipv4" | "ipv6") => "network",
            _ => "several",
        });
        joint.unwrap_or("query")
    }

    /// Whether its condition holds in an event that has its values: then the event is a match.
    pub fn condition_holds(&self, event: &LazyEvent<'_>) -> bool {
        self.condition
            .as_ref()
            .is_none_or(|condition| event.fulfils(condition))
    }

    /// Whether anything in it narrows the events it means, so that not every event has to
    /// be checked.
    pub fn is_narrow(&self) -> bool {
        let sequence = self.sequence.as_ref();
        self.selection
            .as_ref()
            .is_none_or(|selection| selection.is_narrow())
            && sequence.is_none_or(|sequence| sequence.parts.iter().all(Indicator::is_narrow))
    }

    /// Whether it, or a part of it, needs a separate query.
    pub fn needs_selection(&self) -> bool {
        let parts = self.sequence.iter().flat_map(|sequence| &sequence.parts);
        self.selection.is_some() || parts.into_iter().any(|part| part.selection.is_some())
    }

    /// Whether it searches for the same as another one.
    pub fn searches_the_same(&self, other: &Indicator) -> bool {
        self.observables == other.observables
            && self.selection == other.selection
            && self.condition == other.condition
            && match (&self.sequence, &other.sequence) {
                (None, None) => true,
                (Some(one), Some(other)) => one.searches_the_same(other),
                _ => false,
            }
    }

    /// Whether sightings of it say the same of it as those of another one.
    pub fn is_described_the_same(&self, other: &Indicator) -> bool {
        let is_same = |one: &Option<Box<RawValue>>, other: &Option<Box<RawValue>>| {
            one.as_deref().map(RawValue::get) == other.as_deref().map(RawValue::get)
        };
        is_same(&self.original, &other.original) && is_same(&self.properties, &other.properties)
    }

    /// The same without its original message, which live matching does not store.
    pub fn for_live(&self) -> Self {
        Indicator {
            id: self.id.clone(),
            protocol: self.protocol,
            observables: self.observables.clone(),
            selection: self.selection.clone(),
            condition: self.condition.clone(),
            validity: self.validity,
            ioc: self.ioc.clone(),
            original: None,
            properties: self.properties.clone(),
            sequence: self.sequence.clone(),
        }
    }

    /// How many list values a query for it costs.
    pub fn weight(&self) -> usize {
        self.observables.iter().map(Observable::weight).sum()
    }

    /// Its approximate size in bytes, for the limit of the queue.
    pub fn size(&self) -> usize {
        let kept = [&self.original, &self.properties];
        let kept: usize = kept
            .into_iter()
            .flatten()
            .map(|json| json.get().len())
            .sum();
        let values = |text: &str| text.len() + size_of::<String>();
        let ioc: usize = self.ioc.iter().map(|text| values(text)).sum();
        let selection = self.selection.as_ref().map_or(0, |one| one.size());
        let sequence = self.sequence.as_ref().map_or(0, |one| one.size());
        size_of::<Self>() + self.id.len() + kept + 2 * ioc + selection + sequence
    }
}

/// Why a message from the bus is unusable.
#[derive(Debug)]
pub struct Rejection {
    /// The indicator's id, if the message has one.
    pub id: Option<Arc<str>>,
    /// The human-readable reason. It may quote external text, with control characters
    /// escaped.
    pub reason: String,
    /// Whether it was meant to replace the indicator with the same id, which is outdated
    /// in any case.
    pub replaces: bool,
}

impl Rejection {
    /// Makes a rejection of an indicator with an id.
    pub fn new(id: Arc<str>, reason: String) -> Self {
        Rejection {
            id: Some(id),
            reason,
            replaces: false,
        }
    }

    /// Makes a rejection of a message without an indicator.
    pub fn without_id(reason: String) -> Self {
        Rejection {
            id: None,
            reason,
            replaces: false,
        }
    }
}

/// The result of reading one indicator message.
#[derive(Debug)]
pub enum Message {
    /// An indicator to match. `replaces`: it replaces the one with the same id.
    Match {
        /// The indicator.
        indicator: Indicator,
        /// Whether it replaces an earlier one (never for [`Operation::Remove`]).
        replaces: bool,
        /// The parts of it that are not searched for.
        left_out: Vec<LeftOut>,
    },
    /// The indicator with this id is withdrawn.
    Withdraw(Arc<str>),
    /// A well-formed indicator that this program cannot search for.
    Unsupported {
        /// Its id.
        id: Arc<str>,
        /// The protocol that it came in.
        protocol: Protocol,
        /// Its original pattern or value.
        ioc: String,
        /// The human-readable reason.
        reason: String,
        /// When this version was made, in microseconds since 1970, if it says so.
        modified: Option<i64>,
        /// As in [`Message::Match`].
        replaces: bool,
    },
}

impl Message {
    /// The same for an untrusted source: an indicator that nothing narrows becomes
    /// unsupported.
    pub fn narrow(self) -> Self {
        match self {
            Message::Match {
                indicator,
                replaces,
                ..
            } if !indicator.is_narrow() => Message::Unsupported {
                ioc: indicator.ioc.join("|"),
                protocol: indicator.protocol,
                reason: "nothing in it narrows the events that it matches, so whoever can \
                         publish could make every event a sighting (--match thorough accepts it)"
                    .to_owned(),
                modified: indicator.validity.modified(),
                id: indicator.id,
                replaces,
            },
            message => message,
        }
    }
}
