//! The sensor that saw an event, if there are several engines or bridges.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

/// The namespace for the ids of sensors. (The namespace of STIX is only for observables:
/// STIX 2.1, section 2.9.)
const NAMESPACE: Uuid = Uuid::from_bytes([
    0x5b, 0x0f, 0x6c, 0x1d, 0x2a, 0x43, 0x4e, 0x0b, 0x9d, 0x7e, 0x61, 0x38, 0xc4, 0x52, 0xaf, 0x10,
]);

/// The creation time of the identities, the same in all messages, since it is always the
/// same object.
const CREATED: &str = "2024-01-01T00:00:00.000Z";

/// A sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensor {
    /// Its name.
    pub name: Arc<str>,
    /// `identity--` and a UUID derived from the name.
    pub id: String,
}

impl Sensor {
    /// The sensor with this name.
    pub fn new(name: Arc<str>) -> Self {
        let id = Uuid::new_v5(&NAMESPACE, name.as_bytes());
        Sensor {
            id: format!("identity--{id}"),
            name,
        }
    }

    /// Its identity in STIX (2.1, section 4.5).
    pub(super) fn identity(&self) -> StixIdentity<'_> {
        StixIdentity {
            kind: "identity",
            spec_version: "2.1",
            id: &self.id,
            created: CREATED,
            modified: CREATED,
            name: &self.name,
            identity_class: "system",
        }
    }
}

/// A STIX identity.
#[derive(Serialize)]
pub(super) struct StixIdentity<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    spec_version: &'static str,
    id: &'a str,
    created: &'static str,
    modified: &'static str,
    name: &'a str,
    identity_class: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_id_in_every_run() {
        let one = Sensor::new("dmz".into());
        assert_eq!(one, Sensor::new("dmz".into()));
        assert_ne!(one.id, Sensor::new("lan".into()).id);
        let uuid: Uuid = one.id["identity--".len()..].parse().expect("a UUID");
        assert_eq!(uuid.get_version_num(), 5);
    }
}
