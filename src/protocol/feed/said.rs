//! The kinds of values according to feeds, and the type names that feeds use.

use crate::observable::Property;

/// The kind of a value according to its feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Not given: the form of the value decides.
    Nothing,
    /// An address, a network, or an address with a port.
    Address,
    /// An address and a port, separated by `:` or `|`.
    AddressPort,
    /// A domain or host name.
    Domain,
    /// A domain or host name with a former address or a port.
    DomainAnd,
    /// A URL; a text that begins with `/` is a target on any host.
    Url,
    /// A hash of any kind, identified by its length.
    Hash,
    /// The HASSH of an SSH client.
    Hassh,
    /// The HASSH of an SSH server.
    HasshServer,
    /// A fingerprint of a certificate.
    Certificate,
    /// A mail address.
    Mail,
    /// A file name and a hash, separated by `|`.
    NamedFile,
    /// Any text in this property.
    Text(Property),
    /// Something that no network log has.
    Elsewhere,
}

/// The type names of MISP, OTX, ThreatFox and others, in lower case with `-` for blanks,
/// `_` and `:`.
static NAMES: &[(&str, Said)] = &[
    ("address", Said::Address),
    ("attachment", Said::Text(Property::FileName)),
    ("attachment-filename", Said::Text(Property::FileName)),
    ("bitcoinaddress", Said::Elsewhere),
    ("btc", Said::Elsewhere),
    ("certificate", Said::Certificate),
    ("cidr", Said::Address),
    ("command-line", Said::Elsewhere),
    ("cookie", Said::Text(Property::Cookie)),
    ("cpe", Said::Elsewhere),
    ("cve", Said::Elsewhere),
    ("domain", Said::Domain),
    ("domain-name", Said::Domain),
    ("domain-port", Said::DomainAnd),
    ("domain|ip", Said::DomainAnd),
    ("email", Said::Mail),
    ("email-addr", Said::Mail),
    ("email-address", Said::Mail),
    ("email-attachment", Said::Text(Property::FileName)),
    ("email-dst", Said::Mail),
    ("email-reply-to", Said::Mail),
    ("email-src", Said::Mail),
    ("email-subject", Said::Text(Property::EmailSubject)),
    ("email-x-mailer", Said::Text(Property::UserAgent)),
    ("envelope-sender", Said::Mail),
    ("file-hash", Said::Hash),
    ("file-name", Said::Text(Property::FileName)),
    ("file-path", Said::Text(Property::FileName)),
    ("filehash", Said::Hash),
    ("filehash-imphash", Said::Elsewhere),
    ("filehash-md5", Said::Hash),
    ("filehash-pehash", Said::Elsewhere),
    ("filehash-sha1", Said::Hash),
    ("filehash-sha256", Said::Hash),
    ("filehash-sha512", Said::Hash),
    ("filename", Said::Text(Property::FileName)),
    ("filename|authentihash", Said::Elsewhere),
    ("filename|imphash", Said::Elsewhere),
    ("filename|md5", Said::NamedFile),
    ("filename|sha1", Said::NamedFile),
    ("filename|sha256", Said::NamedFile),
    ("filename|sha512", Said::NamedFile),
    ("filename|ssdeep", Said::Elsewhere),
    ("filename|tlsh", Said::Elsewhere),
    ("filepath", Said::Text(Property::FileName)),
    ("fingerprint", Said::Certificate),
    ("fqdn", Said::Domain),
    ("hash", Said::Hash),
    ("hash-md5", Said::Hash),
    ("hash-sha1", Said::Hash),
    ("hash-sha256", Said::Hash),
    ("hassh", Said::Hassh),
    ("hassh-md5", Said::Hassh),
    ("hasshserver-md5", Said::HasshServer),
    ("host", Said::Domain),
    ("hostname", Said::Domain),
    ("hostname|port", Said::DomainAnd),
    ("http-method", Said::Text(Property::HttpMethod)),
    ("http-user-agent", Said::Text(Property::UserAgent)),
    ("imphash", Said::Elsewhere),
    ("ip", Said::Address),
    ("ip-address", Said::Address),
    ("ip-dst", Said::Address),
    ("ip-dst|port", Said::AddressPort),
    ("ip-port", Said::AddressPort),
    ("ip-src", Said::Address),
    ("ip-src|port", Said::AddressPort),
    ("ipv4", Said::Address),
    ("ipv4-addr", Said::Address),
    ("ipv4-address", Said::Address),
    ("ipv4-cidr", Said::Address),
    ("ipv4-port", Said::AddressPort),
    ("ipv6", Said::Address),
    ("ipv6-addr", Said::Address),
    ("ipv6-address", Said::Address),
    ("ipv6-cidr", Said::Address),
    ("ja3", Said::Text(Property::Ja3)),
    ("ja3-fingerprint-md5", Said::Hash),
    ("ja3-md5", Said::Text(Property::Ja3)),
    ("ja3s", Said::Text(Property::Ja3s)),
    ("ja4", Said::Text(Property::Ja4)),
    ("mac-addr", Said::Text(Property::Mac)),
    ("mac-address", Said::Text(Property::Mac)),
    ("malware-sample", Said::NamedFile),
    ("md5", Said::Hash),
    ("md5-hash", Said::Hash),
    ("mutex", Said::Elsewhere),
    ("named-pipe", Said::Elsewhere),
    ("network", Said::Address),
    ("pattern-in-file", Said::Elsewhere),
    ("pattern-in-memory", Said::Elsewhere),
    ("pattern-in-traffic", Said::Elsewhere),
    ("pdb", Said::Elsewhere),
    ("port", Said::Elsewhere),
    ("regkey", Said::Elsewhere),
    ("regkey|value", Said::Elsewhere),
    ("sha1", Said::Hash),
    ("sha1-hash", Said::Hash),
    ("sha256", Said::Hash),
    ("sha256-hash", Said::Hash),
    ("sha3-384-hash", Said::Elsewhere),
    ("sha512", Said::Hash),
    ("sha512-hash", Said::Hash),
    ("sigma", Said::Elsewhere),
    ("snort", Said::Elsewhere),
    ("ssdeep", Said::Elsewhere),
    ("sslcertfingerprint", Said::Certificate),
    ("subdomain", Said::Domain),
    ("subnet", Said::Address),
    ("telfhash", Said::Elsewhere),
    ("tlsh", Said::Elsewhere),
    ("uri", Said::Url),
    ("url", Said::Url),
    ("user-agent", Said::Text(Property::UserAgent)),
    ("vulnerability", Said::Elsewhere),
    ("windows-scheduled-task", Said::Elsewhere),
    ("windows-service-name", Said::Elsewhere),
    ("x509-fingerprint-md5", Said::Hash),
    ("x509-fingerprint-sha1", Said::Hash),
    ("x509-fingerprint-sha256", Said::Hash),
    ("yara", Said::Elsewhere),
];

impl Said {
    /// The kind for the name of a type; `None` if the name is unknown.
    pub fn by_name(name: &str) -> Option<Self> {
        let name: String = name.trim().chars().map(plain).collect();
        let at = NAMES.binary_search_by(|(known, _)| (*known).cmp(&name));
        at.ok().map(|at| NAMES[at].1)
    }
}

fn plain(letter: char) -> char {
    match letter {
        ' ' | '_' | ':' => '-',
        letter => letter.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_found_in() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        for (name, said) in [
            ("ip:port", Some(Said::AddressPort)),
            ("FileHash-SHA256", Some(Said::Hash)),
            ("sha256_hash", Some(Said::Hash)),
            ("IPv4", Some(Said::Address)),
            ("ip-dst|port", Some(Said::AddressPort)),
            ("  URL ", Some(Said::Url)),
            ("botnet_cc", None),
        ] {
            assert_eq!(Said::by_name(name), said, "{name}");
        }
    }
}
