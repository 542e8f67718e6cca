//! The `Intel` and `Sighting` messages of Threat Bus up to 2020.12.16.
//!
//! An indicator is `{"ts": …, "id": "43", "data": {"indicator": ["6.6.0.1"],
//! "intel_type": 2}, "operation": "ADD"}`; the kinds are numbers from 1 to 47
//! (Threat Bus, `threatbus.data.IntelType`).

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::indicator::{Indicator, Message, Protocol, Rejection};
use crate::matching::condition::{Condition, Field, TestedPlace};
use crate::observable::EventTime;
use crate::observable::{NotAValue, Observable, Property, refang};
use crate::protocol::{Context, Facts, facts, json_fault};

/// The topic that indicators are published on.
pub const INTEL_TOPIC: &str = "threatbus/intel";
/// The topic that sightings are published on.
pub const SIGHTING_TOPIC: &str = "threatbus/sighting";
/// The suffix of the program's own topic for messages with an indicator.
pub const INTEL_SUFFIX: &str = "intel";

/// What a kind of intel searches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SearchedFor {
    Address,
    Domain,
    Url,
    Text(Property),
    /// An address and a port of the same end of a connection.
    AddressPort(EndFields),
    /// A domain and an address that it once had: only the domain.
    DomainAddress,
    /// A file with this name and this hash.
    FileHash(Property),
    Nothing,
}

/// One end of a connection: its address and its port.
type EndFields = (TestedPlace, Field);

const SOURCE: EndFields = (TestedPlace::Source, Field::SourcePort);
const DESTINATION: EndFields = (TestedPlace::Destination, Field::DestinationPort);

/// Every `IntelType`: its name, and what it searches for. The number is the position plus
/// one.
const KINDS: [(&str, SearchedFor); 47] = [
    ("IPSRC", SearchedFor::Address),
    ("IPDST", SearchedFor::Address),
    ("IPSRC_PORT", SearchedFor::AddressPort(SOURCE)),
    ("IPDST_PORT", SearchedFor::AddressPort(DESTINATION)),
    ("EMAILSRC", SearchedFor::Text(Property::Email)),
    ("EMAILDST", SearchedFor::Text(Property::EmailRecipient)),
    ("TARGETEMAIL", SearchedFor::Nothing),
    ("EMAILATTACHMENT", SearchedFor::Text(Property::FileName)),
    ("FILENAME", SearchedFor::Text(Property::FileName)),
    ("HOSTNAME", SearchedFor::Domain),
    ("DOMAIN", SearchedFor::Domain),
    ("DOMAIN_IP", SearchedFor::DomainAddress),
    ("URL", SearchedFor::Url),
    ("URI", SearchedFor::Url),
    ("USERAGENT", SearchedFor::Text(Property::UserAgent)),
    ("MD5", SearchedFor::Text(Property::Md5)),
    ("MALWARESAMPLE", SearchedFor::FileHash(Property::Md5)),
    ("FILENAME_MD5", SearchedFor::FileHash(Property::Md5)),
    ("SHA1", SearchedFor::Text(Property::Sha1)),
    ("FILENAME_SHA1", SearchedFor::FileHash(Property::Sha1)),
    ("SHA256", SearchedFor::Text(Property::Sha256)),
    ("FILENAME_SHA256", SearchedFor::FileHash(Property::Sha256)),
    (
        "X509FINGERPRINTSHA1",
        SearchedFor::Text(Property::CertificateSha1),
    ),
    ("PDB", SearchedFor::Nothing),
    ("AUTHENTIHASH", SearchedFor::Nothing),
    ("SSDEEP", SearchedFor::Nothing),
    ("IMPHASH", SearchedFor::Nothing),
    ("PEHASH", SearchedFor::Nothing),
    ("IMPFUZZY", SearchedFor::Nothing),
    ("SHA224", SearchedFor::Nothing),
    ("SHA384", SearchedFor::Nothing),
    ("SHA512", SearchedFor::Text(Property::Sha512)),
    ("SHA512_224", SearchedFor::Nothing),
    ("SHA512_256", SearchedFor::Nothing),
    ("TLSH", SearchedFor::Nothing),
    ("CDHASH", SearchedFor::Nothing),
    ("FILENAME_AUTHENTIHASH", SearchedFor::Nothing),
    ("FILENAME_SSDEEP", SearchedFor::Nothing),
    ("FILENAME_IMPHASH", SearchedFor::Nothing),
    ("FILENAME_PEHASH", SearchedFor::Nothing),
    ("FILENAME_IMPFUZZY", SearchedFor::Nothing),
    ("FILENAME_SHA224", SearchedFor::Nothing),
    ("FILENAME_SHA384", SearchedFor::Nothing),
    ("FILENAME_SHA512", SearchedFor::FileHash(Property::Sha512)),
    ("FILENAME_SHA512_224", SearchedFor::Nothing),
    ("FILENAME_SHA512_256", SearchedFor::Nothing),
    ("FILENAME_TLSH", SearchedFor::Nothing),
];

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Intel<'a> {
    #[serde(borrow)]
    id: LegacyId<'a>,
    #[serde(borrow)]
    data: Data<'a>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
}

/// Ids arrive as strings. A sender that bypasses the broker's normalisation may use a
/// number.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "its `id` is neither a string nor a whole number"
)]
enum LegacyId<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Number(i64),
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Data<'a> {
    #[serde(borrow)]
    indicator: Vec<Cow<'a, str>>,
    intel_type: u16,
}

/// The shape of a message, for errors.
const ACCEPTED: &str = "it has `id`, `operation` (ADD or REMOVE), and `data` with `indicator` (a \
     list of strings) and `intel_type` (1 to 47)";

/// Reads an indicator message.
///
/// # Errors
/// The text is not such a message, or a value is not of its kind.
pub fn read(json: &str) -> Result<Message, Rejection> {
    let intel: Intel<'_> = serde_json::from_str(json).map_err(|error| {
        let fault = json_fault(&error);
        Rejection::without_id(format!("no legacy indicator: {fault}; {ACCEPTED}"))
    })?;
    let id: Arc<str> = match intel.id {
        LegacyId::Text(text) => text.into(),
        LegacyId::Number(number) => number.to_string().into(),
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
    let Some(&(name, searched_for)) = usize::from(intel.data.intel_type)
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
    if intel.data.indicator.is_empty() {
        return Err(Rejection::new(id, "it names no value".to_owned()));
    }
    if searched_for == SearchedFor::Nothing {
        return Ok(Message::Unsupported {
            protocol: Protocol::Legacy,
            id,
            ioc: intel.data.indicator.join("|"),
            reason: format!("intel type {name} cannot be searched"),
            modified: None,
            replaces: false,
        });
    }
    let meaning = meaning(searched_for, &intel.data.indicator)
        .map_err(|reason| Rejection::new(id.clone(), reason))?;
    let observable = meaning
        .observable
        .checked()
        .map_err(|reason| Rejection::new(id.clone(), reason))?;
    Ok(Message::Match {
        indicator: Indicator {
            condition: meaning.condition.map(Arc::new),
            ioc: intel
                .data
                .indicator
                .iter()
                .map(|value| refang(value).into_owned())
                .collect(),
            // Legacy sightings only carry the id.
            ..Indicator::new(id, Protocol::Legacy, vec![observable])
        },
        replaces: false,
        left_out: vec![],
    })
}

/// What an indicator searches for.
#[derive(Debug, PartialEq)]
struct LegacyMeaning {
    observable: Observable,
    /// What else must hold for an event with it.
    condition: Option<Condition>,
}

/// The meaning of these values; the error is human-readable.
fn meaning(searched_for: SearchedFor, values: &[Cow<'_, str>]) -> Result<LegacyMeaning, String> {
    let first = &*values[0];
    let simple = |found: Result<Observable, NotAValue>| {
        let observable = found.map_err(|error| error.to_string())?;
        Ok(LegacyMeaning {
            observable,
            condition: None,
        })
    };
    match searched_for {
        SearchedFor::Address => simple(Observable::of_address(first)),
        SearchedFor::Domain => simple(Observable::of_domain(first)),
        SearchedFor::Url => simple(Observable::of_url(first)),
        SearchedFor::Text(property) => simple(Observable::text(property, first)),
        SearchedFor::AddressPort(end) => address_and_port(end, two(values)?),
        SearchedFor::DomainAddress => {
            // Addresses change, and most events with a domain have no address of it: an
            // event that needs both would be missed too often.
            let domain = two(values).map_or(first, |(domain, _)| domain);
            simple(Observable::of_domain(domain))
        }
        SearchedFor::FileHash(property) => file_and_hash(property, two(values)?),
        SearchedFor::Nothing => Err("it cannot be searched".to_owned()),
    }
}

/// The two parts of a composite: two values, or one with `|` between them, as in MISP.
fn two<'a>(values: &'a [Cow<'_, str>]) -> Result<(&'a str, &'a str), String> {
    match values {
        [one] => one
            .split_once('|')
            .ok_or_else(|| format!("{one:?} has one part, not two with | between them")),
        [one, two] => Ok((one, two)),
        more => Err(format!("it has {} values, and can have 2", more.len())),
    }
}

fn address_and_port(end: EndFields, (value, port): (&str, &str)) -> Result<LegacyMeaning, String> {
    let observable = Observable::of_address(value).map_err(|error| error.to_string())?;
    let number: u16 = port
        .parse()
        .map_err(|_| format!("{port:?} is no port number"))?;
    let condition = Condition::address_at_port(&observable, end, number);
    Ok(LegacyMeaning {
        condition: Some(condition),
        observable,
    })
}

/// Searches for the hash, which is more specific. A logged name may have a path before
/// it, and an event without a name does not contradict it.
fn file_and_hash(property: Property, (name, hash): (&str, &str)) -> Result<LegacyMeaning, String> {
    let what = property.facts().what;
    let observable =
        Observable::text(property, hash).map_err(|_| format!("{hash:?} is no {what}"))?;
    let condition = Condition::file_with_hash_named(&observable, name)
        .ok_or_else(|| format!("{name:?} is no file name"))?;
    Ok(LegacyMeaning {
        observable,
        condition: Some(condition),
    })
}

#[derive(Serialize)]
struct LegacySighting<'a> {
    ts: String,
    intel: &'a str,
    reference: String,
    ioc: &'a [String],
    context: &'a RawValue,
}

/// Writes one sighting, without its topic.
///
/// This format has no field for the match type.
///
/// # Errors
/// The context is not JSON (a defect of the caller).
pub fn write(
    indicator: &Indicator,
    facts: &Facts,
    context: &Context<'_>,
) -> serde_json::Result<String> {
    let time = facts.time.unwrap_or_else(EventTime::now);
    let source = match &facts.sensor {
        Some(sensor) => serde_json::to_string(&*sensor.name)?,
        None => "\"VAST\"".to_owned(),
    };
    let context = facts::with_counts(context, facts)?.with_member("source", &source)?;
    serde_json::to_string(&LegacySighting {
        ts: time.as_python(),
        intel: &indicator.id,
        reference: format!("threatbus__{}", indicator.id),
        ioc: &indicator.ioc,
        context: serde_json::from_str(context.as_str())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::Fields;
    use crate::matching::condition::LazyEvent;
    use crate::protocol::MatchType;

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
        let md5 = Observable::Text(Property::Md5, hash.to_lowercase().into());
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
        for (number, name) in [(7, "TARGETEMAIL"), (26, "SSDEEP"), (47, "FILENAME_TLSH")] {
            match read(&intel("x", number, "ADD")).expect("well-formed") {
                Message::Unsupported { reason, .. } => assert!(reason.contains(name), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
    }

    fn composite(values: &[&str], kind: u16) -> Result<Indicator, String> {
        let json = serde_json::json!({
            "id": "43", "data": {"indicator": values, "intel_type": kind}, "operation": "ADD",
        });
        match read(&json.to_string()) {
            Ok(Message::Match { indicator, .. }) => Ok(indicator),
            Ok(other) => panic!("{other:?}"),
            Err(rejection) => Err(rejection.reason),
        }
    }

    #[test]
    fn composites_need_both_parts_in_one_event() {
        let hash = "70041821acf87389e40ddcb092004184";
        let file = format!("b.exe|{hash}");
        for (values, kind, line, expected) in [
            (
                vec![&*file],
                18,
                r#"{"fileinfo.md5": "70041821acf87389e40ddcb092004184",
                    "fileinfo.filename": "/a/b.exe"}"#,
                true,
            ),
            (
                vec![&*file],
                18,
                r#"{"fileinfo.md5": "70041821acf87389e40ddcb092004184"}"#,
                true,
            ),
            (
                vec![&*file],
                18,
                r#"{"fileinfo.filename": "/a/b.exe"}"#,
                false,
            ),
            (
                vec!["b.exe", hash],
                17,
                r#"{"fileinfo.md5": "70041821acf87389e40ddcb092004184",
                    "fileinfo.filename": "c.exe"}"#,
                false,
            ),
            (
                vec!["192.0.2.1|80"],
                4,
                r#"{"dest_ip": "192.0.2.1", "dest_port": 80}"#,
                true,
            ),
            (
                vec!["192.0.2.1|80"],
                4,
                r#"{"dest_ip": "192.0.2.1", "dest_port": 81}"#,
                false,
            ),
            (
                vec!["192.0.2.1|80"],
                3,
                r#"{"dest_ip": "192.0.2.1", "dest_port": 80}"#,
                false,
            ),
            (
                vec!["a.example|192.0.2.1"],
                12,
                r#"{"query": "a.example"}"#,
                true,
            ),
            (vec!["a.example"], 12, "{}", true),
        ] {
            let indicator = composite(&values, kind).expect("an indicator");
            assert_eq!(
                indicator.condition_holds(&LazyEvent::new(line, Fields::Named, true)),
                expected,
                "{values:?} {kind} {line}"
            );
        }
        for values in [&["a.example|192.0.2.1"][..], &["a.example.", "192.0.2.1"]] {
            let domain = composite(values, 12).expect("an indicator");
            assert_eq!(domain.observables, [Observable::domain("a.example")]);
        }
        let file = composite(&["b.exe", hash], 18).expect("an indicator");
        assert_eq!(
            file.observables,
            [Observable::Text(Property::Md5, hash.into())]
        );
        for (values, kind, words) in [
            (vec!["b.exe"], 18, "one part"),
            (vec!["b.exe|x"], 20, "no SHA-1"),
            (vec!["192.0.2.1|x"], 3, "no port"),
            (vec!["x|80"], 4, "no IPv4"),
            (vec!["a", "b", "c"], 18, "3 values"),
        ] {
            let reason = composite(&values, kind).expect_err("it is not a composite");
            assert!(reason.contains(words), "{reason}");
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
            (
                "[1, 2]".to_owned(),
                "no legacy indicator: invalid type: integer `2`, expected an object; it has `id`",
            ),
            ("7".to_owned(), "integer `7`, expected an object; it has"),
            (
                "{}".to_owned(),
                "missing field `id`; it has `id`, `operation`",
            ),
            (
                intel("a", 11, "ADD").replace("\"43\"", "4.5"),
                "its `id` is neither a string nor a whole number; it has",
            ),
            (
                r#"{"id": "1", "data": "a", "operation": "ADD"}"#.to_owned(),
                "string \"a\", expected an object; it has",
            ),
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
            (intel("a\0b", 11, "ADD"), "no domain name"),
            (intel("", 11, "ADD"), "no domain name"),
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
        let json = write(&indicator, &Facts::at(MatchType::Retro, time), &context).expect("JSON");
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
