//! Which fields of an event hold what, and how they are read: the one table ([`TABLE`])
//! of kinds and places, compiled for looking up fields.
//!
//! The layout of the event does not matter: flattened or nested, wrapped by the name of a
//! schema (`{"dns": {…}}`) or by an exporter, with `_` for `.`. In a schema that the
//! table does not know, a field can hold an address if its name ends like one
//! ([`ADDRESS_ENDINGS`]).

mod reading;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::concepts::Concepts;
use super::condition::Field;
use crate::observable::{Kind, Property, ValueForm};

pub use reading::{Buffers, ReadValue, Reading};
pub use table::{Row, TABLE};

/// What a field holds that can be searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sought {
    /// Values of a kind.
    Kind(Kind),
    /// A fact about a connection or a file.
    Field(Field),
    /// A part of something that several fields make up.
    Joined(Joined),
}

/// A part of a request or an answer that is only meaningful with the other parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Joined {
    /// The host of a request.
    RequestHost,
    /// Path and query of a request, or a whole URL.
    RequestTarget,
    /// The query of a request, if it has its own field.
    RequestQuery,
    /// The port of a request.
    RequestPort,
    /// The type of a DNS answer, which says whether its data is a name.
    RecordType,
}

/// A set of kinds, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u64);

const _: () = assert!(Kind::COUNT <= u64::BITS as usize);

impl Kinds {
    /// The empty set.
    pub const NONE: Kinds = Kinds(0);

    /// The set of one kind.
    pub fn of(kind: Kind) -> Self {
        Kinds(1 << kind.number())
    }

    /// Whether the set contains the kind.
    pub fn has(self, kind: Kind) -> bool {
        self.0 & Kinds::of(kind).0 != 0
    }

    /// The intersection.
    pub fn common(self, other: Kinds) -> Self {
        Kinds(self.0 & other.0)
    }

    /// The union.
    pub fn and(self, other: Kinds) -> Self {
        Kinds(self.0 | other.0)
    }

    /// All but this one.
    pub fn without(self, kind: Kind) -> Self {
        Kinds(self.0 & !Kinds::of(kind).0)
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The place in the table of a field of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlaceId(u16);

impl PlaceId {
    /// Fields that are not searched.
    pub const NONE: PlaceId = PlaceId(0);

    /// Fields that hold addresses, judging by their name alone.
    pub const ADDRESS: PlaceId = PlaceId(1);

    /// Its number, from 0 without gaps.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Whether the field is not searched.
    pub fn is_none(self) -> bool {
        self == PlaceId::NONE
    }
}

/// How a field's text is read, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// How the text is read.
    pub reading: Reading,
    /// The kinds of its values; empty if it is only a part of something.
    pub kinds: Kinds,
    /// Whether it is a DNS answer.
    pub is_answer: bool,
}

/// What a place is for.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// One for each reading.
    pub uses: Vec<Use>,
    /// The facts of connections and files that it holds.
    pub fields: Vec<Field>,
    /// What it is a part of.
    pub joined: Vec<Joined>,
}

impl Place {
    fn add(&mut self, row: &Row) {
        match row.sought {
            Sought::Field(field) => {
                if !self.fields.contains(&field) {
                    self.fields.push(field);
                }
                // The end of a connection is an address like any other.
                if row.reading == Reading::Address {
                    self.add_use(Kind::Address, row.reading);
                }
            }
            Sought::Joined(joined) => self.joined.push(joined),
            Sought::Kind(kind) => self.add_use(kind, row.reading),
        }
    }

    fn add_use(&mut self, kind: Kind, reading: Reading) {
        let kinds = with_wider(kind, reading);
        match self.uses.iter_mut().find(|one| one.reading == reading) {
            Some(known) => known.kinds = known.kinds.and(kinds),
            None => self.uses.push(Use {
                reading,
                kinds,
                is_answer: matches!(reading, Reading::Answer | Reading::Record),
            }),
        }
    }
}

/// The kinds that match what a row holds: its own, and wider ones.
fn with_wider(kind: Kind, reading: Reading) -> Kinds {
    let kinds = Kinds::of(kind);
    let wider = match kind {
        Kind::Address => &[Kind::Network][..],
        Kind::Domain => &[Kind::Subdomain],
        Kind::Text(Property::EmailSender | Property::EmailRecipient) => {
            &[Kind::Text(Property::Email)]
        }
        _ if reading == Reading::Hexadecimal => &[Kind::Hash],
        _ => &[],
    };
    let wider = wider.iter().map(|kind| Kinds::of(*kind));
    wider.fold(kinds, Kinds::and)
}

/// The endings of field names that hold addresses in any schema, in any case.
pub const ADDRESS_ENDINGS: &[&str] = &["ip", "addr", "address", "host", "_h", "src", "dst"];

/// Names that wrap a whole event, in addition to those of Zeek's logs.
const WRAPPERS: &[&str] = &[
    "zeek",
    "bro",
    "suricata",
    "eve",
    "_source",
    "result",
    "event",
    "data",
    "json",
    "fields",
    "value",
    "record",
    // Those of log shippers that have parsed the event.
    "message",
    "log",
    "log_processed",
    "jsonPayload",
    "payload",
    "body",
    "msg",
];

/// The types of EVE events of which Zeek has no log. `flow` is left out: an alert has an object
/// of that name too, with the same ends, perhaps the other way round.
const EVE_TYPES: &[&str] = &[
    "alert",
    "anomaly",
    "bittorrent_dht",
    "drop",
    "enip",
    "fileinfo",
    "ftp_data",
    "http2",
    "ike",
    "ikev2",
    "krb5",
    "ldap",
    "mdns",
    "netflow",
    "nfs",
    "pgsql",
    "pop3",
    "rdp",
    "rfb",
    "template",
    "tftp",
    "tls",
    "websocket",
];

/// The most wrappers around an event.
const MOST_WRAPPERS: usize = 4;

/// All places, by the paths of fields.
#[derive(Debug)]
pub struct Places {
    places: Vec<Place>,
    /// By path, with `_` for `.`.
    paths: HashMap<Box<str>, PlaceId>,
    /// The names of Zeek's logs, which wrap events in some exports.
    logs: Vec<&'static str>,
}

impl Places {
    /// The places of the table.
    pub fn shared() -> &'static Arc<Self> {
        static SHARED: LazyLock<Arc<Places>> = LazyLock::new(|| Arc::new(Places::of(TABLE)));
        &SHARED
    }

    /// The places of the table, plus the fields of an engine's concepts that the table
    /// does not know: those of a site's own schemas.
    pub fn with_concepts(concepts: &Concepts) -> Arc<Self> {
        let mut places = Places::of(TABLE);
        for (name, uses) in concepts.fields() {
            // The prefix is the event's type, usually of two words.
            let mut words = name.splitn(3, '.').skip(1);
            let (second, third) = (words.next(), words.next());
            for path in [third, second.filter(|_| third.is_none())]
                .into_iter()
                .flatten()
            {
                if !places.resolve(path).is_none() {
                    continue;
                }
                for kind in Kind::all().filter(|kind| uses.holds(*kind)) {
                    for row in rows_of_concept(kind) {
                        places.add(path, &row);
                    }
                }
            }
        }
        Arc::new(places)
    }

    fn of(table: &[Row]) -> Self {
        let address = Place {
            uses: vec![Use {
                reading: Reading::Address,
                kinds: with_wider(Kind::Address, Reading::Address),
                is_answer: false,
            }],
            ..Place::default()
        };
        let mut places = Places {
            places: vec![Place::default(), address],
            paths: HashMap::new(),
            logs: Vec::new(),
        };
        for row in table {
            for path in row.eve.iter().chain(row.ecs).chain(row.others) {
                places.add(path, row);
            }
            for path in row.zeek {
                places.add(path, row);
                if let Some((log, field)) = path.split_once('.') {
                    places.add(field, row);
                    if !places.logs.contains(&log) {
                        places.logs.push(log);
                    }
                }
            }
        }
        places
    }

    fn add(&mut self, path: &str, row: &Row) {
        let id = *self.paths.entry(normal(path)).or_insert_with(|| {
            self.places.push(Place::default());
            let number = u16::try_from(self.places.len() - 1);
            PlaceId(number.expect("the table has fewer fields"))
        });
        self.places[usize::from(id.0)].add(row);
    }

    /// The place of the field with this path (its keys joined by dots).
    ///
    /// If the Zeek log of a field is known, as for its tab-separated files, the name of
    /// the log precedes it: `dns.query`.
    pub fn resolve(&self, path: &str) -> PlaceId {
        let mut rest = path;
        for _ in 0..=MOST_WRAPPERS {
            if let Some(id) = self.paths.get(&normal(rest)) {
                return *id;
            }
            match rest.split_once('.') {
                Some((first, tail)) if tail.contains('.') || self.wraps(first) => rest = tail,
                _ => break,
            }
        }
        if is_named_like_an_address(path) {
            PlaceId::ADDRESS
        } else {
            PlaceId::NONE
        }
    }

    fn wraps(&self, name: &str) -> bool {
        let of_sensor = ["suricata_", "zeek_", "bro_"].iter();
        let name = of_sensor.fold(name, |name, sensor| {
            name.strip_prefix(sensor).unwrap_or(name)
        });
        [WRAPPERS, EVE_TYPES, &self.logs]
            .iter()
            .any(|names| names.contains(&name))
    }

    /// All places, in the order of their numbers.
    pub fn ids(&self) -> impl Iterator<Item = PlaceId> + use<> {
        let count = u16::try_from(self.places.len()).expect("the table has fewer fields");
        (0..count).map(PlaceId)
    }

    /// What a place is for.
    pub fn get(&self, id: PlaceId) -> &Place {
        &self.places[id.index()]
    }
}

/// How a field of an engine's concept is read.
fn rows_of_concept(kind: Kind) -> Vec<Row> {
    let row = |sought, reading| Row {
        sought,
        reading,
        eve: &[],
        zeek: &[],
        ecs: &[],
        others: &[],
    };
    let of_kind = |reading| vec![row(Sought::Kind(kind), reading)];
    match kind {
        Kind::Domain => vec![
            row(Sought::Kind(Kind::Domain), Reading::Host),
            row(Sought::Kind(Kind::Address), Reading::Host),
        ],
        Kind::Url => vec![
            row(Sought::Kind(Kind::Url), Reading::Url),
            row(Sought::Joined(Joined::RequestTarget), Reading::Target),
        ],
        Kind::Answer => of_kind(Reading::Answer),
        Kind::Text(property) => of_kind(match property.facts().writing {
            ValueForm::AsIs => Reading::Text,
            ValueForm::LowerCase => Reading::LowerCase,
            ValueForm::Hexadecimal(_) => Reading::Hexadecimal,
            ValueForm::Serial => Reading::Serial,
            ValueForm::HardwareAddress => Reading::Mac,
            ValueForm::MailAddress => Reading::Mail,
            ValueForm::FileName => Reading::FileName,
            ValueForm::DistinguishedName => Reading::DistinguishedName,
        }),
        Kind::Address | Kind::Endpoint | Kind::Network | Kind::Subdomain | Kind::Hash => vec![],
    }
}

/// A path with one kind of separator.
fn normal(path: &str) -> Box<str> {
    path.replace('_', ".").into()
}

fn is_named_like_an_address(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or_default().as_bytes();
    ADDRESS_ENDINGS.iter().any(|ending| {
        let start = name.len().checked_sub(ending.len());
        start.is_some_and(|start| name[start..].eq_ignore_ascii_case(ending.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(path: &str) -> Kinds {
        let places = Places::shared();
        let uses = &places.get(places.resolve(path)).uses;
        uses.iter()
            .map(|one| one.kinds)
            .fold(Kinds::NONE, Kinds::and)
    }

    #[test]
    fn a_field_counts_however_the_event_is_laid_out() {
        for path in [
            "dns.rrname",
            "dns_rrname",
            "suricata.dns.dns.rrname",
            "_source.dns.rrname",
            "jsonPayload.query",
            "message.server_name",
            "query",
            "dns.query",
            "zeek.dns.query",
            "dns.question.name",
            "server_name",
            "tls.sni",
            "http.hostname",
            "host",
        ] {
            assert!(kinds(path).has(Kind::Domain), "{path}");
            assert!(kinds(path).has(Kind::Subdomain), "{path}");
        }
        for path in [
            "alert.signature",
            "alert.metadata.query",
            "dns.type",
            "dns.question.registered_domain",
            "message",
            "query.x",
            "",
            ".",
        ] {
            assert!(!kinds(path).has(Kind::Domain), "{path}");
        }
    }

    #[test]
    fn the_name_of_a_field_shows_that_it_has_addresses() {
        for path in [
            "src_ip",
            "id.orig_h",
            "id_orig_h",
            "conn.id.orig_h",
            "source.ip",
            "clientIP",
            "x.remote_addr",
            "tx_hosts",
            "dns.answers.rdata",
        ] {
            assert!(kinds(path).has(Kind::Address), "{path}");
            assert!(kinds(path).has(Kind::Network), "{path}");
        }
        for path in ["version", "http.http_user_agent", "uid", "ip.x"] {
            assert!(
                kinds(path).is_empty() || !kinds(path).has(Kind::Address),
                "{path}"
            );
        }
    }

    #[test]
    fn a_hash_counts_as_its_kind_and_as_any_hash() {
        let places = kinds("tls.fingerprint");
        let has = |property| places.has(Kind::Text(property));
        assert!(has(Property::CertificateSha1) && places.has(Kind::Hash));
        assert!(!has(Property::Sha1));
        assert!(kinds("smtp.rcpt_to").has(Kind::Text(Property::Email)));
    }

    #[test]
    fn a_site_can_have_its_own_schemas() {
        let table = r#"[{"concept": {"name": "net.domain",
            "fields": ["corp.proxy.peer.name", "corp.proxy", "zeek.dns.query"]}}]"#;
        let concepts = Concepts::parse(table).expect("a table");
        let places = Places::with_concepts(&concepts);
        for (path, expected) in [("peer.name", true), ("proxy", true), ("peer", false)] {
            let place = places.get(places.resolve(path));
            let has = place.uses.iter().any(|one| one.kinds.has(Kind::Domain));
            assert_eq!(has, expected, "{path}");
        }
    }

    #[test]
    fn ends_of_connections_have_fields() {
        let places = Places::shared();
        for (path, field) in [
            ("src_ip", Field::SourceAddress),
            ("id.resp_h", Field::DestinationAddress),
            ("id_resp_h", Field::DestinationAddress),
            ("alert.dest_ip", Field::DestinationAddress),
            ("suricata.tls.dest_ip", Field::DestinationAddress),
            ("suricata_fileinfo.dest_port", Field::DestinationPort),
            ("destination.address", Field::DestinationAddress),
            ("destination.ip", Field::DestinationAddress),
            ("conn.id.resp_p", Field::DestinationPort),
            ("total_bytes", Field::FileSize),
        ] {
            let place = places.get(places.resolve(path));
            assert!(place.fields.contains(&field), "{path}");
        }
    }

    #[test]
    fn the_table_names_each_field_once_for_each_thing() {
        let mut seen = std::collections::HashSet::new();
        for row in TABLE {
            let columns = [row.eve, row.zeek, row.ecs, row.others];
            assert!(columns.iter().any(|column| !column.is_empty()));
            for (number, column) in columns.into_iter().enumerate() {
                for field in column {
                    let is_new = seen.insert((row.sought, row.reading, number, field));
                    assert!(is_new, "{field}");
                }
            }
        }
    }
}
