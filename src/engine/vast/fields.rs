//! The fields of VAST's schemas that hold the values that are searched for, from the
//! table of kinds and places ([`TABLE`]).
//!
//! VAST matches a name as a suffix of full names, as text and not at dots, in every
//! schema that it knows (measured): `rrname` matches `suricata.dns.dns.rrname` and any
//! other name with that ending. A name that matches too much costs a little, since every
//! event that comes back is checked; a name that is longer than necessary costs another
//! list.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::matching::places::{Joined, Reading, Row, Sought, TABLE};
use crate::observable::{Kind, Property};

/// A field's name, and whether the sensor's events are JSON, whose escapes VAST keeps.
pub(super) type FieldName = (String, bool);

/// The names of fields for each way to query.
#[derive(Debug)]
pub(super) struct VastFields {
    /// Host names, and addresses as text.
    pub(super) names: Vec<FieldName>,
    /// Those of them in which a port can follow.
    pub(super) hosts: Vec<FieldName>,
    /// The host of a request, and what follows it in the URL, by sensor.
    pub(super) requests: Vec<(Vec<FieldName>, Vec<FieldName>)>,
    /// What follows the host in the URL of a request.
    pub(super) targets: Vec<FieldName>,
    /// Whole URLs.
    pub(super) urls: Vec<FieldName>,
    /// File names, with or without a path.
    pub(super) files: Vec<FieldName>,
    /// Mail addresses, sometimes preceded by a name.
    pub(super) mails: Vec<FieldName>,
    /// Certificate subjects.
    pub(super) subjects: Vec<FieldName>,
    /// Ports of either end.
    pub(super) ports: Vec<FieldName>,
}

/// Records in lists, which no schema of VAST has (measured).
const IN_LISTS: [&str; 7] = [
    "grouped",
    "answers",
    "answer",
    "authorities",
    "additionals",
    "queries",
    "query",
];

/// Last components of names that occur in too many fields to be queried alone.
const GENERIC_NAMES: [&str; 8] = ["name", "dns", "rname", "from", "to", "cc", "arg", "file"];

impl VastFields {
    /// The fields of the table.
    pub(super) fn shared() -> &'static Self {
        static SHARED: LazyLock<VastFields> = LazyLock::new(VastFields::of_table);
        &SHARED
    }

    fn of_table() -> Self {
        let domain = |row: &Row, readings: &[Reading]| {
            row.sought == Sought::Kind(Kind::Domain) && readings.contains(&row.reading)
        };
        let joined = |row: &Row, joined| row.sought == Sought::Joined(joined);
        let is_mail = |row: &Row| {
            use Property::{Email, EmailRecipient, EmailSender};
            let kinds = [Email, EmailRecipient, EmailSender].map(Kind::Text);
            kinds.iter().any(|kind| row.sought == Sought::Kind(*kind))
        };
        let host = |row: &Row| joined(row, Joined::RequestHost);
        let target = |row: &Row| joined(row, Joined::RequestTarget);
        let sensor = |is_json| {
            let of = |all: Vec<FieldName>| all.into_iter().filter(|one| one.1 == is_json).collect();
            (of(all_of(host)), of(all_of(target)))
        };
        VastFields {
            names: short(all_of(|row| {
                domain(
                    row,
                    &[
                        Reading::Name,
                        Reading::Host,
                        Reading::Answer,
                        Reading::Record,
                    ],
                )
            })),
            hosts: short(all_of(|row| domain(row, &[Reading::Host]))),
            requests: vec![sensor(false), sensor(true)],
            targets: all_of(target),
            urls: all_of(|row| {
                row.sought == Sought::Kind(Kind::Url) && row.reading == Reading::Url
            }),
            files: short(all_of(|row| {
                row.sought == Sought::Kind(Kind::Text(Property::FileName))
            })),
            mails: short(all_of(is_mail)),
            subjects: short(all_of(|row| domain(row, &[Reading::CommonName]))),
            ports: short(all_of(|row| {
                use crate::matching::condition::Field::{DestinationPort, SourcePort};
                [DestinationPort, SourcePort]
                    .map(Sought::Field)
                    .contains(&row.sought)
            })),
        }
    }
}

/// The names of the fields in these rows, without those that another name already
/// matches.
fn all_of(is_one: impl Fn(&Row) -> bool) -> Vec<FieldName> {
    let mut names = BTreeSet::new();
    for row in TABLE.iter().filter(|row| is_one(row)) {
        names.extend(row.eve.iter().map(|path| ((*path).to_owned(), true)));
        names.extend(row.zeek.iter().map(|path| (format!("zeek.{path}"), false)));
        names.extend(row.others.iter().map(|name| ((*name).to_owned(), false)));
    }
    names.retain(|(name, is_json)| !is_json || !is_in_list(name));
    fewest(names)
}

fn is_in_list(path: &str) -> bool {
    let mut above = path.split('.').rev().skip(1);
    above.any(|name| IN_LISTS.contains(&name))
}

/// The same by the last component of their names, if that is specific enough.
fn short(names: Vec<FieldName>) -> Vec<FieldName> {
    let short = names.into_iter().map(|(name, is_json)| {
        let mut parts = name.rsplitn(3, '.');
        let last = parts.next().unwrap_or_default();
        let short = match parts.next() {
            Some(above) if GENERIC_NAMES.contains(&last) => format!("{above}.{last}"),
            _ => last.to_owned(),
        };
        (short, is_json)
    });
    fewest(short.collect())
}

/// Removes names that another name already matches.
fn fewest(names: BTreeSet<FieldName>) -> Vec<FieldName> {
    let is_meant = |(name, _): &&FieldName| {
        let mut others = names.iter().filter(|(other, _)| other != name);
        !others.any(|(other, _)| name.ends_with(other.as_str()))
    };
    let mut fewest: Vec<FieldName> = Vec::new();
    for (name, is_json) in names.iter().filter(is_meant) {
        // A name of both kinds of sensors occurs twice.
        match fewest.iter_mut().find(|known| known.0 == *name) {
            Some(known) => known.1 |= is_json,
            None => fewest.push((name.clone(), *is_json)),
        }
    }
    // A removed name may be of JSON.
    for (name, is_json) in &mut fewest {
        *is_json |= names
            .iter()
            .any(|(other, other_json)| *other_json && other.ends_with(name.as_str()));
    }
    fewest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(fields: &[FieldName]) -> Vec<&str> {
        fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn the_fields_are_those_of_the_table() {
        let fields = VastFields::shared();
        for name in ["host", "hostname", "query", "rrname", "sni", "server_name"] {
            assert!(names(&fields.names).contains(&name), "{name}");
        }
        assert_eq!(names(&fields.hosts), ["host", "hostname"]);
        let [(zeek, uri), (eve, url)] = &*fields.requests else {
            panic!("{:?}", fields.requests);
        };
        assert_eq!(names(zeek), ["zeek.http.host"]);
        assert_eq!(names(uri), ["zeek.http.uri"]);
        assert_eq!(names(eve), ["http.hostname"]);
        assert_eq!(names(url), ["http.url"]);
        assert!(names(&fields.files).contains(&"smb_files.name"));
        assert!(names(&fields.mails).contains(&"email.from"));
        let ports = names(&fields.ports);
        for port in ["dest_port", "src_port", "orig_p", "resp_p"] {
            assert!(ports.contains(&port), "{port}");
        }
    }

    #[test]
    fn no_name_means_what_another_does() {
        let fields = VastFields::shared();
        for all in [&fields.names, &fields.urls, &fields.files, &fields.mails] {
            for (name, _) in all {
                let ends = |(other, _): &&FieldName| name.ends_with(other.as_str());
                assert_eq!(all.iter().filter(ends).count(), 1, "{name}");
            }
        }
        assert!(fields.names.len() < 30, "{:?}", fields.names);
    }
}
