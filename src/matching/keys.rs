//! Numbers for the fields of events: the meaning of a field is looked up when it is first
//! seen; from then on the field is found by its key.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::places::{PlaceId, Places};

/// A field, or the event itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node(u32);

impl Node {
    /// The event itself.
    pub const EVENT: Node = Node(0);

    /// A field of an event that has more fields than are stored. It is not searched.
    const LOST: Node = Node(u32::MAX);
}

/// If this many fields are stored, they are all dropped before the next event. Sensors
/// have a few hundred.
const MOST_KEYS: usize = 1 << 14;

/// The most fields stored during one event.
const MOST_FIELDS: usize = 1 << 16;

/// The key of a field, and its meaning.
#[derive(Debug)]
struct KeyField {
    parent: Node,
    key: Box<str>,
    /// The field that followed this one last time, which is tried first.
    next: Node,
    place: PlaceId,
}

/// All known fields, one instance for each scanning thread.
#[derive(Debug)]
pub struct Keys {
    fields: Vec<KeyField>,
    /// By parent and key.
    table: HashTable<u32>,
    /// Seeded at random, since the keys come with the logs and may be hostile.
    hasher: RandomState,
    last: Node,
}

impl Default for Keys {
    fn default() -> Self {
        let mut keys = Keys {
            fields: Vec::new(),
            table: HashTable::new(),
            hasher: RandomState::default(),
            last: Node::EVENT,
        };
        keys.clear();
        keys
    }
}

impl Keys {
    fn clear(&mut self) {
        self.table.clear();
        self.fields.clear();
        self.fields.push(KeyField {
            parent: Node::LOST,
            key: "".into(),
            next: Node::LOST,
            place: PlaceId::NONE,
        });
    }

    /// Starts an event.
    pub fn begin(&mut self) {
        self.last = Node::EVENT;
        if self.fields.len() >= MOST_KEYS {
            self.clear();
        }
    }

    /// The field that followed the last one last time, if it belongs to this object and
    /// `text` begins with its key and a quotation mark; also the length of the key.
    /// Events of one type have their keys in the same order.
    #[inline]
    pub fn expected(&mut self, parent: Node, text: &[u8]) -> Option<(Node, usize)> {
        let next = self.fields.get(self.last.0 as usize)?.next;
        let field = self.fields.get(next.0 as usize)?;
        let rest = text.strip_prefix(field.key.as_bytes())?;
        if field.parent != parent || rest.first() != Some(&b'"') {
            return None;
        }
        self.last = next;
        Some((next, field.key.len()))
    }

    /// The field with this key in an object.
    pub fn field(&mut self, parent: Node, key: &str, places: &Places) -> Node {
        let node = self.look_up(parent, key, places);
        // A key with one of these characters is written with escapes.
        let is_plain = |byte: u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
        if key.bytes().all(is_plain) {
            if let Some(field) = self.fields.get_mut(self.last.0 as usize) {
                field.next = node;
            }
        }
        self.last = node;
        node
    }

    fn look_up(&mut self, parent: Node, key: &str, places: &Places) -> Node {
        let Keys {
            fields,
            table,
            hasher,
            ..
        } = self;
        let hash = hasher.hash_one((parent, key));
        let is_it = |number: &u32| {
            let field = &fields[*number as usize];
            field.parent == parent && *field.key == *key
        };
        if let Some(number) = table.find(hash, is_it) {
            return Node(*number);
        }
        if fields.len() >= MOST_FIELDS || parent == Node::LOST {
            return Node::LOST;
        }
        let mut path = String::new();
        push_path(fields, parent, &mut path);
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
        let number = u32::try_from(fields.len()).expect("fewer than the most");
        fields.push(KeyField {
            parent,
            key: key.into(),
            next: Node::LOST,
            place: places.resolve(&path),
        });
        table.insert_unique(hash, number, |number| {
            let field = &fields[*number as usize];
            hasher.hash_one((field.parent, &*field.key))
        });
        Node(number)
    }

    /// The meaning of the field.
    #[inline]
    pub fn place(&self, node: Node) -> PlaceId {
        let field = self.fields.get(node.0 as usize);
        field.map_or(PlaceId::NONE, |field| field.place)
    }

    /// Appends the keys of the field, joined by dots, to `out`.
    pub fn push_path(&self, node: Node, out: &mut String) {
        push_path(&self.fields, node, out);
    }
}

fn push_path(fields: &[KeyField], node: Node, out: &mut String) {
    if node == Node::EVENT {
        return;
    }
    let Some(field) = fields.get(node.0 as usize) else {
        return;
    };
    if field.parent != Node::EVENT {
        push_path(fields, field.parent, out);
        out.push('.');
    }
    out.push_str(&field.key);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(keys: &Keys, node: Node) -> String {
        let mut path = String::new();
        keys.push_path(node, &mut path);
        path
    }

    #[test]
    fn a_field_keeps_its_number() {
        let (mut keys, places) = (Keys::default(), Places::shared());
        let dns = keys.field(Node::EVENT, "dns", places);
        let name = keys.field(dns, "rrname", places);
        assert_eq!(path(&keys, name), "dns.rrname");
        assert_eq!(keys.place(name), places.resolve("dns.rrname"));
        for _ in 0..3 {
            keys.begin();
            let flat = keys.field(Node::EVENT, "dns.rrname", places);
            assert_eq!(path(&keys, flat), "dns.rrname");
            assert_eq!(keys.place(flat), keys.place(name));
            assert_eq!(keys.field(Node::EVENT, "dns", places), dns);
            assert_eq!(keys.field(dns, "rrname", places), name);
        }
        assert_eq!(keys.fields.len(), 4);
    }

    #[test]
    fn endless_new_keys_take_no_more_memory() {
        let (mut keys, places) = (Keys::default(), Places::shared());
        for number in 0..3 * MOST_KEYS {
            keys.begin();
            keys.field(Node::EVENT, &number.to_string(), places);
        }
        assert!(keys.fields.len() <= MOST_KEYS);
        keys.begin();
        let host = keys.field(Node::EVENT, "host", places);
        assert_eq!(keys.place(host), places.resolve("host"));
    }
}
