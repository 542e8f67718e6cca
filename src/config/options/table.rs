//! The table itself.

use super::{Action, ChoiceValue, Kind, Name, Opt, Section};
use crate::config::{CommandMode, Format, LiveEngine, Output, ProtocolChoice};
use crate::engine::EngineChoice;
use crate::matching::Mode;
use crate::protocol::feed::FileFormat;

/// Every option. Values from one source (a file, say) are applied in this order, so that
/// of two options that set the same field the later one wins.
pub static OPTIONS: &[Opt] = &[
    Opt {
        name: Name::Anywhere("engine"),
        short: None,
        value_name: "ENGINE",
        kind: Kind::Choice(&[
            ChoiceValue {
                name: "auto",
                help: "files with --events, else by the version of the program",
                set: |settings| settings.engine = EngineChoice::Auto,
            },
            ChoiceValue {
                name: "vast",
                help: "VAST",
                set: |settings| settings.engine = EngineChoice::Vast,
            },
            ChoiceValue {
                name: "tenzir",
                help: "Tenzir, its successor",
                set: |settings| settings.engine = EngineChoice::Tenzir,
            },
            ChoiceValue {
                name: "files",
                help: "the log files of --events",
                set: |settings| settings.engine = EngineChoice::Files,
            },
        ]),
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
        kind: Kind::Engines(|settings| &mut settings.nodes),
        default: Some("localhost:42000"),
        sample: None,
        section: Section::Connection,
        short_help: "where VAST listens, HOST:PORT; several times for several",
        long_help: "An IPv6 address is written in brackets: [::1]:42000. The default for Tenzir \
                    is localhost:5158. Each engine is queried by itself, and can be written \
                    [NAME=][SCHEME://]HOST:PORT. The scheme, vast or tenzir, says what listens \
                    there, instead of --engine. The name is used in sightings, logs and metrics, \
                    instead of host and port. In a file, several are a list; in a variable, commas \
                    separate them. Those of the command line replace those of the file, and \
                    --events can stand beside them.",
    },
    Opt {
        name: Name::Anywhere("engine-endpoint"),
        short: None,
        value_name: "EP",
        kind: Kind::Engines(|settings| &mut settings.nodes),
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
        kind: Kind::Program(|settings, value| settings.vast_binary = value),
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
        kind: Kind::Program(|settings, value| settings.vast_binary = value),
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
        kind: Kind::Program(|settings, value| settings.tenzir_binary = Some(value)),
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
        kind: Kind::Endpoint(|settings, value| settings.threatbus = Some(value)),
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
        kind: Kind::Choice(&[
            ChoiceValue {
                name: "auto",
                help: "let the broker tell",
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
        short_help: "the messages that the broker speaks",
        long_help: "A message of the other generation is understood too, and answered in its own \
                    generation.",
    },
    Opt {
        name: Name::Anywhere("connect-timeout"),
        short: None,
        value_name: "SECS",
        kind: Kind::Seconds(0, |settings, value| settings.connect_timeout = value),
        default: Some("30"),
        sample: None,
        section: Section::Connection,
        short_help: "how long to try to reach VAST and the bus at start; 0 = for ever",
        long_help: "Both are tried with growing pauses. After this time the program ends with \
                    status 69. A connection that is lost later is tried again for ever. Of \
                    several engines, one has to answer in this time; the others are tried for \
                    ever, or given up after it in a run that ends.",
    },
    Opt {
        name: Name::Anywhere("snapshot"),
        short: Some('s'),
        value_name: "DAYS",
        kind: Kind::Whole(0..=3650, |settings, value| settings.snapshot_days = value),
        default: Some("0"),
        sample: None,
        section: Section::Connection,
        short_help: "request the indicators of the last DAYS days from the bus",
        long_help: "After a lost connection, the indicators of that gap are requested too. With \
                    0 only new indicators come.",
    },
    Opt {
        name: Name::Anywhere("retro-match"),
        short: None,
        value_name: "",
        kind: Kind::Switch(|settings, value| settings.retro_match = value),
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
        kind: Kind::Switch(|settings, value| settings.live_match = value),
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
        kind: Kind::Choice(&[
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
        short_help: "how live matching learns of matches",
        long_help: "",
    },
    Opt {
        name: Name::Anywhere("matcher-name"),
        short: None,
        value_name: "NAME",
        kind: Kind::Text(|settings, value| settings.matcher_name = value),
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
        kind: Kind::Whole(0..=u64::MAX, |settings, value| {
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
        kind: Kind::Seconds(0, |settings, value| settings.retro_match_timeout = value),
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
        kind: Kind::Seconds(1, |settings, value| settings.observation_memory = value),
        default: Some("86400"),
        sample: None,
        section: Section::Matching,
        short_help: "join an event with later ones of its pattern for SECS seconds",
        long_help: "For patterns of several events, live and with --follow, where no WITHIN \
                    says how far apart they may be. 10,000 events wait at the most, in 64 MiB.",
    },
    Opt {
        name: Name::Anywhere("match"),
        short: None,
        value_name: "MODE",
        kind: Kind::Choice(&[
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
        kind: Kind::Switch(|settings, value| settings.match_answers = value),
        default: Some("true"),
        sample: None,
        section: Section::Matching,
        short_help: "search domains and addresses among the answers of DNS too",
        long_help: "Without it, answers are not searched. With --match exact they are searched \
                    only if this is given, which takes more queries: equality never looks into \
                    lists (zeek.dns.answers).",
    },
    Opt {
        name: Name::Anywhere("domains-match-subdomains"),
        short: None,
        value_name: "",
        kind: Kind::Switch(|settings, value| settings.domains_match_subdomains = value),
        default: Some("false"),
        sample: None,
        section: Section::Matching,
        short_help: "let a domain match the names below it too",
        long_help: "The domain evil.example then matches www.evil.example. A query holds few \
                    such values, so this takes more queries.",
    },
    Opt {
        name: Name::Anywhere("urls-match-host"),
        short: None,
        value_name: "",
        kind: Kind::Switch(|settings, value| settings.urls_match_host = value),
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
        kind: Kind::Files(|settings| &mut settings.allow),
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
        kind: Kind::Switch(|settings, value| settings.allow_defaults = value),
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
        kind: Kind::Whole(1..=1_000_000, |settings, value| settings.batch_size = value),
        default: Some("10000"),
        sample: None,
        section: Section::Matching,
        short_help: "put up to N values into one query; 1 = one query for each indicator",
        long_help: "Indicators that wait for a query are put together. The sightings are the \
                    same for every N.",
    },
    Opt {
        name: Name::Anywhere("max-background-tasks"),
        short: Some('U'),
        value_name: "N",
        kind: Kind::Whole(1..=1000, |settings, value| {
            settings.max_background_tasks = value;
        }),
        default: Some("8"),
        sample: None,
        section: Section::Matching,
        short_help: "how many queries may run at the same time",
        long_help: "Each is one child process of about 22 MB. Of several engines, each can have \
                    one at any time, even if there are more engines than N.",
    },
    Opt {
        name: Name::Anywhere("sink"),
        short: Some('S'),
        value_name: "SINK",
        kind: Kind::Sink(|settings, value| settings.sink = value),
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
        kind: Kind::Choice(&[
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
                    up alone, as with each; if a command reads no line at all, the others are \
                    given up too, more each time.",
    },
    Opt {
        name: Name::Anywhere("output"),
        short: None,
        value_name: "WHAT",
        kind: Kind::Choice(&[
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
        kind: Kind::Command(|settings, value| settings.transform_context = value),
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
        kind: Kind::Choice(&[
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
                    %matchtype in use. It prints one line for each that it reads, in their \
                    order, at once or when its input ends. If it prints more or fewer lines or \
                    no JSON, dies or hangs, each of its contexts is given to a process of its \
                    own once more.",
    },
    Opt {
        name: Name::Anywhere("transform-processes"),
        short: None,
        value_name: "N",
        kind: Kind::Whole(1..=1000, |settings, value| {
            settings.transform_processes = value
        }),
        default: Some("8"),
        sample: None,
        section: Section::Output,
        short_help: "how many processes of --transform-mode lines there are at once",
        long_help: "Beyond it, the one that was unused for the longest time ends.",
    },
    Opt {
        name: Name::Anywhere("unflatten"),
        short: None,
        value_name: "",
        kind: Kind::Switch(|settings, value| settings.unflatten = value),
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
        kind: Kind::Seconds(0, |settings, value| settings.aggregate = value),
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
        kind: Kind::Whole(0..=1_000_000_000, |settings, value| {
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
        kind: Kind::Switch(|settings, value| settings.confirm_delivery = Some(value)),
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
        kind: Kind::Whole(65_536..=1_099_511_627_776, |settings, value| {
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
        kind: Kind::File(|settings, value| settings.state_dir = value),
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
        kind: Kind::Whole(1_048_576..=1_099_511_627_776, |settings, value| {
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
        kind: Kind::Switch(|settings, value| settings.report_once = value),
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
        kind: Kind::Whole(1..=3650, |settings, value| settings.remember_days = value),
        default: Some("90"),
        sample: None,
        section: Section::Output,
        short_help: "forget a reported match that was not found again for DAYS days",
        long_help: "At most 1.8 million matches are remembered, the newest.",
    },
    Opt {
        name: Name::Anywhere("indicators"),
        short: None,
        value_name: "FILE...",
        kind: Kind::Files(|settings| &mut settings.indicators),
        default: None,
        sample: Some("/srv/feeds/indicators.jsonl"),
        section: Section::RunMode,
        short_help: "read indicators from files and not from the bus; - = standard input",
        long_help: "Lists, hosts files, CSV, Zeek intel files, STIX, MISP, OTX, ThreatFox and \
                    URLhaus JSON, and Intel objects, plain or compressed (gzip, Zstandard); the \
                    form of each file is detected. A folder is read whole, one of a MISP feed by \
                    its manifest. The run ends when all are matched, and sightings go to \
                    standard output unless a sink is named. With --follow, files that change are \
                    read again.",
    },
    Opt {
        name: Name::Anywhere("indicators-format"),
        short: None,
        value_name: "FORMAT",
        kind: Kind::Choice(&[
            ChoiceValue {
                name: "auto",
                help: "what the content says",
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
        short_help: "the form of the --indicators files, if it is detected wrongly",
        long_help: "",
    },
    Opt {
        name: Name::Anywhere("indicators-column"),
        short: None,
        value_name: "COLUMN",
        kind: Kind::Text(|settings, value| settings.indicators_column = value),
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
        kind: Kind::Files(|settings| &mut settings.events),
        default: None,
        sample: Some("/var/log/suricata/eve.json"),
        section: Section::RunMode,
        short_help: "search log files and not VAST; - = standard input",
        long_help: "With --vast beside it, both are searched. Suricata EVE and Zeek logs as JSON \
                    lines, JSON arrays and Zeek's own tables, plain or compressed (gzip, \
                    Zstandard); of a folder, the logs in it. Each batch of indicators from the \
                    bus is searched in all files; with --once all indicators together, when no \
                    more come.",
    },
    Opt {
        name: Name::Anywhere("follow"),
        short: None,
        value_name: "",
        kind: Kind::Switch(|settings, value| settings.follow = value),
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
        kind: Kind::Switch(|settings, value| settings.once = value),
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
        kind: Kind::Seconds(0, |settings, value| settings.idle = value),
        default: Some("10"),
        sample: None,
        section: Section::RunMode,
        short_help: "how long no indicator has to come before --once ends the run",
        long_help: "",
    },
    Opt {
        name: Name::Anywhere("deadline"),
        short: None,
        value_name: "SECS",
        kind: Kind::Seconds(0, |settings, value| settings.deadline = value),
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
        kind: Kind::Files(|settings| &mut settings.summary_files),
        default: None,
        sample: Some("/srv/reports/sightings.html"),
        section: Section::RunMode,
        short_help: "write what was found into files at the end: .json, .csv or .html",
        long_help: "Each indicator with its kind and feed, the number of sightings, the first \
                    and the last, and the three hosts that met it most often. The page has a \
                    time line and a table that can be sorted, and loads nothing. Files have mode \
                    0600. A run that ends prints the first twenty as a table, on a terminal.",
    },
    Opt {
        name: Name::Anywhere("exit-code"),
        short: None,
        value_name: "",
        kind: Kind::Switch(|settings, value| settings.exit_code = value),
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
        kind: Kind::File(|settings, value| settings.explain = value),
        default: None,
        sample: None,
        section: Section::RunMode,
        short_help: "print the queries of each indicator of a file, and run none",
        long_help: "The file is one as for --indicators; - = standard input. Each indicator is \
                    one line of JSON with its plan: batch (its values go into the lists of a \
                    query), superset (the same, and the whole is checked in each event), single \
                    (a query of its own, or every event), several (events that are joined here, \
                    each with its own plan), inactive or unsupported, with the \
                    reason, the kinds of fields that are searched, and what is left out of it. The \
                    queries are those of --engine (VAST's where the program would tell) and of \
                    --match, as far as they are known without a node: Tenzir's name the fields of \
                    Suricata's and Zeek's events.",
    },
    Opt {
        name: Name::FlagOnly("summary"),
        short: None,
        value_name: "",
        kind: Kind::Switch(|settings, value| settings.summary = value),
        default: Some("false"),
        sample: None,
        section: Section::RunMode,
        short_help: "with --explain, count the indicators by plan and reason on standard error",
        long_help: "",
    },
    Opt {
        name: Name::Anywhere("loglevel"),
        short: Some('l'),
        value_name: "LEVEL",
        kind: Kind::LogLevel(|settings, value| settings.console_verbosity = value),
        default: Some("info"),
        sample: None,
        section: Section::Logging,
        short_help: "how much to log to standard error; NOTSET = nothing",
        long_help: "On the command line it also overrides logging.console_verbosity. WARN is \
                    another name of WARNING.",
    },
    Opt {
        name: Name::Anywhere("log-format"),
        short: None,
        value_name: "FORMAT",
        kind: Kind::Choice(&[
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
        short_help: "how a line of the log looks",
        long_help: "It holds for standard error and for a log file. A warning or an error that \
                    is repeated within a minute is written three times. At the end of the minute \
                    one line says how often it came after that.",
    },
    Opt {
        name: Name::KeyOnly("logging.console"),
        short: None,
        value_name: "",
        kind: Kind::Switch(|settings, value| settings.log_to_console = value),
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
        kind: Kind::LogLevel(|settings, value| settings.console_verbosity = value),
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
        kind: Kind::Switch(|settings, value| settings.log_to_file = value),
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
        kind: Kind::LogLevel(|settings, value| settings.file_verbosity = value),
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
        kind: Kind::File(|settings, value| settings.log_file = value),
        default: Some("vast-threatbus.log"),
        sample: None,
        section: Section::Logging,
        short_help: "the file to log to, at its end",
        long_help: "If it is moved away, as logrotate does it, it is opened again.",
    },
    Opt {
        name: Name::KeyOnly("metrics.interval"),
        short: None,
        value_name: "SECS",
        kind: Kind::Seconds(0, |settings, value| settings.metrics_interval = value),
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
        kind: Kind::File(|settings, value| settings.metrics_file = value),
        default: None,
        sample: Some("metrics.log"),
        section: Section::Logging,
        short_help: "the file to write metrics to, at its end",
        long_help: "One line for each interval in which something was counted, in the line \
                    protocol of InfluxDB, with the names of the original and this program's own.",
    },
    Opt {
        name: Name::Anywhere("metrics-prometheus"),
        short: None,
        value_name: "FILE",
        kind: Kind::File(|settings, value| settings.metrics_prometheus = value),
        default: None,
        sample: Some("/var/lib/prometheus/node-exporter/vast-threatbus.prom"),
        section: Section::Logging,
        short_help: "a file that always holds the present metrics, for Prometheus",
        long_help: "It is replaced every metrics.interval seconds, for the textfile collector of \
                    node_exporter, and removed after a clean end; its directory must be writable.",
    },
    Opt {
        name: Name::Anywhere("sensor-name"),
        short: None,
        value_name: "NAME",
        kind: Kind::Text(|settings, value| settings.sensor_name = value),
        default: None,
        sample: Some("sensor-1"),
        section: Section::Logging,
        short_help: "what this bridge is called where several are told apart",
        long_help: "It is the `bridge` of the metrics, and in sightings it says who saw it. Without \
                    it, metrics have the name of the host and of the configuration file, and \
                    sightings have no such name.",
    },
    Opt {
        name: Name::FlagOnly("config"),
        short: Some('c'),
        value_name: "FILE",
        kind: Kind::File(|settings, value| settings.config_file = value),
        default: None,
        sample: None,
        section: Section::General,
        short_help: "read this configuration file, or folder of such",
        long_help: "Of a folder, every *.yaml is read, in the order of their names, and a key \
                    that two of them set is the later one's; none may be writable by others. \
                    Without it, the first of ./config.yaml, ./config.yml and \
                    /etc/vast-threatbus/config.yaml that exists is read.",
    },
    Opt {
        name: Name::FlagOnly("migrate"),
        short: None,
        value_name: "FILE",
        kind: Kind::File(|settings, value| settings.migrate = value),
        default: None,
        sample: None,
        section: Section::General,
        short_help: "print the original's configuration file as it should be here",
        long_help: "Each change has a comment. The defaults of the releases of 2022 are written \
                    down where a key is left out (retro_match: true, snapshot: 30); keys that they \
                    ignored become comments. A file of 2020 is printed as it is.",
    },
    Opt {
        name: Name::FlagOnly("check"),
        short: None,
        value_name: "",
        kind: Kind::Switch(|settings, value| settings.check = value),
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
        kind: Kind::Action(Action::Help),
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
        kind: Kind::Action(Action::Version),
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
        kind: Kind::Action(Action::Generate),
        default: None,
        sample: None,
        section: Section::Hidden,
        short_help: "print a text that is made from the table of options",
        long_help: "",
    },
];
