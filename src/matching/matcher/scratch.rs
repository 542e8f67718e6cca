//! The buffers of a thread that matches events: what it has read of an event, and what it found.

use std::net::IpAddr;
use std::ops::Range;

use crate::matching::index::Slot;
use crate::matching::keys::{Keys, Node};
use crate::matching::places::{Buffers, Places};
use crate::matching::walk::At;
use crate::observable::address;

/// What one thread needs to match events. Reused for all events.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) keys: Keys,
    pub(super) buffers: Buffers,
    pub(super) hits: Vec<SeenValueHit>,
    /// The values that matched, concatenated.
    pub(super) texts: String,
    pub(super) requests: Requests,
    pub(super) ends: [ConnectionEnd; 2],
    /// DNS answers (objects) whose data is neither a name nor an address.
    pub(super) without_names: Vec<u32>,
    /// Whether a string of the event may be written with escapes.
    pub(in crate::matching) has_escapes: bool,
}

/// The parts of requests seen so far in the event.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Hosts and targets, concatenated.
    pub(super) texts: String,
    pub(super) hosts: Vec<Host>,
    pub(super) targets: Vec<SeenTarget>,
    pub(super) query: Option<Range<usize>>,
    pub(super) port: Option<u16>,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) text: Range<usize>,
    pub(super) port: Option<u16>,
    pub(super) element: u32,
}

#[derive(Debug)]
pub(super) struct SeenTarget {
    pub(super) text: Range<usize>,
    pub(super) at: At,
    /// The value as written in the event.
    pub(super) raw: Range<usize>,
}

/// What is known of one end of the connection.
#[derive(Debug, Default)]
pub(super) struct ConnectionEnd {
    pub(super) addresses: Vec<(IpAddr, Node)>,
    pub(super) port: Option<u16>,
}

/// A value that was found.
#[derive(Clone, Debug)]
pub(super) struct SeenValueHit {
    pub(super) slot: Slot,
    pub(super) node: Node,
    pub(super) text: Range<usize>,
    /// The object of the DNS answer whose data it is, if any.
    pub(super) answer: Option<u32>,
}

/// One place where an event holds an observable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding<'a> {
    /// The observable.
    pub slot: Slot,
    /// The keys down to the field, joined by dots.
    pub path: String,
    /// The field's text.
    pub text: &'a str,
}

impl Scratch {
    /// The node of the field with this path in the named log, for [`Scan::text`](super::Scan::text). It is
    /// valid until this scratch is next used for a JSON event.
    pub fn field(&mut self, path: &str) -> Node {
        self.keys.field(Node::EVENT, path, Places::shared())
    }

    /// What the last event holds in fields that the table does not know, with their
    /// paths, and what it holds in known fields.
    pub(in crate::matching) fn by_knowledge(&self) -> (Vec<(Slot, String)>, Vec<Slot>) {
        let (mut unknown, mut known) = (Vec::new(), Vec::new());
        for hit in &self.hits {
            if self.keys.place(hit.node).is_none() {
                let mut path = String::new();
                self.keys.push_path(hit.node, &mut path);
                unknown.push((hit.slot, path));
            } else {
                known.push(hit.slot);
            }
        }
        (unknown, known)
    }

    /// The places where the last event holds observables, in its order.
    pub fn holdings(&self) -> impl Iterator<Item = Holding<'_>> {
        self.hits.iter().map(|hit| {
            let mut path = String::new();
            self.keys.push_path(hit.node, &mut path);
            Holding {
                slot: hit.slot,
                path,
                text: &self.texts[hit.text.clone()],
            }
        })
    }

    pub(super) fn clear(&mut self) {
        self.hits.clear();
        self.texts.clear();
        let Requests {
            texts,
            hosts,
            targets,
            query,
            port,
        } = &mut self.requests;
        texts.clear();
        hosts.clear();
        targets.clear();
        (*query, *port) = (None, None);
        for end in &mut self.ends {
            end.addresses.clear();
            end.port = None;
        }
        self.without_names.clear();
        self.has_escapes = false;
    }
}

impl ConnectionEnd {
    pub(super) fn add(&mut self, text: &str, node: Node) {
        if let Some(address) = address::read(text) {
            self.addresses.push((address, node));
        }
    }
}
