//! Types of fields. The engine knows them from its schema; printed events are
//! JSON alone, so the names have to tell.

/// The fields of type address, by the end of their path.
const ADDRESS_FIELDS: [&str; 10] = [
    "id.orig_h",
    "id.resp_h",
    "src_ip",
    "dest_ip",
    "source.ip",
    "target.ip",
    "src",
    "dst",
    "assigned_ip",
    "remote_ip",
];

const TIME_FIELDS: [&str; 4] = ["ts", "timestamp", "start", "end"];

const DURATION_FIELDS: [&str; 2] = ["duration", "lease_time"];

/// The type of a field, as far as queries tell types apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An address, printed as text.
    Address,
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
    /// The type of the field with this path (without the event's type name).
    pub fn kind(&self, path: &str) -> Kind {
        let ends = |name: &str| {
            path.strip_suffix(name)
                .is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        if ADDRESS_FIELDS.into_iter().any(ends) || self.address_fields.iter().any(|f| ends(f)) {
            Kind::Address
        } else if TIME_FIELDS.into_iter().any(ends) {
            Kind::Time
        } else if DURATION_FIELDS.into_iter().any(ends) {
            Kind::Duration
        } else {
            Kind::Plain
        }
    }
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
            ("host", Kind::Plain),
            ("answers", Kind::Plain),
            ("not_src_ip", Kind::Plain),
            ("flow.start", Kind::Time),
            ("duration", Kind::Duration),
        ] {
            assert_eq!(schema.kind(path), kind, "{path}");
        }
    }
}
