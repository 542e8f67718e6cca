//! What the program reports about itself.

use crate::config::Format;
use crate::config::options::{ChoiceValue, Name, Opt, OptionKind, Section};

/// The options of this section.
pub const ROWS: &[Opt] = &[
    Opt {
        name: Name::Anywhere("loglevel"),
        short: Some('l'),
        value_name: "LEVEL",
        kind: OptionKind::LogLevel(|settings, value| settings.console_verbosity = value),
        default: Some("info"),
        sample: None,
        section: Section::Logging,
        short_help: "how much to log to standard error; NOTSET = everything",
        long_help: "On the command line it also overrides logging.console_verbosity. WARN is \
                    another name of WARNING. NOTSET is the same as DEBUG, and CRITICAL as ERROR: \
                    failures are always logged, unless logging.console is false.",
    },
    Opt {
        name: Name::Anywhere("log-format"),
        short: None,
        value_name: "FORMAT",
        kind: OptionKind::Choice(&[
            ChoiceValue {
                name: "text",
                help: "time, level and message",
                set: |settings| settings.log_format = Format::Text,
            },
            ChoiceValue {
                name: "json",
                help: "a JSON object (time, level, thread, message)",
                set: |settings| settings.log_format = Format::Json,
            },
        ]),
        default: Some("text"),
        sample: None,
        section: Section::Logging,
        short_help: "the format of a line of the log",
        long_help: "It is used for standard error and for a log file. A warning or an error that \
                    is repeated within a minute is written three times. At the end of the minute \
                    one line says how often it came after that.",
    },
    Opt {
        name: Name::KeyOnly("logging.console"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.log_to_console = value),
        default: Some("true"),
        sample: None,
        section: Section::Logging,
        short_help: "log to standard error",
        long_help: "",
    },
    Opt {
        name: Name::KeyOnly("logging.console_verbosity"),
        short: None,
        value_name: "LEVEL",
        kind: OptionKind::LogLevel(|settings, value| settings.console_verbosity = value),
        default: None,
        sample: Some("info"),
        section: Section::Logging,
        short_help: "how much to log to standard error; the same as loglevel",
        long_help: "If a file has both, this one counts.",
    },
    Opt {
        name: Name::KeyOnly("logging.file"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.log_to_file = value),
        default: Some("false"),
        sample: None,
        section: Section::Logging,
        short_help: "log to a file",
        long_help: "",
    },
    Opt {
        name: Name::KeyOnly("logging.file_verbosity"),
        short: None,
        value_name: "LEVEL",
        kind: OptionKind::LogLevel(|settings, value| settings.file_verbosity = value),
        default: Some("info"),
        sample: None,
        section: Section::Logging,
        short_help: "how much to log to the file",
        long_help: "",
    },
    Opt {
        name: Name::KeyOnly("logging.filename"),
        short: None,
        value_name: "FILE",
        kind: OptionKind::File(|settings, value| settings.log_file = value),
        default: Some("vast-threatbus.log"),
        sample: None,
        section: Section::Logging,
        short_help: "the file to append the log to",
        long_help: "If the file is moved away, as by logrotate, it is opened again.",
    },
    Opt {
        name: Name::KeyOnly("metrics.interval"),
        short: None,
        value_name: "SECS",
        kind: OptionKind::Seconds(0, |settings, value| settings.metrics_interval = value),
        default: Some("10"),
        sample: None,
        section: Section::Logging,
        short_help: "the time between two lines of metrics in seconds; 0 = no metrics at all",
        long_help: "",
    },
    Opt {
        name: Name::KeyOnly("metrics.filename"),
        short: None,
        value_name: "FILE",
        kind: OptionKind::File(|settings, value| settings.metrics_file = value),
        default: None,
        sample: Some("metrics.log"),
        section: Section::Logging,
        short_help: "the file to append metrics to",
        long_help: "One line for each interval in which something was counted, in the line \
                    protocol of InfluxDB, with the names of the original and this program's own.",
    },
    Opt {
        name: Name::Anywhere("metrics-prometheus"),
        short: None,
        value_name: "FILE",
        kind: OptionKind::File(|settings, value| settings.metrics_prometheus = value),
        default: None,
        sample: Some("/var/lib/prometheus/node-exporter/vast-threatbus.prom"),
        section: Section::Logging,
        short_help: "a file with the current metrics, for Prometheus",
        long_help: "It is replaced every metrics.interval seconds, for the textfile collector of \
                    node_exporter, and removed after a clean end; its directory must be writable.",
    },
    Opt {
        name: Name::Anywhere("sensor-name"),
        short: None,
        value_name: "NAME",
        kind: OptionKind::Text(|settings, value| settings.sensor_name = value),
        default: None,
        sample: Some("sensor-1"),
        section: Section::Logging,
        short_help: "the name of this bridge, if there are several",
        long_help: "It is the `bridge` of the metrics, and the sensor in sightings. Without it, \
                    metrics have the name of the host and of the configuration file, and \
                    sightings have no such name.",
    },
];
