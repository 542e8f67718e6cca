//! The table of the object paths that can be searched for.

use super::pattern::{ObjectPath, Step};
use crate::matching::condition::{Field, Place, Subject};
use crate::observable::{Kind, Property};

/// How the values of an object path are written and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An address. It may be an IPv6 address too, as the MISP plugin of Threat Bus writes
    /// every address as `ipv4-addr`.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// Values of a kind.
    Kind(Kind),
    /// An address or a host name.
    Host,
    /// The object type of a host.
    HostType,
    /// A URL.
    Url,
    /// A number; checked here, beside something that can be looked up.
    Number,
    /// A time; checked in the same way.
    Time,
    /// A protocol.
    Protocol,
    /// The folder of a file.
    Folder,
}

/// An object path that can be searched for.
#[derive(Debug)]
pub struct Row {
    /// The path in canonical form, without list indexes. Any spelling of a hash's name
    /// becomes the one used here.
    pub path: &'static str,
    /// The owner of the property.
    pub subject: Subject,
    /// Where events hold its values.
    pub place: Place,
    /// How they are written.
    pub target: Target,
}

const fn row(path: &'static str, subject: Subject, place: Place, target: Target) -> Row {
    Row {
        path,
        subject,
        place,
        target,
    }
}

const fn kind(path: &'static str, subject: Subject, kind: Kind) -> Row {
    row(path, subject, Place::Kind(kind), Target::Kind(kind))
}

const fn text(path: &'static str, subject: Subject, property: Property) -> Row {
    kind(path, subject, Kind::Text(property))
}

const fn field(path: &'static str, subject: Subject, field: Field, target: Target) -> Row {
    row(path, subject, Place::Field(field), target)
}

const fn number(path: &'static str, subject: Subject, of: Field) -> Row {
    field(path, subject, of, Target::Number)
}

/// All object paths.
pub const PATHS: &[Row] = &[
    row(
        "ipv4-addr:value",
        Subject::Ipv4,
        Place::Kind(Kind::Address),
        Target::Ipv4,
    ),
    row(
        "ipv6-addr:value",
        Subject::Ipv6,
        Place::Kind(Kind::Address),
        Target::Ipv6,
    ),
    kind("domain-name:value", Subject::Domain, Kind::Domain),
    kind(
        "domain-name:resolves_to_refs.value",
        Subject::Domain,
        Kind::Answer,
    ),
    number(
        "domain-name:x_misp_port",
        Subject::Nobody,
        Field::DestinationPort,
    ),
    kind("hostname:value", Subject::Hostname, Kind::Domain),
    kind("x-opencti-hostname:value", Subject::Hostname, Kind::Domain),
    kind("url:value", Subject::Url, Kind::Url),
    text("file:hashes.MD5", Subject::File, Property::Md5),
    text("file:hashes.'SHA-1'", Subject::File, Property::Sha1),
    text("file:hashes.'SHA-256'", Subject::File, Property::Sha256),
    text("file:hashes.'SHA-512'", Subject::File, Property::Sha512),
    text("file:name", Subject::File, Property::FileName),
    row(
        "file:parent_directory_ref.path",
        Subject::File,
        Place::Kind(Kind::Text(Property::FileName)),
        Target::Folder,
    ),
    number("file:size", Subject::File, Field::FileSize),
    text(
        "x509-certificate:hashes.MD5",
        Subject::Certificate,
        Property::CertificateMd5,
    ),
    text(
        "x509-certificate:hashes.'SHA-1'",
        Subject::Certificate,
        Property::CertificateSha1,
    ),
    text(
        "x509-certificate:hashes.'SHA-256'",
        Subject::Certificate,
        Property::CertificateSha256,
    ),
    text(
        "x509-certificate:serial_number",
        Subject::Certificate,
        Property::CertificateSerial,
    ),
    text(
        "x509-certificate:issuer",
        Subject::Certificate,
        Property::CertificateIssuer,
    ),
    text(
        "x509-certificate:subject",
        Subject::Certificate,
        Property::CertificateSubject,
    ),
    text("mac-addr:value", Subject::Mac, Property::Mac),
    text("email-addr:value", Subject::MailAddress, Property::Email),
    text(
        "email-message:from_ref.value",
        Subject::Mail,
        Property::EmailSender,
    ),
    text(
        "email-message:sender_ref.value",
        Subject::Mail,
        Property::EmailSender,
    ),
    text(
        "email-message:to_refs.value",
        Subject::Mail,
        Property::EmailRecipient,
    ),
    text(
        "email-message:cc_refs.value",
        Subject::Mail,
        Property::EmailRecipient,
    ),
    text(
        "email-message:bcc_refs.value",
        Subject::Mail,
        Property::EmailRecipient,
    ),
    text(
        "email-message:subject",
        Subject::Mail,
        Property::EmailSubject,
    ),
    field(
        "email-message:additional_header_fields.reply_to",
        Subject::Mail,
        Field::ReplyTo,
        Target::Kind(Kind::Text(Property::Email)),
    ),
    text(
        "email-message:additional_header_fields.x_mailer",
        Subject::Mail,
        Property::UserAgent,
    ),
    field(
        "email-message:body_multipart.body_raw_ref.name",
        Subject::Mail,
        Field::Attachment,
        Target::Kind(Kind::Text(Property::FileName)),
    ),
    row(
        "network-traffic:src_ref.value",
        Subject::Source,
        Place::Source,
        Target::Host,
    ),
    row(
        "network-traffic:dst_ref.value",
        Subject::Destination,
        Place::Destination,
        Target::Host,
    ),
    row(
        "network-traffic:src_ref.type",
        Subject::Source,
        Place::Source,
        Target::HostType,
    ),
    row(
        "network-traffic:dst_ref.type",
        Subject::Destination,
        Place::Destination,
        Target::HostType,
    ),
    number(
        "network-traffic:src_port",
        Subject::Connection,
        Field::SourcePort,
    ),
    number(
        "network-traffic:dst_port",
        Subject::Connection,
        Field::DestinationPort,
    ),
    number(
        "network-traffic:src_byte_count",
        Subject::Connection,
        Field::SourceBytes,
    ),
    number(
        "network-traffic:dst_byte_count",
        Subject::Connection,
        Field::DestinationBytes,
    ),
    number(
        "network-traffic:src_packets",
        Subject::Connection,
        Field::SourcePackets,
    ),
    number(
        "network-traffic:dst_packets",
        Subject::Connection,
        Field::DestinationPackets,
    ),
    field(
        "network-traffic:start",
        Subject::Connection,
        Field::Start,
        Target::Time,
    ),
    field(
        "network-traffic:end",
        Subject::Connection,
        Field::End,
        Target::Time,
    ),
    field(
        "network-traffic:protocols",
        Subject::Connection,
        Field::Protocol,
        Target::Protocol,
    ),
    text(
        "network-traffic:extensions.'http-request-ext'.request_method",
        Subject::Connection,
        Property::HttpMethod,
    ),
    row(
        "network-traffic:extensions.'http-request-ext'.request_value",
        Subject::Connection,
        Place::Request,
        Target::Url,
    ),
    text(
        "network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'",
        Subject::Connection,
        Property::UserAgent,
    ),
    text(
        "network-traffic:extensions.'http-request-ext'.request_header.Cookie",
        Subject::Connection,
        Property::Cookie,
    ),
    field(
        "network-traffic:extensions.'http-request-ext'.request_header.Host",
        Subject::Connection,
        Field::RequestHost,
        Target::Host,
    ),
    field(
        "network-traffic:extensions.'http-request-ext'.request_header.Referer",
        Subject::Connection,
        Field::Referrer,
        Target::Url,
    ),
    text(
        "network-traffic:extensions.'tls-ext'.ja3",
        Subject::Connection,
        Property::Ja3,
    ),
    text(
        "network-traffic:extensions.'tls-ext'.ja3s",
        Subject::Connection,
        Property::Ja3s,
    ),
    text(
        "network-traffic:extensions.'tls-ext'.ja4",
        Subject::Connection,
        Property::Ja4,
    ),
    text(
        "network-traffic:extensions.'ssh-ext'.hassh",
        Subject::Connection,
        Property::HasshClient,
    ),
    text(
        "network-traffic:extensions.'ssh-ext'.hassh_server",
        Subject::Connection,
        Property::HasshServer,
    ),
    text("user-agent:value", Subject::UserAgent, Property::UserAgent),
    text(
        "x-opencti-user-agent:value",
        Subject::UserAgent,
        Property::UserAgent,
    ),
    text("process:name", Subject::Process, Property::ProcessName),
    text(
        "process:image_ref.name",
        Subject::Process,
        Property::ProcessName,
    ),
    text(
        "process:binary_ref.name",
        Subject::Process,
        Property::ProcessName,
    ),
    text(
        "process:parent_ref.name",
        Subject::Process,
        Property::ParentProcessName,
    ),
    text(
        "process:parent_ref.image_ref.name",
        Subject::Process,
        Property::ParentProcessName,
    ),
    text(
        "process:command_line",
        Subject::Process,
        Property::CommandLine,
    ),
    text("user-account:user_id", Subject::User, Property::UserName),
    text(
        "user-account:account_login",
        Subject::User,
        Property::UserName,
    ),
];

/// The row of a path.
pub fn find(path: &ObjectPath) -> Option<&'static Row> {
    let name = canonical(path);
    PATHS.iter().find(|row| row.path == name)
}

/// MISP's metadata about an indicator, which is not searched for: properties of any type
/// of object that it writes as `x_misp_…`.
const ADMINISTRATIVE: &[&str] = &[
    "comment",
    "creation_date",
    "description",
    "expiration_date",
    "first_seen",
    "last_seen",
    "link",
    "modification_date",
    "reference",
    "registrant_email",
    "registrant_name",
    "registrant_org",
    "registrant_phone",
    "registrar",
    "registration_date",
    "state",
    "tag",
    "text",
    "threat_score",
];

/// Metadata of a type that repeats a part of its value.
const REPETITIONS: &[(&str, &[&str])] = &[
    ("domain-name", &["domain", "hostname"]),
    (
        "url",
        &[
            "domain",
            "domain_without_tld",
            "fragment",
            "host",
            "ip",
            "port",
            "query_string",
            "resource_path",
            "scheme",
            "subdomain",
            "tld",
        ],
    ),
];

/// Whether a path is such metadata, which no event has and which narrows nothing.
pub fn is_administrative(path: &ObjectPath) -> bool {
    let [Step::Key(name), ..] = path.steps.as_slice() else {
        return false;
    };
    let Some(name) = name.strip_prefix("x_misp_") else {
        return false;
    };
    let name = &*name.replace('-', "_");
    let repeats = |(object_type, names): &(&str, &[&str])| {
        *object_type == path.object_type && names.contains(&name)
    };
    ADMINISTRATIVE.contains(&name) || REPETITIONS.iter().any(repeats)
}

/// The path in the spelling of the table: without list indexes, since any element counts;
/// hashes and headers by their names in one spelling; and the fingerprints of TLS and
/// SSH, for which STIX has no path and every feed its own.
fn canonical(path: &ObjectPath) -> String {
    let mut path = ObjectPath {
        object_type: path.object_type.clone(),
        steps: path
            .steps
            .iter()
            .filter(|step| matches!(step, Step::Key(_)))
            .cloned()
            .collect(),
    };
    if let Some(name) = fingerprint(&path) {
        return name.to_owned();
    }
    let before_last = path.steps.iter().rev().nth(1).cloned();
    if let (Some(Step::Key(group)), Some(Step::Key(name))) = (before_last, path.steps.last_mut()) {
        let named = match group.as_str() {
            "hashes" => hash(name),
            "request_header" => header(name),
            _ => None,
        };
        if let Some(named) = named {
            *name = named.to_owned();
        }
    }
    path.to_string()
}

/// Feeds write `MD5`, `md5`, `SHA1`, `sha-256`, `SHA256` and so on.
fn hash(name: &str) -> Option<&'static str> {
    let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    Some(match plain.to_ascii_uppercase().as_str() {
        "MD5" => "MD5",
        "SHA1" => "SHA-1",
        "SHA256" => "SHA-256",
        "SHA512" => "SHA-512",
        _ => return None,
    })
}

/// Header names are case-insensitive.
fn header(name: &str) -> Option<&'static str> {
    let names = ["User-Agent", "Cookie", "Host", "Referer"];
    let plain = name.replace('_', "-");
    names
        .into_iter()
        .find(|one| one.eq_ignore_ascii_case(&plain))
}

/// The path of a fingerprint, found by the last component of the feed's own path:
/// `network-traffic:extensions.'tls-ext'.ja3_hash`, `network-traffic:x_ja3`,
/// `x-tls-fingerprint:ja3`, `x-ja3-hash:value`.
fn fingerprint(path: &ObjectPath) -> Option<&'static str> {
    let is_custom = path.object_type.starts_with("x-");
    if !is_custom && path.object_type != "network-traffic" {
        return None;
    }
    let Some(Step::Key(last)) = path.steps.last() else {
        return None;
    };
    let name = match (is_custom, last.as_str()) {
        (true, "value" | "hash") => path.object_type.as_str(),
        _ => last,
    };
    let mut words: Vec<String> = name
        .split(['_', '-'])
        .map(str::to_ascii_lowercase)
        .collect();
    let is_filler = |word: &String| {
        let fillers = [
            "x",
            "misp",
            "opencti",
            "hash",
            "md5",
            "fingerprint",
            "client",
        ];
        fillers.contains(&word.as_str())
    };
    words.retain(|word| !is_filler(word));
    Some(match words.join("_").as_str() {
        "ja3" => "network-traffic:extensions.'tls-ext'.ja3",
        "ja3s" | "ja3_server" => "network-traffic:extensions.'tls-ext'.ja3s",
        "ja4" => "network-traffic:extensions.'tls-ext'.ja4",
        "hassh" => "network-traffic:extensions.'ssh-ext'.hassh",
        "hassh_server" | "hasshserver" => "network-traffic:extensions.'ssh-ext'.hassh_server",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::stix::pattern;

    fn path(path: &str) -> ObjectPath {
        let pattern = pattern::parse(&format!("[{path} = 'x']")).expect("a pattern");
        let mut found = None;
        pattern
            .root
            .for_each_test(&mut |test| found = Some(test.path.clone()));
        found.expect("one test")
    }

    fn found(text: &str) -> Option<&'static str> {
        find(&path(text)).map(|row| row.path)
    }

    #[test]
    fn every_row_is_found_by_its_own_text() {
        for row in PATHS {
            assert_eq!(found(row.path), Some(row.path));
        }
        assert_eq!(found("file:ctime"), None);
    }

    #[test]
    fn hashes_and_headers_are_found_in_every_spelling() {
        for (names, path) in [
            (["MD5", "md5", "'MD5'", "'md5'"], "file:hashes.MD5"),
            (
                ["'SHA-1'", "SHA1", "sha1", "'sha-1'"],
                "file:hashes.'SHA-1'",
            ),
            (
                ["'SHA-256'", "SHA256", "sha256", "SHA_256"],
                "file:hashes.'SHA-256'",
            ),
            (
                ["'SHA-512'", "SHA512", "sha512", "'sha-512'"],
                "file:hashes.'SHA-512'",
            ),
        ] {
            for name in names {
                assert_eq!(found(&format!("file:hashes.{name}")), Some(path), "{name}");
            }
        }
        let header = "network-traffic:extensions.'http-request-ext'.request_header";
        for name in [
            "'User-Agent'",
            "'user-agent'",
            "user_agent",
            "'User-Agent'[0]",
        ] {
            let expected = format!("{header}.'User-Agent'");
            assert_eq!(
                found(&format!("{header}.{name}")),
                Some(&*expected),
                "{name}"
            );
        }
        assert_eq!(found("file:hashes.SSDEEP"), None);
    }

    #[test]
    fn any_element_of_a_list_counts() {
        for path in ["protocols", "protocols[0]", "protocols[*]", "protocols[7]"] {
            let path = format!("network-traffic:{path}");
            assert_eq!(found(&path), Some("network-traffic:protocols"));
        }
        let to = found("email-message:to_refs[3].value");
        assert_eq!(to, Some("email-message:to_refs.value"));
    }

    #[test]
    fn fingerprints_are_found_under_the_names_that_feeds_have() {
        let tls = |name: &str| format!("network-traffic:extensions.'tls-ext'.{name}");
        for (path, expected) in [
            (tls("ja3_hash"), tls("ja3")),
            (tls("ja3s"), tls("ja3s")),
            (tls("ja4_hash"), tls("ja4")),
            ("network-traffic:x_ja3".to_owned(), tls("ja3")),
            (
                "network-traffic:x_misp_ja3_fingerprint_md5".to_owned(),
                tls("ja3"),
            ),
            ("x-tls-fingerprint:ja3s_hash".to_owned(), tls("ja3s")),
            ("x-ja3-hash:value".to_owned(), tls("ja3")),
        ] {
            assert_eq!(found(&path), Some(&*expected), "{path}");
        }
        let ssh = "network-traffic:extensions.'ssh-ext'.hassh_server";
        assert_eq!(found("network-traffic:x_hassh_server"), Some(ssh));
        assert_eq!(found("file:ja3"), None);
    }

    #[test]
    fn what_misp_says_of_an_indicator_is_known() {
        assert!(is_administrative(&path("domain-name:x_misp_first_seen")));
        assert!(is_administrative(&path("url:x_misp_text")));
        assert!(is_administrative(&path("url:x_misp_ip")));
        assert!(!is_administrative(&path("domain-name:x_misp_ip")));
        assert!(!is_administrative(&path("domain-name:first_seen")));
    }
}
