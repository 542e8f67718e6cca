//! The object paths that can be asked for, in one table.

use super::pattern::{ObjectPath, Step};
use crate::matching::condition::Field;
use crate::observable::{Kind, Property};

/// Where the values of an object path stand in events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Any field of type address; the value may be written as IPv6 too, as the MISP
    /// plugin of Threat Bus does with every address.
    Ipv4,
    /// Any field of type address; the value is written as IPv6.
    Ipv6,
    /// The fields of this kind of text.
    Text(Kind),
    /// One end of a connection: the engine is asked for the address in any field,
    /// and which field it stands in is checked here.
    Address(Field),
    /// Which family the address at one end is of; checked here.
    Family(Field),
    /// A number; checked here, beside something that can be looked up.
    Number(Field),
    /// The protocols of a connection; checked here, case aside.
    Protocol,
}

/// One object path that can be asked for.
#[derive(Debug)]
pub struct Row {
    /// The path, as the canonical text has it; a hash's name in any of its
    /// spellings is the one that stands here.
    pub path: &'static str,
    /// Where its values stand.
    pub target: Target,
}

const fn row(path: &'static str, target: Target) -> Row {
    Row { path, target }
}

const fn text(path: &'static str, property: Property) -> Row {
    row(path, Target::Text(Kind::Text(property)))
}

/// All of them.
pub const PATHS: &[Row] = &[
    row("ipv4-addr:value", Target::Ipv4),
    row("ipv6-addr:value", Target::Ipv6),
    row("domain-name:value", Target::Text(Kind::Domain)),
    row(
        "domain-name:resolves_to_refs[*].value",
        Target::Text(Kind::Answer),
    ),
    row("hostname:value", Target::Text(Kind::Domain)),
    row("x-opencti-hostname:value", Target::Text(Kind::Domain)),
    row("url:value", Target::Text(Kind::Url)),
    text("file:hashes.MD5", Property::Md5),
    text("file:hashes.'SHA-1'", Property::Sha1),
    text("file:hashes.'SHA-256'", Property::Sha256),
    text("file:name", Property::FileName),
    row("file:size", Target::Number(Field::FileSize)),
    text("mac-addr:value", Property::Mac),
    text("email-addr:value", Property::Email),
    text("email-message:from_ref.value", Property::Email),
    row(
        "network-traffic:src_ref.value",
        Target::Address(Field::SourceAddress),
    ),
    row(
        "network-traffic:dst_ref.value",
        Target::Address(Field::DestinationAddress),
    ),
    row(
        "network-traffic:src_ref.type",
        Target::Family(Field::SourceAddress),
    ),
    row(
        "network-traffic:dst_ref.type",
        Target::Family(Field::DestinationAddress),
    ),
    row(
        "network-traffic:src_port",
        Target::Number(Field::SourcePort),
    ),
    row(
        "network-traffic:dst_port",
        Target::Number(Field::DestinationPort),
    ),
    row("network-traffic:protocols[*]", Target::Protocol),
    text(
        "network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'",
        Property::UserAgent,
    ),
    text("user-agent:value", Property::UserAgent),
    text("x-opencti-user-agent:value", Property::UserAgent),
    text("process:name", Property::ProcessName),
    text("process:image_ref.name", Property::ProcessName),
    text("process:parent_ref.name", Property::ParentProcessName),
    text("process:command_line", Property::CommandLine),
    text("user-account:user_id", Property::UserName),
    text("user-account:account_login", Property::UserName),
];

/// The row of a path.
pub fn find(path: &ObjectPath) -> Option<&'static Row> {
    let name = canonical(path);
    PATHS.iter().find(|row| row.path == name)
}

/// The path's text, with hashes in the spelling of the table. Feeds write `MD5`,
/// `md5`, `SHA1`, `sha-256`, `SHA256` and so on.
fn canonical(path: &ObjectPath) -> String {
    let [Step::Key(hashes), Step::Key(name)] = path.steps.as_slice() else {
        return path.to_string();
    };
    if path.object_type != "file" || hashes != "hashes" {
        return path.to_string();
    }
    let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    let name = match plain.to_ascii_uppercase().as_str() {
        "MD5" => "MD5",
        "SHA1" => "SHA-1",
        "SHA256" => "SHA-256",
        _ => name,
    };
    let steps = vec![Step::Key(hashes.clone()), Step::Key(name.to_owned())];
    let object_type = path.object_type.clone();
    ObjectPath { object_type, steps }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::stix::pattern;

    fn target(path: &str) -> Option<Target> {
        let pattern = pattern::parse(&format!("[{path} = 'x']")).expect("a pattern");
        let mut target = None;
        pattern.root.for_each_test(&mut |test| {
            target = find(&test.path).map(|row| row.target);
        });
        target
    }

    #[test]
    fn every_row_is_found_by_its_own_text() {
        for row in PATHS {
            assert_eq!(target(row.path), Some(row.target), "{}", row.path);
        }
        assert_eq!(target("file:parent_directory_ref.path"), None);
    }

    #[test]
    fn hashes_are_found_in_every_spelling() {
        for (names, property) in [
            (["MD5", "md5", "'MD5'", "'md5'"], Property::Md5),
            (["'SHA-1'", "SHA1", "sha1", "'sha-1'"], Property::Sha1),
            (
                ["'SHA-256'", "SHA256", "sha256", "'SHA256'"],
                Property::Sha256,
            ),
        ] {
            for name in names {
                let found = target(&format!("file:hashes.{name}"));
                assert_eq!(found, Some(Target::Text(Kind::Text(property))), "{name}");
            }
        }
        assert_eq!(target("file:hashes.'SHA-512'"), None);
    }
}
