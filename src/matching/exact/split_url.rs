//! URLs whose host and rest are in two adjacent fields.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::matching::field_scope::UrlParts;
use crate::matching::index::{Index, Slot};
use crate::matching::json::Path;

/// The slots of URLs by their two parts.
#[derive(Debug)]
pub(super) struct SplitUrl {
    way: UrlParts,
    table: HashTable<Slot>,
    /// Seeded at random, since the URLs come from the bus and may be hostile.
    hasher: RandomState,
}

/// The values of an event in fields with such names.
#[derive(Debug, Default)]
pub(super) struct Parts {
    hosts: Vec<UrlField>,
    rests: Vec<UrlField>,
}

/// One of these values.
#[derive(Debug)]
pub(super) struct UrlField {
    /// The keys of the field, joined by dots.
    pub(super) path: String,
    /// Its value.
    pub(super) text: String,
}

impl SplitUrl {
    pub(super) fn new(way: UrlParts) -> Self {
        SplitUrl {
            way,
            table: HashTable::new(),
            hasher: RandomState::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Adds the URL in this slot of the index, unless it is present.
    pub(super) fn insert(&mut self, slot: Slot, index: &Index) {
        let SplitUrl { way, table, hasher } = self;
        let hash = |slot: &Slot| hasher.hash_one((way.split)(index.text(*slot)));
        let own = hash(&slot);
        let has_parts = (way.split)(index.text(slot)).is_some();
        if has_parts && table.find(own, |other| *other == slot).is_none() {
            table.insert_unique(own, slot, hash);
        }
    }

    /// Removes the URL of this slot.
    pub(super) fn remove(&mut self, slot: Slot, url: &str) {
        let hash = self.hasher.hash_one((self.way.split)(url));
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
    }

    /// Stores a value of an event if it can be a part.
    pub(super) fn collect(&self, text: &str, path: &Path<'_>, parts: &mut Parts) {
        let name = path.name();
        for (host, rest) in self.way.names {
            let into = match name {
                _ if name == *host => &mut parts.hosts,
                _ if name == *rest => &mut parts.rests,
                _ => continue,
            };
            let mut path_text = String::new();
            path.push_to(&mut path_text);
            into.push(UrlField {
                path: path_text,
                text: text.to_owned(),
            });
        }
    }

    /// Shows every URL that two parts form, with the parts.
    pub(super) fn find(
        &self,
        parts: &Parts,
        index: &Index,
        mut show: impl FnMut(Slot, (&UrlField, &UrlField)),
    ) {
        for host in &parts.hosts {
            let beside = |rest: &&UrlField| self.is_beside(&host.path, &rest.path);
            for rest in parts.rests.iter().filter(beside) {
                let pair = Some((host.text.as_str(), rest.text.as_str()));
                for &slot in self.table.iter_hash(self.hasher.hash_one(pair)) {
                    if (self.way.split)(index.text(slot)) == pair {
                        show(slot, (host, rest));
                    }
                }
            }
        }
    }

    /// Whether two fields have the same parent and matching names.
    fn is_beside(&self, host: &str, rest: &str) -> bool {
        let own = |path: &str| path.rfind('.').map_or(0, |dot| dot + 1);
        let (parent, host) = host.split_at(own(host));
        let (other, rest) = rest.split_at(own(rest));
        parent == other && self.way.names.contains(&(host, rest))
    }
}
