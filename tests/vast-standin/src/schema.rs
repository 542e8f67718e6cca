//! Types of fields. The engine knows them from its schema; printed events are
//! JSON alone, so the names have to say it.

/// The fields of type address, by the end of their path.
const ADDRESS_FIELDS: [&str; 22] = [
    "orig_h",
    "resp_h",
    "src_ip",
    "dest_ip",
    "source.ip",
    "target.ip",
    "src",
    "dst",
    "assigned_ip",
    "client_ip",
    "relay_ip",
    "next_server_ip",
    "requested_ip",
    "remote_ip",
    "assigned_addr",
    "client_addr",
    "requested_addr",
    "server_addr",
    "x_originating_ip",
    "tx_hosts",
    "rx_hosts",
    "san.ip",
];

const TIME_FIELDS: [&str; 4] = ["ts", "timestamp", "start", "end"];

const DURATION_FIELDS: [&str; 2] = ["duration", "lease_time"];

/// The fields of Suricata's schemas with an index of hashes (`#index=hash`): only whole
/// values can be searched there.
const HASHED_FIELDS: [&str; 7] = [
    "fileinfo.md5",
    "fileinfo.sha1",
    "fileinfo.sha256",
    "ja3.hash",
    "ja3s.hash",
    "dhcp.client_mac",
    "ftp_data.filename",
];

/// The type of a field, as far as queries tell types apart; of a list, that of its
/// elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An address, printed as text.
    Address,
    /// One of a few words: no field of type string.
    Enumeration,
    /// A time, printed as text.
    Time,
    /// A duration, printed as text (`163.82ms`).
    Duration,
    /// What JSON says: text, a number, a boolean.
    Plain,
}

/// The types of all fields.
#[derive(Debug, Default)]
pub struct Schema {
    /// More fields of type address, by the end of their path.
    pub address_fields: Vec<String>,
}

impl Schema {
    /// The type of the field with this path in events of this type.
    pub fn kind(&self, type_name: &str, path: &str) -> Kind {
        let ends = |name: &str| ends_with_names(path, name);
        if type_name == "suricata.dns" && path == "dns.type" {
            Kind::Enumeration
        } else if ADDRESS_FIELDS.into_iter().any(ends)
            || self.address_fields.iter().any(|f| ends(f))
        {
            Kind::Address
        } else if TIME_FIELDS.into_iter().any(ends) {
            Kind::Time
        } else if DURATION_FIELDS.into_iter().any(ends) {
            Kind::Duration
        } else {
            Kind::Plain
        }
    }

    /// Whether parts of the field's text can be searched.
    pub fn has_parts(&self, type_name: &str, path: &str) -> bool {
        let mut hashed = HASHED_FIELDS.into_iter();
        !(type_name.starts_with("suricata.") && hashed.any(|name| ends_with_names(path, name)))
    }
}

/// Whether a path ends with these whole names.
fn ends_with_names(path: &str, names: &str) -> bool {
    path.strip_suffix(names)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_types() {
        let schema = Schema {
            address_fields: vec!["client".into()],
        };
        for (path, kind) in [
            ("id.orig_h", Kind::Address),
            ("src_ip", Kind::Address),
            ("alert.source.ip", Kind::Address),
            ("dhcp.client", Kind::Address),
            ("tx_hosts", Kind::Address),
            ("dns.type", Kind::Enumeration),
            ("host", Kind::Plain),
            ("answers", Kind::Plain),
            ("not_src_ip", Kind::Plain),
            ("flow.start", Kind::Time),
            ("duration", Kind::Duration),
        ] {
            assert_eq!(schema.kind("suricata.dns", path), kind, "{path}");
        }
        assert_eq!(schema.kind("suricata.http", "dns.type"), Kind::Plain);
    }

    #[test]
    fn a_hashed_field_has_no_parts() {
        let schema = Schema::default();
        assert!(!schema.has_parts("suricata.tls", "tls.ja3.hash"));
        assert!(schema.has_parts("zeek.files", "fileinfo.md5"));
        assert!(schema.has_parts("suricata.http", "http.hostname"));
    }
}
