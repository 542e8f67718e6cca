//! What is matched, and how.

use crate::config::LiveEngine;
use crate::config::options::{ChoiceValue, Name, Opt, OptionKind, Section};
use crate::matching::Mode;

/// The options of this section.
pub const ROWS: &[Opt] = &[
    Opt {
        name: Name::Anywhere("retro-match"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.retro_match = value),
        default: Some("false"),
        sample: None,
        section: Section::Matching,
        short_help: "search the events that VAST has stored",
        long_help: "An event matches if it contains what the indicator names; --match says how \
                    far that goes.",
    },
    Opt {
        name: Name::Anywhere("live-match"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.live_match = value),
        default: Some("false"),
        sample: None,
        section: Section::Matching,
        short_help: "search events as they are imported",
        long_help: "This is the default if neither kind of matching is given. With --retro-match \
                    as well, each indicator is searched both ways.",
    },
    Opt {
        name: Name::Anywhere("live-engine"),
        short: None,
        value_name: "ENGINE",
        kind: OptionKind::Choice(&[
            ChoiceValue {
                name: "auto",
                help: "what this VAST supports: it is queried once",
                set: |settings| settings.live_engine = LiveEngine::Auto,
            },
            ChoiceValue {
                name: "attach",
                help: "a matcher that the node runs, VAST 2021.08 to 3.x",
                set: |settings| settings.live_engine = LiveEngine::Attach,
            },
            ChoiceValue {
                name: "start",
                help: "a matcher of this program's own, VAST 2020 with the plugin",
                set: |settings| settings.live_engine = LiveEngine::Start,
            },
            ChoiceValue {
                name: "continuous",
                help: "any engine: all new events are exported and matched here",
                set: |settings| settings.live_engine = LiveEngine::Continuous,
            },
        ]),
        default: Some("auto"),
        sample: None,
        section: Section::Matching,
        short_help: "how live matching finds matches",
        long_help: "",
    },
    Opt {
        name: Name::Anywhere("matcher-name"),
        short: None,
        value_name: "NAME",
        kind: OptionKind::Text(|settings, value| settings.matcher_name = value),
        default: None,
        sample: Some("threatbus"),
        section: Section::Matching,
        short_help: "the matcher in VAST that live matching uses",
        long_help: "The live engine attach needs it: it names a matcher that the node runs. With \
                    start, the default is `threatbus-` and ten random letters.",
    },
    Opt {
        name: Name::Anywhere("retro-match-max-events"),
        short: None,
        value_name: "N",
        kind: OptionKind::Whole(0, u64::MAX, |settings, value| {
            settings.retro_match_max_events = value;
        }),
        default: Some("0"),
        sample: None,
        section: Section::Matching,
        short_help: "report at most N matches of an indicator; 0 = all",
        long_help: "",
    },
    Opt {
        name: Name::Anywhere("retro-match-timeout"),
        short: None,
        value_name: "SECS",
        kind: OptionKind::Seconds(0, |settings, value| settings.retro_match_timeout = value),
        default: Some("3600"),
        sample: None,
        section: Section::Matching,
        short_help: "stop a query after SECS seconds; 0 = never",
        long_help: "What it found until then is reported.",
    },
    Opt {
        name: Name::Anywhere("observation-memory"),
        short: None,
        value_name: "SECS",
        kind: OptionKind::Seconds(1, |settings, value| settings.observation_memory = value),
        default: Some("86400"),
        sample: None,
        section: Section::Matching,
        short_help: "join an event with later ones of its pattern for SECS seconds",
        long_help: "This is for patterns of several events, live and with --follow, if no WITHIN \
                    says how far apart they may be. At most 10,000 events wait, in 64 MiB.",
    },
    Opt {
        name: Name::Anywhere("match"),
        short: None,
        value_name: "MODE",
        kind: OptionKind::Choice(&[
            ChoiceValue {
                name: "exact",
                help: "whole texts in the engine's concepts, as the original does",
                set: |settings| settings.mode = Mode::Exact,
            },
            ChoiceValue {
                name: "standard",
                help: "what an indicator names, however it is written",
                set: |settings| settings.mode = Mode::Standard,
            },
            ChoiceValue {
                name: "thorough",
                help: "the same, also where an engine has to scan",
                set: |settings| settings.mode = Mode::Thorough,
            },
        ]),
        default: Some("standard"),
        sample: None,
        section: Section::Matching,
        short_help: "how far matching goes",
        long_help: "In log files and live, standard and thorough find the same. For stored \
                    events of VAST and Tenzir, standard sends the queries that an index answers, \
                    in the spellings that logs are known to have. thorough adds queries whose \
                    cost depends on how much is stored; --retro-match-timeout limits them.",
    },
    Opt {
        name: Name::Anywhere("match-answers"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.match_answers = value),
        default: Some("true"),
        sample: None,
        section: Section::Matching,
        short_help: "search domains and addresses among the answers of DNS too",
        long_help: "Without it, answers are not searched. With --match exact they are searched \
                    only if this is given, which needs more queries: equality never finds \
                    elements of lists (zeek.dns.answers).",
    },
    Opt {
        name: Name::Anywhere("domains-match-subdomains"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.domains_match_subdomains = value),
        default: Some("false"),
        sample: None,
        section: Section::Matching,
        short_help: "let a domain match the names below it too",
        long_help: "The domain evil.example then matches www.evil.example. A query holds few \
                    such values, so this needs more queries.",
    },
    Opt {
        name: Name::Anywhere("urls-match-host"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.urls_match_host = value),
        default: Some("false"),
        sample: None,
        section: Section::Matching,
        short_help: "search the host of a URL too, as a domain or an address",
        long_help: "The URL http://evil.example/x then matches everything that has to do with \
                    evil.example.",
    },
    Opt {
        name: Name::Anywhere("allow"),
        short: None,
        value_name: "FILE...",
        kind: OptionKind::Files(|settings| &mut settings.allow),
        default: None,
        sample: Some("/etc/vast-threatbus/allow.txt"),
        section: Section::Matching,
        short_help: "never search the addresses, networks, domains and hashes in a file",
        long_help: "A list, CSV, or a warning list of MISP in JSON. A domain is allowed with the \
                    names below it if it is written .domain. A URL on an allowed domain is \
                    searched nevertheless, and so is a network that contains allowed addresses: \
                    an event in which every matching address is allowed is left out.",
    },
    Opt {
        name: Name::Anywhere("allow-defaults"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.allow_defaults = value),
        default: Some("true"),
        sample: None,
        section: Section::Matching,
        short_help: "do not search harmless values, such as localhost",
        long_help: "These are unspecified, loopback and broadcast addresses, networks wider than \
                    /8 (IPv4) or /16 (IPv6), localhost, and the hashes of the empty file. Each \
                    is logged. Private networks are searched.",
    },
    Opt {
        name: Name::Anywhere("batch-size"),
        short: None,
        value_name: "N",
        kind: OptionKind::Whole(1, 1_000_000, |settings, value| settings.batch_size = value),
        default: Some("10000"),
        sample: None,
        section: Section::Matching,
        short_help: "put up to N values into one query; 1 = one query for each indicator",
        long_help: "Indicators that wait for a query are queried together. The sightings are the \
                    same for every N.",
    },
    Opt {
        name: Name::Anywhere("max-background-tasks"),
        short: Some('U'),
        value_name: "N",
        kind: OptionKind::Whole(1, 1000, |settings, value| {
            settings.max_background_tasks = value;
        }),
        default: Some("8"),
        sample: None,
        section: Section::Matching,
        short_help: "how many queries may run at the same time",
        long_help: "Each is one child process of about 22 MB. Of several engines, each can have \
                    one at any time, even if there are more engines than N.",
    },
];
