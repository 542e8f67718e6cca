//! Help, version, configuration file, and hidden options.

use crate::config::options::{Action, Name, Opt, OptionKind, Section};

/// The options of this section.
pub const ROWS: &[Opt] = &[
    Opt {
        name: Name::FlagOnly("config"),
        short: Some('c'),
        value_name: "FILE",
        kind: OptionKind::File(|settings, value| settings.config_file = value),
        default: None,
        sample: None,
        section: Section::General,
        short_help: "read this configuration file, or the files of this folder",
        long_help: "In a folder, every *.yaml is read, in the order of their names; if two set \
                    the same key, the later one counts. None may be writable by others. \
                    Without this option, the first of ./config.yaml, ./config.yml and \
                    /etc/vast-threatbus/config.yaml that exists is read.",
    },
    Opt {
        name: Name::FlagOnly("migrate"),
        short: None,
        value_name: "FILE",
        kind: OptionKind::File(|settings, value| settings.migrate = value),
        default: None,
        sample: None,
        section: Section::General,
        short_help: "convert the original's configuration file, and print it",
        long_help: "Each change has a comment. If a key is left out, the default of the releases \
                    of 2022 is added (retro_match: true, snapshot: 30); keys that they ignored \
                    become comments. A file of 2020 is printed as it is.",
    },
    Opt {
        name: Name::FlagOnly("check"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.check = value),
        default: Some("false"),
        sample: None,
        section: Section::General,
        short_help: "check whether everything is there, print a table, and end",
        long_help: "It reads the configuration, queries the engine and the bus, subscribes and \
                    unsubscribes. The status is that of the worst finding: 0, 1 for a warning, \
                    69 if something is missing.",
    },
    Opt {
        name: Name::FlagOnly("help"),
        short: Some('h'),
        value_name: "",
        kind: OptionKind::Action(Action::Help),
        default: None,
        sample: None,
        section: Section::General,
        short_help: "print help: short with -h, long with --help",
        long_help: "",
    },
    Opt {
        name: Name::FlagOnly("version"),
        short: Some('V'),
        value_name: "",
        kind: OptionKind::Action(Action::Version),
        default: None,
        sample: None,
        section: Section::General,
        short_help: "print the version",
        long_help: "",
    },
    Opt {
        name: Name::FlagOnly("generate"),
        short: None,
        value_name: "TEXT",
        kind: OptionKind::Action(Action::Generate),
        default: None,
        sample: None,
        section: Section::Hidden,
        short_help: "print a text that is made from the table of options",
        long_help: "",
    },
];
