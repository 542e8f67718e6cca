//! Where sightings are sent, and what they contain.

use crate::config::options::{ChoiceValue, Name, Opt, OptionKind, Section};
use crate::config::{CommandMode, Output};

/// The options of this section.
pub const ROWS: &[Opt] = &[
    Opt {
        name: Name::Anywhere("sink"),
        short: Some('S'),
        value_name: "SINK",
        kind: OptionKind::Sink(|settings, value| settings.sink = value),
        default: None,
        sample: Some("STDOUT"),
        section: Section::Output,
        short_help: "send sightings to STDOUT or to a command, not to the bus",
        long_help: "STDOUT (in any case) prints the context of each sighting, the matched event, \
                    as one line of JSON. Anything else is a command with its arguments, split as \
                    a shell does it. It is run for every sighting with the context on its \
                    standard input. In each argument %ioc is replaced by the value of the \
                    indicator and %matchtype by RETRO or LIVE. A command that fails is run again \
                    up to five times with growing pauses, while the others continue; then the \
                    sighting counts as failed, or with --state-dir is kept and tried again every \
                    ten minutes and by the next run.",
    },
    Opt {
        name: Name::Anywhere("sink-mode"),
        short: None,
        value_name: "MODE",
        kind: OptionKind::Choice(&[
            ChoiceValue {
                name: "each",
                help: "a process for every sighting",
                set: |settings| settings.sink_mode = CommandMode::Each,
            },
            ChoiceValue {
                name: "lines",
                help: "one process that stays and reads lines",
                set: |settings| settings.sink_mode = CommandMode::Lines,
            },
        ]),
        default: Some("each"),
        sample: None,
        section: Section::Output,
        short_help: "how the sink command is run",
        long_help: "With lines the command has no %ioc or %matchtype. If it dies it is started \
                    again with growing pauses, and what it may not have read is sent again: each \
                    context at least once. A line on which six processes in a row die is given \
                    up alone, as with each. If a command reads no line at all, the others are \
                    given up too, more each time.",
    },
    Opt {
        name: Name::Anywhere("output"),
        short: None,
        value_name: "WHAT",
        kind: OptionKind::Choice(&[
            ChoiceValue {
                name: "context",
                help: "the context of each sighting, the matched event",
                set: |settings| settings.output = Output::Context,
            },
            ChoiceValue {
                name: "sighting",
                help: "an object with the whole sighting and its context",
                set: |settings| settings.output = Output::Sighting,
            },
        ]),
        default: Some("context"),
        sample: None,
        section: Section::Output,
        short_help: "what STDOUT and a sink command get of a sighting",
        long_help: "With sighting it is an object with ts, match_type, indicator (id, value or \
                    pattern, kind, name, labels, properties), matched (path in the event and \
                    value), source and context, on one line.",
    },
    Opt {
        name: Name::Anywhere("transform-context"),
        short: Some('T'),
        value_name: "COMMAND",
        kind: OptionKind::Command(|settings, value| settings.transform_context = value),
        default: None,
        sample: Some("fever alertify --alert-prefix 'MY PREFIX' --extra-key my-ioc --ioc %ioc"),
        section: Section::Output,
        short_help: "a command that transforms each context",
        long_help: "It is run for every sighting, gets the context as JSON on its standard input \
                    and prints one JSON value, within 30 seconds. It is split, and its \
                    placeholders are replaced, like the command of a sink. If it fails, the bus \
                    gets the sighting with its original context, and a sink does not get it.",
    },
    Opt {
        name: Name::Anywhere("transform-mode"),
        short: None,
        value_name: "MODE",
        kind: OptionKind::Choice(&[
            ChoiceValue {
                name: "each",
                help: "a process for every sighting",
                set: |settings| settings.transform_mode = CommandMode::Each,
            },
            ChoiceValue {
                name: "lines",
                help: "processes that stay and answer line by line",
                set: |settings| settings.transform_mode = CommandMode::Lines,
            },
        ]),
        default: Some("each"),
        sample: None,
        section: Section::Output,
        short_help: "how the command of --transform-context is run",
        long_help: "With lines there is one process for each pair of values of %ioc and \
                    %matchtype in use. It prints one line for each that it reads, in the same \
                    order, at once or when its input ends. If it prints more or fewer lines or \
                    no JSON, dies or hangs, each of its contexts is given to a separate process \
                    again.",
    },
    Opt {
        name: Name::Anywhere("transform-processes"),
        short: None,
        value_name: "N",
        kind: OptionKind::Whole(1, 1000, |settings, value| {
            settings.transform_processes = value
        }),
        default: Some("8"),
        sample: None,
        section: Section::Output,
        short_help: "how many processes of --transform-mode lines there are at once",
        long_help: "If another one is needed, the one that was unused for the longest time ends.",
    },
    Opt {
        name: Name::Anywhere("unflatten"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.unflatten = value),
        default: Some("false"),
        sample: None,
        section: Section::Output,
        short_help: "make nested objects of keys with dots in the context",
        long_help: "If `a` and `a.b` are both there, the flat key is kept.",
    },
    Opt {
        name: Name::Anywhere("aggregate"),
        short: None,
        value_name: "SECS",
        kind: OptionKind::Seconds(0, |settings, value| settings.aggregate = value),
        default: Some("0"),
        sample: Some("300"),
        section: Section::Output,
        short_help: "report sightings of an indicator within SECS as one; 0 = each by itself",
        long_help: "Those from one source are counted together. The first is sent at once, the \
                    rest as one sighting with count, first_seen and last_seen, when the time is \
                    over or the run ends. If the format has no fields for them, they are in the \
                    context, as x_threatbus_aggregate.",
    },
    Opt {
        name: Name::Anywhere("max-sightings-per-minute"),
        short: None,
        value_name: "N",
        kind: OptionKind::Whole(0, 1_000_000_000, |settings, value| {
            settings.max_sightings_per_minute = value;
        }),
        default: Some("0"),
        sample: None,
        section: Section::Output,
        short_help: "send N sightings of an indicator a minute, count the rest; 0 = all",
        long_help: "Those that are counted are sent as one sighting, as with --aggregate.",
    },
    Opt {
        name: Name::Anywhere("confirm-delivery"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.confirm_delivery = Some(value)),
        default: None,
        sample: Some("true"),
        section: Section::Output,
        short_help: "keep each sighting until the broker has sent it back",
        long_help: "The default is true with --state-dir, and false without. The program \
                    subscribes to sightings too. It sends no more than the broker passes on in \
                    about a second, and resends each sighting that does not come back, or that \
                    came back shortly before the broker died. A sighting can then arrive twice, \
                    but none is lost with a broker that dies. It costs the broker one more \
                    subscriber; --no-confirm-delivery avoids that.",
    },
    Opt {
        name: Name::Anywhere("queue-max-bytes"),
        short: None,
        value_name: "BYTES",
        kind: OptionKind::Whole(65_536, 1_099_511_627_776, |settings, value| {
            settings.queue_max_bytes = value;
        }),
        default: Some("67108864"),
        sample: None,
        section: Section::Output,
        short_help: "how much memory the sightings that wait for the bus may use",
        long_help: "Beyond it the queries wait, and no sighting is dropped.",
    },
    Opt {
        name: Name::Anywhere("state-dir"),
        short: None,
        value_name: "DIR",
        kind: OptionKind::File(|settings, value| settings.state_dir = value),
        default: None,
        sample: Some("/var/lib/vast-threatbus"),
        section: Section::Output,
        short_help: "a directory for what has to survive a crash",
        long_help: "It has the sightings that cannot be delivered now, the indicators whose \
                    query is not finished, the events that wait for others of their patterns, \
                    and the topics that the broker has for this program. One process at a time \
                    uses it; it is made with mode 0700.",
    },
    Opt {
        name: Name::Anywhere("spool-max-bytes"),
        short: None,
        value_name: "BYTES",
        kind: OptionKind::Whole(1_048_576, 1_099_511_627_776, |settings, value| {
            settings.spool_max_bytes = value;
        }),
        default: Some("1073741824"),
        sample: None,
        section: Section::Output,
        short_help: "how much disk the sightings that wait for the bus or a sink may use",
        long_help: "Needs --state-dir. Beyond it the oldest sightings are dropped, and that is \
                    logged.",
    },
    Opt {
        name: Name::Anywhere("report-once"),
        short: None,
        value_name: "",
        kind: OptionKind::Switch(|settings, value| settings.report_once = value),
        default: Some("false"),
        sample: None,
        section: Section::Output,
        short_help: "report each match once, and not again in later runs",
        long_help: "Needs --state-dir, which has 16 bytes for each. A match is an indicator's id \
                    and an event as it was printed. What a run could not deliver is reported by \
                    the next one.",
    },
    Opt {
        name: Name::Anywhere("remember-days"),
        short: None,
        value_name: "DAYS",
        kind: OptionKind::Whole(1, 3650, |settings, value| settings.remember_days = value),
        default: Some("90"),
        sample: None,
        section: Section::Output,
        short_help: "forget a reported match that was not found again for DAYS days",
        long_help: "At most 1.8 million matches are remembered, the newest.",
    },
];
