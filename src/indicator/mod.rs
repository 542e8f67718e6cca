//! What the bus asks for: an indicator of compromise, and the observables that
//! it names.
//!
//! Everything here is already checked: text from the bus becomes one of these
//! types where messages are read (`protocol/`), or it becomes a rejection.

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

pub use allow::{Allow, Allowing, Because, Entry};
pub use expansion::MatchExpansion;
pub use left_out::{LeftOut, tell_of_left_out};
pub use selection::Selection;
pub use sequence::Sequence;
pub use validity::{Validity, ValidityState, timestamp};
pub use versions::Versions;

/// The generation of bus messages that an indicator came in, and that its
/// sightings are written in.
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

/// What the bus wants done with an indicator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new indicator: match it.
    Add,
    /// A changed indicator (`x_threatbus_update: EDIT`): replaces the one that
    /// waits under the same id.
    Edit,
    /// The indicator is withdrawn (`REMOVE`): stop asking for it.
    Remove,
}

/// One indicator of compromise, as the bridge works with it.
#[derive(Clone, Debug)]
pub struct Indicator {
    /// The bus's id: any text on the legacy protocol, `indicator--UUID` on
    /// STIX-2.
    pub id: Arc<str>,
    /// The protocol that it came in and that its sightings go out in.
    pub protocol: Protocol,
    /// What to look for: an event matches when it holds any one of these. Empty
    /// where there is a selection; where there is a sequence, those of all its parts.
    pub observables: Vec<Observable>,
    /// What a query of its own asks for, where there are no such values; there is a
    /// condition then, which alone tells what matches.
    pub selection: Option<Arc<Selection>>,
    /// What else an event has to be like that holds one of them; checked in the
    /// event ([`Indicator::holds`]), whatever gave it.
    pub condition: Option<Arc<Condition>>,
    /// When it counts.
    pub validity: Validity,
    /// The values as the bus wrote them, for sightings and for `%ioc`.
    pub ioc: Vec<String>,
    /// The message's JSON as it came, where sightings carry it (STIX-2).
    pub original: Option<Box<RawValue>>,
    /// What else the feed says of it, as a JSON object.
    pub properties: Option<Box<RawValue>>,
    /// The events that it means together, where one alone is no match.
    pub sequence: Option<Arc<Sequence>>,
}

impl Indicator {
    /// An indicator that asks for these observables, always, and has nothing else.
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

    /// The kind of what it looks for in one word, as statistics name it.
    pub fn kind(&self) -> &'static str {
        let mut kinds = self.observables.iter().map(Observable::kind);
        let first = kinds.next().unwrap_or("query");
        if kinds.all(|kind| kind == first) {
            first
        } else {
            "several"
        }
    }

    /// Whether an event that an engine gives for it is a match.
    pub fn holds(&self, event: &LazyEvent<'_>) -> bool {
        self.condition
            .as_ref()
            .is_none_or(|condition| event.fulfils(condition))
    }

    /// Whether something in it tells which events it means, so that not every event has to
    /// be looked at.
    pub fn is_narrow(&self) -> bool {
        let sequence = self.sequence.as_ref();
        self.selection
            .as_ref()
            .is_none_or(|selection| selection.is_narrow())
            && sequence.is_none_or(|sequence| sequence.parts.iter().all(Indicator::is_narrow))
    }

    /// Whether it, or a part of it, takes a query of its own.
    pub fn takes_selections(&self) -> bool {
        let parts = self.sequence.iter().flat_map(|sequence| &sequence.parts);
        self.selection.is_some() || parts.into_iter().any(|part| part.selection.is_some())
    }

    /// Whether it asks for the same as another one.
    pub fn asks_the_same(&self, other: &Indicator) -> bool {
        self.observables == other.observables
            && self.selection == other.selection
            && self.condition == other.condition
            && match (&self.sequence, &other.sequence) {
                (None, None) => true,
                (Some(one), Some(other)) => one.asks_the_same(other),
                _ => false,
            }
    }

    /// The same without the message that it came in, which live matching does not keep.
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

    /// How many values of a list it costs to ask for it.
    pub fn weight(&self) -> usize {
        self.observables.iter().map(Observable::weight).sum()
    }

    /// About how much memory it takes, in bytes, for the bound on the queue.
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

/// Why a message from the bus cannot be used at all.
#[derive(Debug)]
pub struct Rejection {
    /// The indicator's id, where the message got far enough to have one.
    pub id: Option<Arc<str>>,
    /// The reason, for a person. It may quote text from outside, with control
    /// characters escaped.
    pub reason: String,
    /// It was to take the place of the indicator with the same id, which is
    /// out of date all the same.
    pub replaces: bool,
}

impl Rejection {
    /// A rejected indicator.
    pub fn new(id: Arc<str>, reason: String) -> Self {
        Rejection {
            id: Some(id),
            reason,
            replaces: false,
        }
    }

    /// A message that holds no indicator.
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
    /// An indicator to match; `replaces` says that it takes the place of the one
    /// with the same id.
    Match {
        /// The indicator.
        indicator: Indicator,
        /// Add or edit: never [`Operation::Remove`].
        replaces: bool,
        /// What of it is not asked for.
        left_out: Vec<LeftOut>,
    },
    /// The indicator with this id is withdrawn.
    Withdraw(Arc<str>),
    /// A well-formed indicator that this program cannot ask VAST about.
    Unsupported {
        /// Its id.
        id: Arc<str>,
        /// The protocol that it came in.
        protocol: Protocol,
        /// Its pattern or its value, as it came.
        asked: String,
        /// Why, for a person.
        reason: String,
        /// When this version was made, in microseconds since 1970, where it says so.
        modified: Option<i64>,
        /// As with [`Message::Match`].
        replaces: bool,
    },
}

impl Message {
    /// The same from someone who is not trusted with every event: an indicator that nothing
    /// narrows is unsupported then.
    pub fn narrow(self) -> Self {
        match self {
            Message::Match {
                indicator,
                replaces,
                ..
            } if !indicator.is_narrow() => Message::Unsupported {
                asked: indicator.ioc.join("|"),
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
