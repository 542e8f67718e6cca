//! The object paths that can be searched for: how a path of a pattern, in any spelling, is
//! found in their table.

mod table;

use super::pattern::{ObjectPath, Step};

pub use table::{PATHS, PathRow, PathTarget};

/// The row of a path.
pub fn find(path: &ObjectPath) -> Option<&'static PathRow> {
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
