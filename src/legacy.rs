//! The `Intel` and `Sighting` messages of Threat Bus up to 2020.12.16.
//!
//! An indicator is `{"ts": …, "id": "43", "data": {"indicator": ["6.6.0.1"],
//! "intel_type": 2}, "operation": "ADD"}`; the kinds are numbers from 1 to 47
//! (Threat Bus, `threatbus.data.IntelType`).

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::indicator::{
    Indicator, Message, Network, Observable, Property, Protocol, Rejection, Validity,
};
use crate::sighting::{Context, EventTime, MatchType};

/// The topic that indicators are published on.
pub const INTEL_TOPIC: &str = "threatbus/intel";
/// The topic that sightings are published on.
pub const SIGHTING_TOPIC: &str = "threatbus/sighting";
/// What follows the own topic's name on a message that holds an indicator.
pub const INTEL_SUFFIX: &str = "intel";

/// What this program does with a kind of intel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Address,
    Domain,
    Url,
    Text(Property),
    Nothing,
}

/// Every `IntelType`: its name, and what it asks for. The number is the
/// position plus one.
const KINDS: [(&str, Asks); 47] = [
    ("IPSRC", Asks::Address),
    ("IPDST", Asks::Address),
    ("IPSRC_PORT", Asks::Nothing),
    ("IPDST_PORT", Asks::Nothing),
    ("EMAILSRC", Asks::Text(Property::Email)),
    ("EMAILDST", Asks::Nothing),
    ("TARGETEMAIL", Asks::Nothing),
    ("EMAILATTACHMENT", Asks::Nothing),
    ("FILENAME", Asks::Text(Property::FileName)),
    ("HOSTNAME", Asks::Domain),
    ("DOMAIN", Asks::Domain),
    ("DOMAIN_IP", Asks::Domain),
    ("URL", Asks::Url),
    ("URI", Asks::Url),
    ("USERAGENT", Asks::Text(Property::UserAgent)),
    ("MD5", Asks::Text(Property::Md5)),
    ("MALWARESAMPLE", Asks::Nothing),
    ("FILENAME_MD5", Asks::Nothing),
    ("SHA1", Asks::Text(Property::Sha1)),
    ("FILENAME_SHA1", Asks::Nothing),
    ("SHA256", Asks::Text(Property::Sha256)),
    ("FILENAME_SHA256", Asks::Nothing),
    ("X509FINGERPRINTSHA1", Asks::Nothing),
    ("PDB", Asks::Nothing),
    ("AUTHENTIHASH", Asks::Nothing),
    ("SSDEEP", Asks::Nothing),
    ("IMPHASH", Asks::Nothing),
    ("PEHASH", Asks::Nothing),
    ("IMPFUZZY", Asks::Nothing),
    ("SHA224", Asks::Nothing),
    ("SHA384", Asks::Nothing),
    ("SHA512", Asks::Nothing),
    ("SHA512_224", Asks::Nothing),
    ("SHA512_256", Asks::Nothing),
    ("TLSH", Asks::Nothing),
    ("CDHASH", Asks::Nothing),
    ("FILENAME_AUTHENTIHASH", Asks::Nothing),
    ("FILENAME_SSDEEP", Asks::Nothing),
    ("FILENAME_IMPHASH", Asks::Nothing),
    ("FILENAME_PEHASH", Asks::Nothing),
    ("FILENAME_IMPFUZZY", Asks::Nothing),
    ("FILENAME_SHA224", Asks::Nothing),
    ("FILENAME_SHA384", Asks::Nothing),
    ("FILENAME_SHA512", Asks::Nothing),
    ("FILENAME_SHA512_224", Asks::Nothing),
    ("FILENAME_SHA512_256", Asks::Nothing),
    ("FILENAME_TLSH", Asks::Nothing),
];

#[derive(Deserialize)]
struct Intel<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    #[serde(borrow)]
    data: Data<'a>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
}

/// Ids arrive as strings; a sender that skipped the broker's normalisation may
/// use a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Number(i64),
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    indicator: Vec<Cow<'a, str>>,
    intel_type: u16,
}

/// Reads one indicator message.
///
/// # Errors
/// The text is no such message, or names a value that is not of its kind.
pub fn read(json: &str) -> Result<Message, Rejection> {
    let intel: Intel<'_> = serde_json::from_str(json)
        .map_err(|error| Rejection::without_id(format!("no legacy indicator: {error}")))?;
    let id: Arc<str> = match intel.id {
        Id::Text(text) => text.into(),
        Id::Number(number) => number.to_string().into(),
    };
    let adds = match &*intel.operation {
        "ADD" => true,
        "REMOVE" => false,
        other => {
            let reason = format!("operation is {other:?}, and can be ADD or REMOVE");
            return Err(Rejection::new(id, reason));
        }
    };
    if !adds {
        return Ok(Message::Withdraw(id));
    }
    let Some(&(name, asks)) = usize::from(intel.data.intel_type)
        .checked_sub(1)
        .and_then(|position| KINDS.get(position))
    else {
        let reason = format!(
            "intel_type is {}, and can be 1 to {}",
            intel.data.intel_type,
            KINDS.len()
        );
        return Err(Rejection::new(id, reason));
    };
    let Some(value) = intel.data.indicator.first() else {
        return Err(Rejection::new(id, "it names no value".to_owned()));
    };
    let observable = match asks {
        Asks::Nothing => {
            return Ok(Message::Unsupported {
                id,
                reason: format!("intel type {name} cannot be asked for"),
                replaces: false,
            });
        }
        Asks::Address => address(value),
        Asks::Domain => Some(Observable::domain(value)),
        Asks::Url => Some(Observable::Url(value.clone().into_owned())),
        Asks::Text(property) => Observable::text(property, value),
    };
    let Some(observable) = observable else {
        let what = match asks {
            Asks::Text(property) => property.facts().what,
            _ => "IPv4 or IPv6 address",
        };
        let reason = format!("{value:?} is no {what}");
        return Err(Rejection::new(id, reason));
    };
    let observables = observable.checked(&id)?;
    Ok(Message::Match {
        indicator: Indicator {
            id,
            protocol: Protocol::Legacy,
            observables: vec![observables],
            validity: Validity::ALWAYS,
            ioc: intel
                .data
                .indicator
                .iter()
                .map(|v| v.clone().into_owned())
                .collect(),
            // Legacy sightings carry the id alone.
            original: None,
            ticket: None,
        },
        replaces: false,
    })
}

/// An address or a network, as MISP writes both in the same attributes.
fn address(value: &str) -> Option<Observable> {
    match value.parse::<IpAddr>() {
        Ok(address) => Some(Observable::address(address)),
        Err(_) => Network::parse(value).map(Observable::network),
    }
}

#[derive(Serialize)]
struct Sighting<'a> {
    ts: String,
    intel: &'a str,
    reference: String,
    ioc: &'a [String],
    context: &'a RawValue,
}

/// Writes one sighting, without its topic.
///
/// The match type has no place in this format.
///
/// # Errors
/// The context is no JSON (a defect of the caller).
pub fn write(
    indicator: &Indicator,
    _match_type: MatchType,
    time: &EventTime,
    context: &Context<'_>,
) -> serde_json::Result<String> {
    let context = context.with_source("VAST")?;
    serde_json::to_string(&Sighting {
        ts: time.as_python(),
        intel: &indicator.id,
        reference: format!("threatbus__{}", indicator.id),
        ioc: &indicator.ioc,
        context: &context,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intel(value: &str, kind: u16, operation: &str) -> String {
        serde_json::json!({
            "ts": "2020-11-26 12:00:00", "id": "43",
            "data": {"indicator": [value], "intel_type": kind, "extra": {"a": 1}},
            "operation": operation, "extra": 1,
        })
        .to_string()
    }

    fn observable(value: &str, kind: u16) -> Observable {
        match read(&intel(value, kind, "ADD")).expect("an indicator") {
            Message::Match { mut indicator, .. } => {
                assert_eq!(&*indicator.id, "43");
                assert_eq!(indicator.ioc, [value]);
                indicator.observables.remove(0)
            }
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn kinds_become_observables() {
        let address = |text: &str| Observable::Address(text.parse().expect("an address"));
        assert_eq!(observable("6.6.0.1", 1), address("6.6.0.1"));
        assert_eq!(observable("::FFFF:6.6.0.1", 2), address("6.6.0.1"));
        assert_eq!(observable("2001:DB8::1", 2), address("2001:db8::1"));
        for kind in [10, 11, 12] {
            let domain = Observable::Domain("evil.example".into());
            assert_eq!(observable("evil.example.", kind), domain);
        }
        let hash = "D41D8CD98F00B204E9800998ECF8427E";
        let md5 = Observable::Text(Property::Md5, hash.to_lowercase());
        assert_eq!(observable(hash, 16), md5);
        assert!(matches!(
            observable("10.0.0.0/8", 1),
            Observable::Network(_)
        ));
        for kind in [13, 14] {
            assert_eq!(observable("/a?b=c", kind), Observable::Url("/a?b=c".into()));
        }
    }

    #[test]
    fn the_other_kinds_are_unsupported_by_name() {
        for (number, name) in [
            (3, "IPSRC_PORT"),
            (17, "MALWARESAMPLE"),
            (47, "FILENAME_TLSH"),
        ] {
            match read(&intel("x", number, "ADD")).expect("well-formed") {
                Message::Unsupported { reason, .. } => assert!(reason.contains(name), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn remove_needs_no_valid_value() {
        let message = read(&intel("999.1.1.1", 1, "REMOVE")).expect("well-formed");
        assert!(matches!(message, Message::Withdraw(id) if &*id == "43"));
    }

    #[test]
    fn bad_messages_are_rejected_with_the_reason() {
        for (json, words) in [
            ("[1, 2]".to_owned(), "no legacy indicator"),
            ("{}".to_owned(), "missing field"),
            (intel("999.1.1.1", 1, "ADD"), "no IPv4 or IPv6 address"),
            (
                intel("1.2.3.4 || true", 1, "ADD"),
                "no IPv4 or IPv6 address",
            ),
            (intel("--write=x.json", 2, "ADD"), "no IPv4 or IPv6 address"),
            (intel("abc", 16, "ADD"), "no MD5"),
            (intel("a", 0, "ADD"), "1 to 47"),
            (intel("a", 48, "ADD"), "1 to 47"),
            (intel("a", 11, "EDIT"), "ADD or REMOVE"),
            (intel("a\0b", 11, "ADD"), "NUL"),
            (intel("", 11, "ADD"), "empty"),
        ] {
            let rejection = read(&json).expect_err(&json);
            assert!(rejection.reason.contains(words), "{}", rejection.reason);
        }
    }

    #[test]
    fn numbers_are_ids_too() {
        let json = intel("a.example", 11, "ADD").replace("\"43\"", "77");
        match read(&json).expect("an indicator") {
            Message::Match { indicator, .. } => assert_eq!(&*indicator.id, "77"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sighting_is_what_the_broker_reads() {
        let Ok(Message::Match { indicator, .. }) = read(&intel("foobar.com", 11, "ADD")) else {
            panic!("an indicator");
        };
        let context =
            Context::new(r#"{"ts": "2020-09-04T11:21:13.663164","n":1.50}"#).expect("JSON");
        let time = EventTime::parse("2020-09-04T11:21:13.663164").expect("a time");
        let json = write(&indicator, MatchType::Retro, &time, &context).expect("JSON");
        assert_eq!(
            json,
            concat!(
                r#"{"ts":"2020-09-04 11:21:13.663164","intel":"43","reference":"threatbus__43","#,
                r#""ioc":["foobar.com"],"context":{"ts":"2020-09-04T11:21:13.663164","n":1.50,"#,
                r#""source":"VAST"}}"#
            )
        );
    }
}
