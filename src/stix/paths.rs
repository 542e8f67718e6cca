//! The object paths that can be asked for, in one table.

use super::pattern::{ObjectPath, Step};
use crate::indicator::{Kind, Property};

/// One object path that can be asked for.
#[derive(Debug)]
pub struct Row {
    /// The path, as the canonical text has it; a hash's name in any of its
    /// spellings is the one that stands here.
    pub path: &'static str,
    /// What a value of it is looked for as.
    pub kind: Kind,
}

const fn row(path: &'static str, kind: Kind) -> Row {
    Row { path, kind }
}

const fn text(path: &'static str, property: Property) -> Row {
    row(path, Kind::Text(property))
}

/// All of them.
pub const PATHS: &[Row] = &[
    row("ipv4-addr:value", Kind::Address),
    row("ipv6-addr:value", Kind::Address),
    row("domain-name:value", Kind::Domain),
    row("url:value", Kind::Url),
    text("file:hashes.MD5", Property::Md5),
    text("file:hashes.'SHA-1'", Property::Sha1),
    text("file:hashes.'SHA-256'", Property::Sha256),
    text("file:name", Property::FileName),
    text("mac-addr:value", Property::Mac),
    text("email-addr:value", Property::Email),
    text("email-message:from_ref.value", Property::Email),
    text(
        "network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'",
        Property::UserAgent,
    ),
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
    use crate::stix::single_equality;

    fn kind(path: &str) -> Option<Kind> {
        let equality = single_equality(&format!("[{path} = 'x']")).expect("an equality");
        find(&equality.path).map(|row| row.kind)
    }

    #[test]
    fn every_row_is_found_by_its_own_text() {
        for row in PATHS {
            assert_eq!(kind(row.path), Some(row.kind), "{}", row.path);
        }
        assert_eq!(kind("file:size"), None);
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
                let found = kind(&format!("file:hashes.{name}"));
                assert_eq!(found, Some(Kind::Text(property)), "{name}");
            }
        }
        assert_eq!(kind("file:hashes.'SHA-512'"), None);
    }
}
