//! Messages of both generations, as the recorded apps write them.

use serde_json::{Value, json};
use vast_threatbus::indicator::Protocol;

use super::broker::BrokerKind;

/// The value of an indicator, in either generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ioc<'a> {
    /// An IPv4 or IPv6 address.
    Ip(&'a str),
    /// A domain name.
    Domain(&'a str),
    /// A URL.
    Url(&'a str),
    /// A user agent, which can be any text.
    Program(&'a str),
}

impl Ioc<'_> {
    /// The value alone.
    pub fn value(self) -> String {
        let (Self::Ip(value) | Self::Domain(value) | Self::Url(value) | Self::Program(value)) =
            self;
        value.to_owned()
    }

    /// The number of its legacy `intel_type`: `IPDST`, `DOMAIN`, `URL`, `USERAGENT`.
    pub fn intel_type(self) -> u32 {
        match self {
            Self::Ip(_) => 2,
            Self::Domain(_) => 11,
            Self::Url(_) => 13,
            Self::Program(_) => 15,
        }
    }

    /// Its STIX pattern.
    pub fn pattern(self) -> String {
        let object = match self {
            Self::Ip(value) if value.contains(':') => "ipv6-addr",
            Self::Ip(_) => "ipv4-addr",
            Self::Domain(_) => "domain-name",
            Self::Url(_) => "url",
            Self::Program(_) => "user-agent",
        };
        let value = self.value().replace('\\', r"\\").replace('\'', r"\'");
        format!("[{object}:value = '{value}']")
    }
}

/// The id of indicator number `n`.
pub fn indicator_id(kind: BrokerKind, n: u64) -> String {
    match kind.protocol() {
        Protocol::Legacy => n.to_string(),
        Protocol::Stix2 => stix_id(n),
    }
}

/// Indicator number `n` in the format of this kind of broker.
pub fn indicator(kind: BrokerKind, n: u64, ioc: Ioc) -> Value {
    match kind.protocol() {
        Protocol::Legacy => legacy_intel(&n.to_string(), ioc.intel_type(), &[&ioc.value()], "ADD"),
        Protocol::Stix2 => stix_indicator(n, &ioc.pattern(), None),
    }
}

/// The message that withdraws that indicator.
pub fn removal(kind: BrokerKind, n: u64, ioc: Ioc) -> Value {
    match kind.protocol() {
        Protocol::Legacy => {
            legacy_intel(&n.to_string(), ioc.intel_type(), &[&ioc.value()], "REMOVE")
        }
        Protocol::Stix2 => stix_indicator(n, &ioc.pattern(), Some("REMOVE")),
    }
}

/// A legacy `Intel`; composite types have several values.
pub fn legacy_intel(id: &str, intel_type: u32, values: &[&str], operation: &str) -> Value {
    json!({
        "ts": "2020-11-26 12:00:00",
        "id": id,
        "data": {"indicator": values, "intel_type": intel_type},
        "operation": operation,
    })
}

/// A legacy `Sighting`.
pub fn legacy_sighting(intel: &str, ioc: &str, context: &Value) -> Value {
    json!({
        "ts": "2020-11-26 12:34:56.789000+00:00",
        "intel": intel,
        "context": context,
        "ioc": [ioc],
    })
}

/// The id of STIX-2 indicator number `n`, which has to fit in 48 bits.
pub fn stix_id(n: u64) -> String {
    format!("indicator--00000000-0000-4000-8000-{n:012x}")
}

/// A STIX-2 indicator; `update` is `EDIT` or `REMOVE`.
pub fn stix_indicator(n: u64, pattern: &str, update: Option<&str>) -> Value {
    let mut indicator = json!({
        "type": "indicator",
        "spec_version": "2.1",
        "id": stix_id(n),
        "created": "2021-02-24T15:26:49.000Z",
        "modified": "2021-02-24T15:26:49.000Z",
        "pattern": pattern,
        "pattern_type": "stix",
        "pattern_version": "2.1",
        "valid_from": "2021-02-24T15:26:49Z",
    });
    if let Some(update) = update {
        indicator["x_threatbus_update"] = json!(update);
    }
    indicator
}

/// A STIX-2 sighting of this indicator.
pub fn stix_sighting(n: u64, indicator: &str, context: &Value) -> Value {
    json!({
        "type": "sighting",
        "spec_version": "2.1",
        "id": format!("sighting--00000000-0000-4000-8000-{n:012x}"),
        "created": "2021-02-24T15:26:49.000Z",
        "modified": "2021-02-24T15:26:49.000Z",
        "last_seen": "2021-02-24T15:26:49Z",
        "sighting_of_ref": indicator,
        "x_threatbus_sighting_context": context,
        "x_threatbus_match_type": "RETRO",
    })
}

/// A sighting of indicator number `n` in the format of this kind of broker.
pub fn sighting(kind: BrokerKind, n: u64, context: &Value) -> Value {
    match kind.protocol() {
        Protocol::Legacy => legacy_sighting(&n.to_string(), "6.6.6.6", context),
        Protocol::Stix2 => stix_sighting(n, &stix_id(n), context),
    }
}

/// An indicator in the envelope that answers a request for a snapshot.
pub fn snapshot_envelope(kind: BrokerKind, request: &Value, indicator: &Value) -> Value {
    let mut envelope = json!({
        // The number of the indicators among the types of message.
        "snapshot_type": 1,
        "snapshot_id": request["snapshot_id"],
        "body": indicator,
    });
    if kind.protocol() == Protocol::Stix2 {
        envelope["type"] = json!("snapshotenvelope");
    }
    envelope
}
