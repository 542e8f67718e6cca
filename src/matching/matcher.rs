//! Finds the observables that an event holds: the same code for log files, for live
//! events and for the results of engines.
//!
//! All threads share a [`Matcher`]; each has its own [`Scratch`]. A [`Scan`] receives an
//! event value by value: JSON text through [`Matcher::matches`], any other event through
//! [`Scan::begin`], [`Scan::text`] and [`Scan::number`] for each field, and
//! [`Scan::end`]. The meaning of a field is looked up once ([`Scratch::field`]) and not
//! for every event.

use std::sync::Arc;

use super::condition::Field;
use super::index::{By, Index, Slot};
use super::json::ScanError;
use super::keys::Node;
use super::places::{Joined, Kinds, PlaceId, Places, ReadValue, Reading, Use};
use super::walk::{self, At, Visit};
use crate::observable::{Kind, Observable, address, url};

mod scratch;

pub use scratch::{Holding, Scratch};
use scratch::{Host, SeenTarget, SeenValueHit};

/// A set of observables, and the fields in which they count.
#[derive(Debug)]
pub struct Matcher {
    index: Index,
    places: Arc<Places>,
    fields: Fields,
    /// Whether DNS answers count like other names and addresses.
    answers: bool,
    /// What is searched in each place, by the number of the place.
    wanted: Vec<WantedInPlace>,
}

/// Which fields can hold addresses, in addition to those of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    /// Fields whose names suggest it, in log files.
    Named,
    /// Any field, for an engine, whose fields are typed.
    OfAnyName,
}

/// What is searched in a place.
#[derive(Clone, Debug, Default)]
struct WantedInPlace {
    uses: Vec<Use>,
    joined: Vec<Joined>,
    /// The ends of connections, for addresses with a port and for the ports of URLs.
    fields: Vec<Field>,
}

impl WantedInPlace {
    fn is_nothing(&self) -> bool {
        self.uses.is_empty() && self.joined.is_empty() && self.fields.is_empty()
    }
}

impl Matcher {
    /// Makes a matcher without observables. `answers`: whether DNS answers count like any
    /// other name and address.
    pub fn new(fields: Fields, answers: bool) -> Self {
        Matcher {
            index: Index::by(By::Meaning),
            places: Places::shared().clone(),
            fields,
            answers,
            wanted: Vec::new(),
        }
    }

    /// Like [`Matcher::new`], but also knows the fields of an engine's concepts.
    pub fn of_engine(places: Arc<Places>, answers: bool) -> Self {
        Matcher {
            places,
            ..Matcher::new(Fields::OfAnyName, answers)
        }
    }

    /// Adds an observable, which is matched from the next event on; see
    /// [`Index::insert`].
    pub fn insert(&mut self, observable: &Observable) -> Slot {
        let before = self.index.kinds();
        let slot = self.index.insert(observable);
        self.want(before);
        slot
    }

    /// Removes an observable; see [`Index::remove`].
    pub fn remove(&mut self, observable: &Observable) -> Option<Slot> {
        let before = self.index.kinds();
        let slot = self.index.remove(observable);
        self.want(before);
        slot
    }

    /// The observables that are matched.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Updates what is searched in each place, if that has changed.
    fn want(&mut self, before: Kinds) {
        let kinds = self.index.kinds();
        if kinds == before && !self.wanted.is_empty() {
            return;
        }
        let ids = self.places.ids();
        self.wanted = ids.map(|id| self.wanted_in(id, kinds)).collect();
    }

    fn wanted_in(&self, id: PlaceId, kinds: Kinds) -> WantedInPlace {
        let id = if id.is_none() && self.fields == Fields::OfAnyName {
            PlaceId::ADDRESS
        } else {
            id
        };
        let place = self.places.get(id);
        let has_urls = kinds.has(Kind::Url);
        let uses = place.uses.iter().filter_map(|one| {
            let mut counting = one.kinds.common(kinds);
            if one.is_answer && !self.answers {
                counting = counting.common(Kinds::of(Kind::Answer));
            }
            // Reading addresses from names is only worth it if there are any to find.
            (!counting.is_empty()).then_some(Use {
                kinds: counting,
                ..*one
            })
        });
        let uses: Vec<Use> = uses.collect();
        let joined = place.joined.iter().copied();
        let joined = joined.filter(|one| match one {
            Joined::RecordType => true,
            _ => has_urls,
        });
        let fields = place.fields.iter().copied();
        let fields = fields.filter(|field| match field {
            Field::DestinationPort => has_urls || kinds.has(Kind::Endpoint),
            Field::SourceAddress | Field::DestinationAddress | Field::SourcePort => {
                kinds.has(Kind::Endpoint)
            }
            _ => false,
        });
        WantedInPlace {
            uses,
            joined: joined.collect(),
            fields: fields.collect(),
        }
    }

    /// Puts the slots of all observables that the event holds into `out`, each once.
    /// `out` is cleared first.
    ///
    /// # Errors
    /// The line is not one JSON object; `out` is empty then.
    pub fn matches(
        &self,
        line: &str,
        scratch: &mut Scratch,
        out: &mut Vec<Slot>,
    ) -> Result<(), ScanError> {
        out.clear();
        let mut scan = self.scan(scratch);
        let walked = walk::walk(line, &mut scan);
        match walked {
            Ok(()) => scan.end(out),
            Err(_) => scan.begin(),
        }
        walked
    }

    /// Scans events with this scratch.
    pub fn scan<'a>(&'a self, scratch: &'a mut Scratch) -> Scan<'a> {
        Scan {
            matcher: self,
            scratch,
        }
    }
}

/// The scan of an event.
pub struct Scan<'a> {
    matcher: &'a Matcher,
    scratch: &'a mut Scratch,
}

impl Visit for Scan<'_> {
    fn begin(&mut self) {
        self.scratch.keys.begin();
        Scan::begin(self);
    }

    #[inline]
    fn field(&mut self, parent: Node, key: &str) -> Node {
        let places = &self.matcher.places;
        self.scratch.keys.field(parent, key, places)
    }

    #[inline]
    fn expected(&mut self, parent: Node, text: &[u8]) -> Option<(Node, usize)> {
        self.scratch.keys.expected(parent, text)
    }

    #[inline]
    fn wants(&self, node: Node) -> bool {
        Scan::wants(self, node)
    }

    fn text(&mut self, at: At, text: &str) {
        Scan::text(self, at, text);
    }

    fn number(&mut self, at: At, number: &str) {
        Scan::number(self, at, number);
    }

    fn escaped(&mut self) {
        self.scratch.has_escapes = true;
    }
}

impl Scan<'_> {
    /// Starts an event.
    pub fn begin(&mut self) {
        self.scratch.clear();
    }

    /// The node of the field with this path, for events other than JSON; see
    /// [`Scratch::field`].
    pub fn field(&mut self, path: &str) -> Node {
        self.scratch.field(path)
    }

    /// Whether the values of a field matter.
    #[inline]
    pub fn wants(&self, node: Node) -> bool {
        let place = self.scratch.keys.place(node);
        let wanted = self.matcher.wanted.get(place.index());
        wanted.is_some_and(|wanted| !wanted.is_nothing())
    }

    /// Reads a string of the event.
    pub fn text(&mut self, at: At, text: &str) {
        let place = self.scratch.keys.place(at.node);
        let Some(wanted) = self.matcher.wanted.get(place.index()) else {
            return;
        };
        for one in &wanted.uses {
            self.look_up(one, at, text);
        }
        for joined in &wanted.joined {
            self.join(*joined, at, text);
        }
        for field in &wanted.fields {
            self.know(*field, at, text);
        }
    }

    /// Reads a number of the event, as written.
    pub fn number(&mut self, at: At, number: &str) {
        let place = self.scratch.keys.place(at.node);
        let Some(wanted) = self.matcher.wanted.get(place.index()) else {
            return;
        };
        for joined in &wanted.joined {
            self.join(*joined, at, number);
        }
        for field in &wanted.fields {
            self.know(*field, at, number);
        }
    }

    #[inline]
    fn look_up(&mut self, one: &Use, at: At, text: &str) {
        let Scratch {
            buffers,
            hits,
            texts,
            ..
        } = &mut *self.scratch;
        let index = &self.matcher.index;
        let answer = (one.reading == Reading::Record).then_some(at.element);
        let mut hit = |slot| push(hits, texts, slot, at.node, text, answer);
        let kinds = one.kinds;
        let any_address = kinds.has(Kind::Address) || kinds.has(Kind::Network);
        one.reading.each(text, buffers, |seen| match seen {
            ReadValue::Address(address) => {
                if any_address {
                    index.find_address(address, &mut hit);
                }
                if index.has_answers() && kinds.has(Kind::Answer) {
                    let text = address.to_string();
                    index.find_text(&text, Kinds::of(Kind::Answer), &mut hit);
                }
                if kinds.has(Kind::Domain) {
                    index.find_text(&address.to_string(), Kinds::of(Kind::Domain), &mut hit);
                }
            }
            ReadValue::Text(text) => index.find_text(text, kinds, &mut hit),
            ReadValue::Ending(end) => {
                if index.has_paths() || !end.contains('/') {
                    index.find_text(end, kinds, &mut hit);
                }
            }
            ReadValue::Url(_, parts) => {
                if kinds.has(Kind::Url) {
                    find_whole(index, &parts, &mut hit);
                }
            }
        });
    }

    fn join(&mut self, joined: Joined, at: At, text: &str) {
        let Scratch {
            buffers,
            requests,
            texts,
            without_names,
            ..
        } = &mut *self.scratch;
        match joined {
            Joined::RecordType => {
                // Lists of types and data side by side cannot be paired.
                let is_of_one = at.element > 0 || !at.in_list;
                if is_of_one && !NAMES_AND_ADDRESSES.contains(&text) {
                    without_names.push(at.element);
                }
            }
            Joined::RequestHost => {
                let (_, port) = address::host_and_port(text);
                Reading::Host.each(text, buffers, |seen| {
                    let start = requests.texts.len();
                    match seen {
                        ReadValue::Address(address) => {
                            requests.texts.push_str(&address.to_string())
                        }
                        ReadValue::Text(name) => requests.texts.push_str(name),
                        ReadValue::Ending(_) | ReadValue::Url(..) => {}
                    }
                    requests.hosts.push(Host {
                        text: start..requests.texts.len(),
                        port,
                        element: at.element,
                    });
                });
            }
            Joined::RequestTarget => {
                Reading::Target.each(text, buffers, |seen| {
                    if let ReadValue::Text(target) = seen {
                        let start = requests.texts.len();
                        requests.texts.push_str(target);
                        let raw = texts.len();
                        texts.push_str(text);
                        requests.targets.push(SeenTarget {
                            text: start..requests.texts.len(),
                            at,
                            raw: raw..texts.len(),
                        });
                    }
                });
            }
            Joined::RequestQuery => {
                let start = requests.texts.len();
                requests.texts.push_str(text);
                requests.query = Some(start..requests.texts.len());
            }
            Joined::RequestPort => requests.port = number(text),
        }
    }

    /// Stores what is known of an end of the connection.
    fn know(&mut self, field: Field, at: At, text: &str) {
        let [source, destination] = &mut self.scratch.ends;
        match field {
            Field::SourceAddress => source.add(text, at.node),
            Field::DestinationAddress => destination.add(text, at.node),
            Field::SourcePort => source.port = number(text),
            Field::DestinationPort => destination.port = number(text),
            _ => {}
        }
    }

    /// Ends the event: appends the slots of what it holds to `out`, each once.
    pub fn end(&mut self, out: &mut Vec<Slot>) {
        if !self.scratch.requests.targets.is_empty() {
            self.find_requests();
        }
        if self.matcher.index.has_endpoints() {
            self.find_endpoints();
        }
        let Scratch {
            hits,
            without_names,
            ..
        } = &mut *self.scratch;
        if hits.is_empty() {
            return;
        }
        let is_name = |hit: &SeenValueHit| {
            let answer = hit.answer.as_ref();
            answer.is_none_or(|element| !without_names.contains(element))
        };
        hits.retain(is_name);
        let start = out.len();
        out.extend(hits.iter().map(|hit| hit.slot));
        out[start..].sort_unstable();
        out.dedup();
    }

    fn find_requests(&mut self) {
        let Scratch {
            hits,
            requests,
            ends,
            ..
        } = &mut *self.scratch;
        let index = &self.matcher.index;
        let mut whole = String::new();
        for SeenTarget { text, at, raw } in &requests.targets {
            let mut target = &requests.texts[text.clone()];
            if let Some(query) = requests.query.clone().filter(|_| !target.contains('?')) {
                whole.clear();
                url::write_target(target, &mut whole);
                url::write_query(&requests.texts[query], &mut whole);
                target = &whole;
            }
            let mut hit = |slot| {
                hits.push(SeenValueHit {
                    slot,
                    node: at.node,
                    text: raw.clone(),
                    answer: None,
                });
            };
            if index.has_targets() {
                index.find_urls(None, target, |slot, _| hit(slot));
            }
            let hosts = requests.hosts.iter();
            for host in hosts.filter(|host| host.element == at.element) {
                let port = host.port.or(requests.port).or(ends[1].port);
                let name = Some(&requests.texts[host.text.clone()]);
                index.find_urls(name, target, |slot, parts| {
                    if is_of_http(parts.scheme) && is_port(parts.port, port) {
                        hit(slot);
                    }
                });
            }
        }
    }

    fn find_endpoints(&mut self) {
        let Scratch {
            hits, texts, ends, ..
        } = &mut *self.scratch;
        for end in ends {
            let Some(port) = end.port else {
                continue;
            };
            for (address, node) in &end.addresses {
                if let Some(slot) = self.matcher.index.find_endpoint(*address, port) {
                    push(hits, texts, slot, *node, &address.to_string(), None);
                }
            }
        }
    }
}

/// The types of DNS answers whose data is a name or an address.
pub(super) const NAMES_AND_ADDRESSES: &[&str] = &[
    "A", "AAAA", "CNAME", "DNAME", "NS", "MX", "PTR", "SOA", "SRV", "HTTPS", "SVCB",
];

#[cold]
fn push(
    hits: &mut Vec<SeenValueHit>,
    texts: &mut String,
    slot: Slot,
    node: Node,
    text: &str,
    answer: Option<u32>,
) {
    let start = texts.len();
    texts.push_str(text);
    hits.push(SeenValueHit {
        slot,
        node,
        text: start..texts.len(),
        answer,
    });
}

/// Finds a URL that is whole in the event, so that its port is known.
fn find_whole(index: &Index, seen: &url::UrlComponents<'_>, hit: &mut impl FnMut(Slot)) {
    if index.has_targets() {
        index.find_urls(None, seen.target, |slot, _| hit(slot));
    }
    if !index.has_urls() {
        return;
    }
    let port = seen.port.or(seen.scheme.and_then(url::own_port));
    index.find_urls(seen.host, seen.target, |slot, parts| {
        if are_one_scheme(parts.scheme, seen.scheme) && is_port(parts.port, port) {
            hit(slot);
        }
    });
}

/// Whether an HTTP request can be for a URL of this scheme. The logs of proxies and of
/// sensors that decrypt have `https` requests too.
fn is_of_http(scheme: Option<&str>) -> bool {
    matches!(scheme, None | Some("http" | "https"))
}

fn are_one_scheme(wanted: Option<&str>, seen: Option<&str>) -> bool {
    match (wanted, seen) {
        (None, _) | (_, None) => true,
        (wanted, seen) if is_of_http(wanted) => is_of_http(seen),
        (wanted, seen) => wanted == seen,
    }
}

/// Whether the port of a URL, if it names one, is that of the event, as far as known.
fn is_port(wanted: Option<u16>, known: Option<u16>) -> bool {
    wanted.is_none() || known.is_none() || wanted == known
}

/// Reads a printed port: engines before 2020.12 print `80/tcp`.
fn number(text: &str) -> Option<u16> {
    text.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
