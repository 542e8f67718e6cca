//! The names of columns in the feeds of abuse.ch, MISP, OTX and others.

use super::super::record::Record;
use super::super::said::Said;
use crate::observable::Property;

/// The content of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The indicator, of any kind.
    Value,
    /// The kind of the indicator.
    Type,
    /// MISP's flag for detection.
    ToIds,
    /// The indicator's own id, a UUID.
    Id,
    /// A hash of the file in the row.
    Hash,
    /// The URL in the row.
    Url,
    /// Another value in the row.
    Thing(Said),
    /// Not a value: a property of the indicator.
    Property,
}

/// Column names, in lower case with `_` between words, sorted.
static COLUMNS: &[(&str, Role)] = &[
    ("abuse_email", Role::Property),
    ("address", Role::Thing(Said::Address)),
    ("anonymous", Role::Property),
    ("artefact", Role::Value),
    ("artefact_type", Role::Type),
    ("artifact", Role::Value),
    ("artifact_type", Role::Type),
    ("asn", Role::Property),
    ("authentihash", Role::Property),
    ("c2_ip", Role::Thing(Said::Address)),
    ("c2_status", Role::Property),
    ("category", Role::Property),
    ("cidr", Role::Thing(Said::Address)),
    ("clamav", Role::Property),
    ("comment", Role::Property),
    ("confidence", Role::Property),
    ("confidence_level", Role::Property),
    ("country", Role::Property),
    ("date", Role::Property),
    ("dateadded", Role::Property),
    ("description", Role::Property),
    ("dest_ip", Role::Thing(Said::Address)),
    ("destination.ip", Role::Thing(Said::Address)),
    ("domain", Role::Thing(Said::Domain)),
    ("domain_name", Role::Thing(Said::Domain)),
    ("domains", Role::Thing(Said::Domain)),
    ("dst_host", Role::Thing(Said::Domain)),
    ("dst_ip", Role::Thing(Said::Address)),
    ("dst_port", Role::Property),
    ("dstip", Role::Thing(Said::Address)),
    ("dstport", Role::Property),
    ("email", Role::Thing(Said::Mail)),
    ("email_address", Role::Thing(Said::Mail)),
    ("emails", Role::Thing(Said::Mail)),
    ("event_id", Role::Property),
    ("file_hash", Role::Hash),
    ("file_md5", Role::Hash),
    ("file_name", Role::Property),
    ("file_sha1", Role::Hash),
    ("file_sha256", Role::Hash),
    ("first_seen", Role::Property),
    ("first_seen_utc", Role::Property),
    ("firstseen", Role::Property),
    ("fqdn", Role::Thing(Said::Domain)),
    ("gimphash", Role::Property),
    ("hash", Role::Hash),
    ("hash_md5", Role::Hash),
    ("hash_sha1", Role::Hash),
    ("hash_sha256", Role::Hash),
    ("hashes", Role::Hash),
    ("hassh", Role::Thing(Said::Hassh)),
    ("host", Role::Thing(Said::Domain)),
    ("hostname", Role::Thing(Said::Domain)),
    ("hostnames", Role::Thing(Said::Domain)),
    ("hosts", Role::Thing(Said::Domain)),
    ("id", Role::Property),
    ("impfuzzy", Role::Property),
    ("imphash", Role::Property),
    ("indicator", Role::Value),
    ("indicator_type", Role::Type),
    ("indicator_value", Role::Value),
    ("indicators", Role::Value),
    ("ioc", Role::Value),
    ("ioc_id", Role::Property),
    ("ioc_type", Role::Type),
    ("ioc_value", Role::Value),
    ("iocs", Role::Value),
    ("ip", Role::Thing(Said::Address)),
    ("ip_addr", Role::Thing(Said::Address)),
    ("ip_address", Role::Thing(Said::Address)),
    ("ip_addresses", Role::Thing(Said::Address)),
    ("ip_port", Role::Thing(Said::AddressPort)),
    ("ip_range", Role::Thing(Said::Address)),
    ("ipaddress", Role::Thing(Said::Address)),
    ("ips", Role::Thing(Said::Address)),
    ("ipv4", Role::Thing(Said::Address)),
    ("ipv6", Role::Thing(Said::Address)),
    ("ja3", Role::Thing(Said::Text(Property::Ja3))),
    ("ja3_fingerprint", Role::Thing(Said::Text(Property::Ja3))),
    ("ja3_hash", Role::Thing(Said::Text(Property::Ja3))),
    ("ja3_md5", Role::Thing(Said::Text(Property::Ja3))),
    ("ja3s", Role::Thing(Said::Text(Property::Ja3s))),
    ("ja3s_md5", Role::Thing(Said::Text(Property::Ja3s))),
    ("ja4", Role::Thing(Said::Text(Property::Ja4))),
    ("last_online", Role::Property),
    ("last_seen", Role::Property),
    ("last_seen_utc", Role::Property),
    ("lastseen", Role::Property),
    ("listingdate", Role::Property),
    ("listingreason", Role::Property),
    ("mac", Role::Thing(Said::Text(Property::Mac))),
    ("mac_address", Role::Thing(Said::Text(Property::Mac))),
    ("malware", Role::Property),
    ("md5", Role::Hash),
    ("md5_hash", Role::Hash),
    ("md5hash", Role::Hash),
    ("netblock", Role::Thing(Said::Address)),
    ("network", Role::Thing(Said::Address)),
    ("observable", Role::Value),
    ("observable_type", Role::Type),
    ("observable_value", Role::Value),
    ("pehash", Role::Property),
    ("permhash", Role::Property),
    ("port", Role::Property),
    ("prefix", Role::Thing(Said::Address)),
    ("reference", Role::Property),
    ("reporter", Role::Property),
    ("sha1", Role::Hash),
    ("sha1_hash", Role::Hash),
    ("sha256", Role::Hash),
    ("sha256_hash", Role::Hash),
    ("sha256hash", Role::Hash),
    ("sha512", Role::Hash),
    ("sha_1", Role::Hash),
    ("sha_256", Role::Hash),
    ("sha_512", Role::Hash),
    ("signature", Role::Property),
    ("source", Role::Property),
    ("source.ip", Role::Thing(Said::Address)),
    ("source_link", Role::Property),
    ("source_url", Role::Property),
    ("src_ip", Role::Thing(Said::Address)),
    ("srcip", Role::Thing(Said::Address)),
    ("ssdeep", Role::Property),
    ("ssl_sha1", Role::Thing(Said::Certificate)),
    ("subnet", Role::Thing(Said::Address)),
    ("tags", Role::Property),
    ("telfhash", Role::Property),
    ("threat", Role::Property),
    ("threat_type", Role::Property),
    ("tlsh", Role::Property),
    ("to_ids", Role::ToIds),
    ("type", Role::Type),
    ("uri", Role::Url),
    ("url", Role::Url),
    ("url_status", Role::Property),
    ("urlhaus_link", Role::Property),
    ("urls", Role::Url),
    ("user_agent", Role::Thing(Said::Text(Property::UserAgent))),
    ("uuid", Role::Id),
    ("value", Role::Value),
    ("value_type", Role::Type),
    ("vhash", Role::Property),
];

/// Words in the name of a column that holds what is said about an indicator, and never
/// the indicator itself.
const ASIDE: [&str; 7] = [
    "contact",
    "permalink",
    "ref",
    "reference",
    "references",
    "refs",
    "reporter",
];

/// The names of the columns with the two ends of a connection.
const ENDS: [&[&str]; 2] = [
    &[
        "client_ip",
        "id.orig_h",
        "id_orig_h",
        "ip_src",
        "orig_h",
        "saddr",
        "source.address",
        "source.ip",
        "source_address",
        "source_ip",
        "sourceip",
        "src",
        "src_addr",
        "src_host",
        "src_ip",
        "srcaddr",
        "srcip",
    ],
    &[
        "daddr",
        "dest_host",
        "dest_ip",
        "destination.address",
        "destination.ip",
        "destination_address",
        "destination_ip",
        "destinationip",
        "destip",
        "dst",
        "dst_addr",
        "dst_host",
        "dst_ip",
        "dstaddr",
        "dstip",
        "id.resp_h",
        "id_resp_h",
        "ip_dst",
        "resp_h",
        "server_ip",
    ],
];

/// The names of columns with the first and the last address of a range.
const RANGES: [(&str, &str); 6] = [
    ("start_ip", "end_ip"),
    ("ip_start", "ip_end"),
    ("ip_from", "ip_to"),
    ("first_ip", "last_ip"),
    ("range_start", "range_end"),
    ("start", "end"),
];

/// The role of a column by its name.
pub fn role(name: &str) -> Option<Role> {
    let name = normal(name);
    match COLUMNS.binary_search_by(|(known, _)| (*known).cmp(&name)) {
        Ok(at) => Some(COLUMNS[at].1),
        Err(_) => name
            .split(['_', '.'])
            .any(|word| ASIDE.contains(&word))
            .then_some(Role::Property),
    }
}

/// Whether a column of this name may hold indicators.
pub fn may_hold(name: &str) -> bool {
    !matches!(
        role(name),
        Some(Role::Property | Role::ToIds | Role::Id | Role::Type)
    )
}

/// A name as it is in the tables.
fn normal(name: &str) -> String {
    let name = name.trim().trim_matches(['"', '\'']).trim();
    name.chars().map(plain).collect()
}

fn plain(letter: char) -> char {
    match letter {
        ' ' | '-' | ':' => '_',
        letter => letter.to_ascii_lowercase(),
    }
}

/// The kind of the values in a file whose only column has this name, if it holds
/// indicators.
pub fn single(name: &str) -> Option<Said> {
    match role(name)? {
        Role::Value | Role::Hash => Some(Said::Nothing),
        Role::Url => Some(Said::Url),
        Role::Thing(said) => Some(said),
        Role::Type | Role::ToIds | Role::Id | Role::Property => None,
    }
}

/// The columns of the rows under a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The names of all columns, as written.
    pub names: Vec<String>,
    /// The columns with indicators, and their kinds.
    pub values: Vec<(usize, Said)>,
    /// The column with the kind of the indicator.
    pub kind: Option<usize>,
    /// The column with MISP's flag for detection.
    pub to_ids: Option<usize>,
    /// The column with its id.
    pub id: Option<usize>,
    /// The column with the last address of the range that begins with the value.
    pub end: Option<usize>,
}

impl Layout {
    /// Makes the layout for a header; `None` if no column is known to hold indicators. If
    /// there are several, the most specific ones count: the value, else the hashes
    /// of the file, else the URL, else the first (`ip,hostname` is a list of addresses).
    pub fn of(names: Vec<String>) -> Option<Self> {
        Layout::of_rows(names, &[])
    }

    /// The same for a header with the first rows under it: of the most specific columns those
    /// count that hold an indicator in one of the rows. C2IntelFeeds has a description in the
    /// second column of `#ip,ioc`, and exports have columns that are always empty.
    pub fn of_rows(names: Vec<String>, rows: &[Vec<String>]) -> Option<Self> {
        let roles: Vec<Option<Role>> = names.iter().map(|name| role(name)).collect();
        let first =
            |wanted: &dyn Fn(Role) -> bool| roles.iter().position(|role| role.is_some_and(wanted));
        let range = range(&names);
        let mut candidates = candidates(&roles);
        if let Some((start, _)) = range {
            // Beside a range there is the mail address of a contact.
            let mut others = candidates.iter();
            let last = others.rposition(|columns| columns[0].1 != Said::Mail);
            let at = last.map_or(0, |last| last + 1);
            candidates.insert(at, vec![(start, Said::Address)]);
        }
        let kind = first(&|role| role == Role::Type);
        let are_held = |columns: &&Vec<(usize, Said)>| {
            let is_first = candidates.first() == Some(*columns);
            let is_held = |row: &Vec<String>, (at, said): &(usize, Said)| {
                // Any word can be the name of a host, but then the first ones count.
                let is_one = |cell: &&String| is_first || super::by_form(cell).is_some();
                let cell = row.get(*at).filter(is_one);
                cell.is_some_and(|cell| holds(cell, *said))
            };
            // Beside its type, a value may have any form.
            kind.is_some() && columns[0].1 == Said::Nothing
                || rows
                    .iter()
                    .any(|row| columns.iter().any(|one| is_held(row, one)))
        };
        let values = candidates.iter().find(are_held).or(candidates.first())?;
        let values = values.clone();
        // Next to a column of one kind, `type` is the type of malware or threat.
        let is_any = values.iter().all(|(_, said)| *said == Said::Nothing);
        Some(Layout {
            kind: kind.filter(|_| is_any),
            to_ids: first(&|role| role == Role::ToIds),
            id: first(&|role| role == Role::Id).filter(|_| values.len() == 1),
            end: range
                .filter(|(start, _)| values[0] == (*start, Said::Address))
                .map(|(_, end)| end),
            values,
            names,
        })
    }

    /// The layout with the indicators in this column.
    pub fn at(names: Vec<String>, column: usize) -> Self {
        let said = names.get(column).and_then(|name| single(name));
        let layout = Layout::of(names.clone());
        Layout {
            values: vec![(column, said.unwrap_or(Said::Nothing))],
            kind: layout.as_ref().and_then(|layout| layout.kind),
            to_ids: layout.as_ref().and_then(|layout| layout.to_ids),
            id: None,
            end: None,
            names,
        }
    }

    /// Whether the rows are connections with both ends: a log, in which most addresses
    /// are one's own.
    pub fn is_of_connections(&self) -> bool {
        let has = |end: &[&str]| {
            let mut names = self.names.iter();
            names.any(|name| end.contains(&&*normal(name)))
        };
        let has_value = |name: &String| role(name) == Some(Role::Value);
        ENDS.into_iter().all(has) && !self.names.iter().any(has_value)
    }

    /// Whether it is an export of MISP, which has a name for every type.
    pub fn is_of_misp(&self) -> bool {
        self.to_ids.is_some()
    }

    /// Describes the columns with indicators.
    pub fn described(&self) -> String {
        let what = if self.end.is_some() {
            "ranges of addresses"
        } else {
            "indicators"
        };
        format!("CSV, {what} in {}", self.columns())
    }

    /// The columns with indicators, in words.
    pub fn columns(&self) -> String {
        let column = |at: usize| match self.names.get(at) {
            Some(name) if !name.is_empty() => format!("`{name}`"),
            _ => format!("{}", at + 1),
        };
        let columns = self.values.iter().map(|(at, _)| *at).chain(self.end);
        let columns: Vec<String> = columns.map(column).collect();
        let plural = if columns.len() == 1 { "" } else { "s" };
        format!("column{plural} {}", columns.join(", "))
    }
}

/// The columns that can hold the indicators, the most specific ones first: those that count
/// together, with their kinds.
fn candidates(roles: &[Option<Role>]) -> Vec<Vec<(usize, Said)>> {
    let columns = || roles.iter().enumerate();
    let each = |wanted: Role, said: Said| {
        let columns = columns().filter(move |(_, role)| **role == Some(wanted));
        columns.map(move |(at, _)| (at, said))
    };
    let hashes: Vec<(usize, Said)> = each(Role::Hash, Said::Hash).collect();
    let things = columns().filter_map(|(at, role)| match role {
        Some(Role::Thing(said)) => Some((at, *said)),
        _ => None,
    });
    let values = each(Role::Value, Said::Nothing).map(|one| vec![one]);
    let hashes = (!hashes.is_empty()).then_some(hashes);
    let others = each(Role::Url, Said::Url).chain(things);
    values
        .chain(hashes)
        .chain(others.map(|one| vec![one]))
        .collect()
}

/// Whether a cell holds an indicator of this kind.
pub fn holds(cell: &str, said: Said) -> bool {
    !super::is_empty(cell) && Record::new(0, said, cell).into_message().is_ok()
}

/// The columns with the ends of a range of addresses.
fn range(names: &[String]) -> Option<(usize, usize)> {
    let names: Vec<String> = names.iter().map(|name| normal(name)).collect();
    let at = |wanted: &str| names.iter().position(|name| name == wanted);
    // `start` and `end` alone can be dates.
    let has_mask = at("netmask").or(at("netblock")).is_some();
    let is_sure = |start: &str| start != "start" || has_mask;
    RANGES
        .iter()
        .filter(|(start, _)| is_sure(start))
        .find_map(|(start, end)| Some((at(start)?, at(end)?)))
}

/// Whether these cells are a header with columns of indicators. In the middle of a file
/// all of them have to be known, since values can look like names.
pub fn is_header(cells: &[&str], everywhere: bool) -> bool {
    let is_name = |cell: &&str| {
        let cell = cell.trim().trim_matches('\'');
        cell.is_empty()
            || cell.len() <= 64
                && cell.starts_with(char::is_alphabetic)
                && (role(cell).is_some() || super::by_form(cell).is_none())
    };
    let holds = |cell: &&str| role(cell).is_some() && may_hold(cell);
    let is_known = |cell: &&str| role(cell).is_some();
    let holds_range = || {
        let names: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
        range(&names).is_some()
    };
    cells.iter().all(is_name)
        && (cells.iter().any(holds) || holds_range())
        && (!everywhere || cells.len() > 1 && cells.iter().all(is_known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(header: &str) -> Option<Layout> {
        Layout::of(header.split(',').map(str::to_owned).collect())
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(COLUMNS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(role(" \"Indicator type\""), Some(Role::Type));
        assert_eq!(role("no such"), None);
    }

    #[test]
    fn the_columns_of_known_exports_are_found() {
        for (header, columns) in [
            // URLhaus, Feodo Tracker, ThreatFox, MalwareBazaar, SSLBL.
            (
                "id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter",
                "url",
            ),
            (
                "first_seen_utc,dst_ip,dst_port,c2_status,last_online,malware",
                "dst_ip",
            ),
            (
                "first_seen_utc,ioc_id,ioc_value,ioc_type,threat_type,fk_malware,reference",
                "ioc_value",
            ),
            (
                "first_seen_utc,sha256_hash,md5_hash,sha1_hash,reporter,file_name,imphash,ssdeep",
                "sha256_hash md5_hash sha1_hash",
            ),
            ("Listingdate,SHA1,Listingreason", "SHA1"),
            ("Firstseen,DstIP,DstPort", "DstIP"),
            ("ja3_md5,Firstseen,Lastseen,Listingreason", "ja3_md5"),
            // MISP, OTX.
            (
                "uuid,event_id,category,type,value,comment,to_ids,date",
                "value",
            ),
            ("Indicator type,Indicator,Description", "Indicator"),
            ("ip,hostname,country", "ip"),
            ("domain,ip", "domain"),
            ("url,host,ip", "url"),
            ("hash,source,type", "hash"),
            ("Family,URLs,IPs", "URLs"),
            ("Name,MD5,SHA-256", "MD5 SHA-256"),
        ] {
            let layout = layout(header).expect(header);
            let found: Vec<&str> = layout
                .values
                .iter()
                .map(|(at, _)| &*layout.names[*at])
                .collect();
            assert_eq!(found.join(" "), columns, "{header}");
            let cells: Vec<&str> = header.split(',').collect();
            assert!(is_header(&cells, false), "{header}");
        }
        for header in [
            "reference,port,reporter",
            "threat,source",
            "imphash,Report reference",
        ] {
            assert_eq!(layout(header), None, "{header}");
        }
        let dshield = layout("Start,End,Netmask,Attacks,Name,Country,email").expect("DShield's");
        assert_eq!(
            (&dshield.values[..], dshield.end),
            (&[(0, Said::Address)][..], Some(1))
        );
        assert!(is_header(&["start_ip", "end_ip"], false));
        let dated = layout("email,start,end").expect("dates");
        assert_eq!((dated.values[0].0, dated.end), (0, None));
        for (header, is_log) in [
            ("timestamp,src_ip,src_port,dest_ip,dest_port", true),
            ("ts,Source IP,Destination IP,hash", true),
            ("ts,id.orig_h,id.resp_h,host", true),
            ("indicator,src_ip,dest_ip", false),
            ("src_ip,dest_port", false),
        ] {
            let is = layout(header).is_some_and(|layout| layout.is_of_connections());
            assert_eq!(is, is_log, "{header}");
        }
        let misp = layout("uuid,type,value,to_ids").expect("MISP's");
        assert_eq!(
            (misp.id, misp.kind, misp.to_ids),
            (Some(0), Some(1), Some(3))
        );
        assert_eq!(layout("hash,source,type").expect("hashes").kind, None);
    }

    #[test]
    fn rows_are_no_headers() {
        for row in [
            "192.0.2.1,443,ip",
            "http://a.example/,url,x",
            "a.example,domain,x",
            "2024-05-01,domain,a",
            "reporter,source",
        ] {
            let cells: Vec<&str> = row.split(',').collect();
            assert!(!is_header(&cells, false), "{row}");
        }
        assert!(!is_header(&["localhost", "domain", "x"], true));
        assert!(is_header(&["domain", "source"], true));
        assert!(!is_header(&["domain"], true));
    }
}
