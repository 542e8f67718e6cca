//! What to connect to: engines and the bus.

use crate::config::ProtocolChoice;
use crate::config::options::{ChoiceValue, Name, Opt, OptionKind, Section};

/// The options of this section.
pub const ROWS: &[Opt] = &[
    Opt {
        name: Name::Anywhere("engine"),
        short: None,
        value_name: "ENGINE",
        kind: OptionKind::Engine(|settings, value| settings.engine = value),
        default: Some("auto"),
        sample: None,
        section: Section::Connection,
        short_help: "where indicators are searched",
        long_help: "The program is that of --vast-binary (--engine-binary), and its version says \
                    which engine it is.",
    },
    Opt {
        name: Name::Anywhere("vast"),
        short: Some('v'),
        value_name: "EP",
        kind: OptionKind::Engines(|settings| &mut settings.nodes),
        default: Some("localhost:42000"),
        sample: None,
        section: Section::Connection,
        short_help: "where VAST listens, HOST:PORT; repeat it for several",
        long_help: "An IPv6 address is written in brackets: [::1]:42000. The default for Tenzir \
                    is localhost:5158. Each engine is queried by itself, and can be written \
                    [NAME=][SCHEME://]HOST:PORT. The scheme, vast or tenzir, says what listens \
                    there, instead of --engine. The name is used in sightings, logs and metrics, \
                    instead of host and port. In a file, several are a list; in a variable, commas \
                    separate them. Those of the command line replace those of the file, and \
                    can be combined with --events.",
    },
    Opt {
        name: Name::Anywhere("engine-endpoint"),
        short: None,
        value_name: "EP",
        kind: OptionKind::Engines(|settings| &mut settings.nodes),
        default: None,
        sample: Some("localhost:5158"),
        section: Section::Connection,
        short_help: "another name of --vast",
        long_help: "",
    },
    Opt {
        name: Name::Anywhere("vast-binary"),
        short: Some('b'),
        value_name: "PROGRAM",
        kind: OptionKind::Program(|settings, value| settings.vast_binary = value),
        default: Some("vast"),
        sample: None,
        section: Section::Connection,
        short_help: "the program that queries VAST",
        long_help: "A name is searched in PATH; a path is used as it is. The default for \
                    --engine tenzir is `tenzir`.",
    },
    Opt {
        name: Name::Anywhere("engine-binary"),
        short: None,
        value_name: "PROGRAM",
        kind: OptionKind::Program(|settings, value| settings.vast_binary = value),
        default: None,
        sample: Some("tenzir"),
        section: Section::Connection,
        short_help: "another name of --vast-binary",
        long_help: "",
    },
    Opt {
        name: Name::Anywhere("tenzir-binary"),
        short: None,
        value_name: "PROGRAM",
        kind: OptionKind::Program(|settings, value| settings.tenzir_binary = Some(value)),
        default: None,
        sample: Some("/opt/tenzir/bin/tenzir"),
        section: Section::Connection,
        short_help: "the program that queries nodes of Tenzir",
        long_help: "The default for tenzir://HOST:PORT is `tenzir`. vast://HOST:PORT is queried \
                    with --vast-binary.",
    },
    Opt {
        name: Name::Anywhere("threatbus"),
        short: Some('t'),
        value_name: "EP",
        kind: OptionKind::Endpoint(|settings, value| settings.threatbus = Some(value)),
        default: Some("localhost:13370"),
        sample: None,
        section: Section::Connection,
        short_help: "the management endpoint of Threat Bus, HOST:PORT",
        long_help: "It is the `manage` address of the zmq plugin of the broker.",
    },
    Opt {
        name: Name::Anywhere("protocol"),
        short: None,
        value_name: "PROTOCOL",
        kind: OptionKind::Choice(&[
            ChoiceValue {
                name: "auto",
                help: "what the broker says",
                set: |settings| settings.protocol = ProtocolChoice::Auto,
            },
            ChoiceValue {
                name: "legacy",
                help: "JSON messages, Threat Bus up to 2020.12",
                set: |settings| settings.protocol = ProtocolChoice::Legacy,
            },
            ChoiceValue {
                name: "stix2",
                help: "STIX-2 messages, Threat Bus from 2021.2 on",
                set: |settings| settings.protocol = ProtocolChoice::Stix2,
            },
        ]),
        default: Some("auto"),
        sample: None,
        section: Section::Connection,
        short_help: "the messages that the broker uses",
        long_help: "A message of the other generation is understood too, and answered in its own \
                    generation.",
    },
    Opt {
        name: Name::Anywhere("connect-timeout"),
        short: None,
        value_name: "SECS",
        kind: OptionKind::Seconds(0, |settings, value| settings.connect_timeout = value),
        default: Some("30"),
        sample: None,
        section: Section::Connection,
        short_help: "how long to try to reach VAST and the bus at start; 0 = for ever",
        long_help: "Both are tried with growing pauses. After this time the program ends with \
                    status 69. A connection that is lost later is tried again for ever. Of \
                    several engines, one has to answer in this time. The others are tried for \
                    ever; in a run that ends, they are given up after this time.",
    },
    Opt {
        name: Name::Anywhere("snapshot"),
        short: Some('s'),
        value_name: "DAYS",
        kind: OptionKind::Whole(0, 3650, |settings, value| settings.snapshot_days = value),
        default: Some("0"),
        sample: None,
        section: Section::Connection,
        short_help: "request the indicators of the last DAYS days from the bus",
        long_help: "After a lost connection, the indicators of that gap are requested too. With \
                    0 only new indicators come.",
    },
];
