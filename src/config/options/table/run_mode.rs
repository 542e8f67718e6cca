//! Files instead of the bus and of VAST, and runs that end.

use crate::config::options::{ChoiceValue, Name, Opt, OptionKind, Section};
use crate::protocol::feed::FileFormat;

/// The options of this section.
pub const ROWS: &[Opt] = &[
    Opt {
        name: Name::Anywhere("indicators"),
        short: None,
        value_name: "FILE...",
        kind: OptionKind::Files(|settings| &mut settings.indicators),
        default: None,
        sample: Some("/srv/feeds/indicators.jsonl"),
        section: Section::RunMode,
        short_help: "read indicators from files and not from the bus; - = standard input",
        long_help: "Lists, hosts files, CSV, Zeek intel files, STIX, MISP, OTX, ThreatFox and \
                    URLhaus JSON, and Intel objects, plain or compressed (gzip, Zstandard); the \
                    format of each file is detected. A folder is read whole, one of a MISP feed by \
                    its manifest. The run ends when all are matched, and sightings go to \
                    standard output unless a sink is named. With --follow, files that change are \
                    read again.",
    },
    Opt {
        name: Name::Anywhere("indicators-format"),
        short: None,
        value_name: "FORMAT",
        kind: OptionKind::Choice(&[
            ChoiceValue {
                name: "auto",
                help: "detected from the content",
                set: |settings| settings.indicators_format = None,
            },
            ChoiceValue {
                name: "list",
                help: "one value a line",
                set: |settings| settings.indicators_format = Some(FileFormat::List),
            },
            ChoiceValue {
                name: "hosts",
                help: "a hosts file that blocks names",
                set: |settings| settings.indicators_format = Some(FileFormat::Hosts),
            },
            ChoiceValue {
                name: "csv",
                help: "comma-separated values",
                set: |settings| settings.indicators_format = Some(FileFormat::Csv),
            },
            ChoiceValue {
                name: "zeek-intel",
                help: "a file of Zeek's Intel framework",
                set: |settings| settings.indicators_format = Some(FileFormat::ZeekIntel),
            },
            ChoiceValue {
                name: "stix",
                help: "STIX 2.0 or 2.1, in any wrapping",
                set: |settings| settings.indicators_format = Some(FileFormat::Json),
            },
            ChoiceValue {
                name: "misp",
                help: "MISP events, attributes and objects",
                set: |settings| settings.indicators_format = Some(FileFormat::Json),
            },
            ChoiceValue {
                name: "otx",
                help: "pulses of OTX",
                set: |settings| settings.indicators_format = Some(FileFormat::Json),
            },
            ChoiceValue {
                name: "threatfox",
                help: "ThreatFox in JSON",
                set: |settings| settings.indicators_format = Some(FileFormat::Json),
            },
            ChoiceValue {
                name: "urlhaus",
                help: "URLhaus in JSON",
                set: |settings| settings.indicators_format = Some(FileFormat::Json),
            },
            ChoiceValue {
                name: "intel",
                help: "Intel objects of Threat Bus up to 2020.12",
                set: |settings| settings.indicators_format = Some(FileFormat::Json),
            },
        ]),
        default: Some("auto"),
        sample: None,
        section: Section::RunMode,
        short_help: "the format of the --indicators files, if it is detected wrongly",
        long_help: "",
    },
    Opt {
        name: Name::Anywhere("indicators-column"),
        short: None,
        value_name: "COLUMN",
        kind: OptionKind::Text(|settings, value| settings.indicators_column = value),
        default: None,
        sample: Some("url"),
        section: Section::RunMode,
        short_help: "the column of a CSV file that holds the indicators, by name or number",
        long_help: "Columns are numbered from 1. It is not needed if the header has a known \
                    name.",
    },
    Opt {
        name: Name::Anywhere("events"),
        short: None,
        value_name: "FILE...",
        kind: OptionKind::Files(|settings| &mut settings.events),
        default: None,
        sample: Some("/var/log/suricata/eve.json"),
        section: Section::RunMode,
        short_help: "search log files and not VAST; - = standard input",
        long_help: "With --vast as well, both are searched. Suricata EVE and Zeek logs as JSON \
                    lines, JSON arrays and Zeek's own tables, plain or compressed (gzip, \
                    Zstandard); of a folder, the logs in it. Each batch of indicators from the \
                    bus is searched in all files; with --once all indicators together, when no \
                    more come.",
    },
    Opt {
        name: Name::Anywhere("follow"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.follow = value),
        default: Some("false"),
        sample: None,
        section: Section::RunMode,
        short_help: "stay at the end of the --events files, through rotation",
        long_help: "This is live matching without VAST. With --indicators, what the files \
                    already hold is matched first; with the bus, only what is added to them.",
    },
    Opt {
        name: Name::Anywhere("once"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.once = value),
        default: Some("false"),
        sample: None,
        section: Section::RunMode,
        short_help: "end when everything that arrives is matched and reported",
        long_help: "The bus never says that a snapshot is complete, so the run ends when no \
                    indicator came for --idle seconds and no query waits or runs. The status is \
                    75 if something could not be matched.",
    },
    Opt {
        name: Name::Anywhere("idle"),
        short: None,
        value_name: "SECS",
        kind: OptionKind::Seconds(0, |settings, value| settings.idle = value),
        default: Some("10"),
        sample: None,
        section: Section::RunMode,
        short_help: "let --once end the run when no indicator came for SECS seconds",
        long_help: "",
    },
    Opt {
        name: Name::Anywhere("deadline"),
        short: None,
        value_name: "SECS",
        kind: OptionKind::Seconds(0, |settings, value| settings.deadline = value),
        default: Some("0"),
        sample: None,
        section: Section::RunMode,
        short_help: "end the run after SECS seconds in any case, with status 75; 0 = never",
        long_help: "What is found until then is reported, and what is unfinished is counted.",
    },
    Opt {
        name: Name::Anywhere("summary-file"),
        short: None,
        value_name: "FILE...",
        kind: OptionKind::Files(|settings| &mut settings.summary_files),
        default: None,
        sample: Some("/srv/reports/sightings.html"),
        section: Section::RunMode,
        short_help: "write what was found into files at the end: .json, .csv or .html",
        long_help: "Each indicator with its kind and feed, the number of sightings, the first \
                    and the last, and the three hosts with the most of them. The page has a \
                    time line and a table that can be sorted, and loads nothing. Files have mode \
                    0600. A run that ends prints the first twenty as a table, on a terminal.",
    },
    Opt {
        name: Name::Anywhere("exit-code"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.exit_code = value),
        default: Some("false"),
        sample: None,
        section: Section::RunMode,
        short_help: "end with status 3 if nothing matched",
        long_help: "As with grep: 0 = there were matches. It is for runs that end.",
    },
    Opt {
        name: Name::FlagOnly("explain"),
        short: None,
        value_name: "FILE",
        kind: OptionKind::File(|settings, value| settings.explain = value),
        default: None,
        sample: None,
        section: Section::RunMode,
        short_help: "print the queries of each indicator of a file, and run none",
        long_help: "The file is one as for --indicators; - = standard input. Each indicator is \
                    one line of JSON with its plan: batch (its values go into the lists of a \
                    query), superset (the same, and the whole is checked in each event), single \
                    (its own query, or every event), several (events that are joined here, each \
                    with its own plan), inactive or unsupported, with the reason, the kinds of \
                    fields that are searched, and what is left out of it. The queries are those \
                    of --engine (VAST's if the program would decide) and of --match, as far as \
                    they are known without a node: Tenzir's name the fields of Suricata's and \
                    Zeek's events.",
    },
    Opt {
        name: Name::FlagOnly("summary"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.summary = value),
        default: Some("false"),
        sample: None,
        section: Section::RunMode,
        short_help: "with --explain, count the indicators by plan and reason on standard error",
        long_help: "",
    },
];
