//! The manual page, in the macros of man(7).

use super::help::sentence;
use super::wrap;
use crate::config::DEFAULT_FILES;
use crate::config::log_formats::LOG_FORMATS;
use crate::config::options::{Name, OPTIONS, Opt, OptionKind, PREFIXES, Section};
use crate::protocol::feed::FORMATS;

/// The date of its texts. It is not the date of the build, so that builds are
/// reproducible.
const DATE: &str = "2026-11-23";

pub(super) fn page() -> String {
    let mut page = format!(
        ".\\\" Made from the table of options by `vast-threatbus --generate man`.\n\
         .TH VAST\\-THREATBUS 1 {DATE} \"vast\\-threatbus {}\" \"User Commands\"\n",
        escape(env!("CARGO_PKG_VERSION"))
    );
    page += NAME_TO_DESCRIPTION;
    page += ".SH OPTIONS\n";
    page += "A switch has a form that starts with\n.B \\-\\-no\\-\nand undoes what a \
             configuration file or an environment variable sets.\n";
    for section in Section::DOCUMENTED {
        page += &format!(".SS {}\n", escape(section.title()));
        for option in section.options().filter(|option| option.long().is_some()) {
            page += &entry(option, &flags(option));
        }
    }
    page += &feeds();
    page += &logs();
    page += CONFIGURATION;
    for option in OPTIONS {
        if let Name::KeyOnly(key) = option.name {
            page += &entry(option, &format!("\\fB{}\\fR", escape(key)));
        }
    }
    page + &environment() + EXIT_STATUS + &files() + SIGNALS_TO_END
}

/// The formats of indicator files.
fn feeds() -> String {
    let mut text = String::from(
        ".SH FEEDS\nThe format of each file of\n.B \\-\\-indicators\nis detected from its content:\n",
    );
    for format in &FORMATS {
        let name = escape(format.name);
        text += &format!(".TP\n\\fB{name}\\fR\n{}", lines(&sentence(format.what)));
        text += &lines(&sentence(&format!("read: {}", format.accepted)));
    }
    text
}

/// The formats of logs.
fn logs() -> String {
    let mut text = String::from(
        ".SH LOGS\nThe format of each log of\n.B \\-\\-events\nis detected from its content:\n",
    );
    for format in &LOG_FORMATS {
        let accepted = lines(&sentence(format.accepted));
        text += &format!(".TP\n\\fB{}\\fR\n{accepted}", escape(format.name));
    }
    text
}

/// A tagged paragraph: the name of an option, and its meaning.
fn entry(option: &Opt, tag: &str) -> String {
    let mut text = format!(".TP\n{tag}\n{}\n", escape(sentence(option.short_help)));
    if !option.long_help.is_empty() {
        text += &lines(option.long_help);
    }
    if matches!(option.kind, OptionKind::LogLevel(_)) {
        let words: Vec<_> = option.words().iter().map(|word| word.0).collect();
        text += &format!("One of {}.\n", words.join(", "));
    }
    if let Some(default) = option.default {
        text += &format!("Default: \\fB{}\\fR.\n", escape(default));
    }
    if option.explains_words() {
        for (word, meaning) in option.words() {
            let (word, meaning) = (escape(word), escape(sentence(meaning)));
            text += &format!(".RS\n.TP\n\\fB{word}\\fR\n{meaning}\n.RE\n");
        }
    }
    text
}

fn flags(option: &Opt) -> String {
    let short = option.short.map(|letter| format!("\\fB\\-{letter}\\fR"));
    let long = option
        .long()
        .map(|name| format!("\\fB\\-\\-{}\\fR", escape(name)));
    let negated = option.long().filter(|_| option.is_switch());
    let negated = negated.map(|name| format!("\\fB\\-\\-no\\-{}\\fR", escape(name)));
    let forms: Vec<_> = [short, long, negated].into_iter().flatten().collect();
    match option.value_name {
        "" => forms.join(", "),
        name => format!("{} \\fI{name}\\fR", forms.join(", ")),
    }
}

fn environment() -> String {
    let [ours, original] = PREFIXES.map(escape);
    let mut text = format!(
        ".SH ENVIRONMENT\nEvery option can be given in a variable: \\fB{ours}\\fR and its key in\n\
         capitals, with two underscores between a group and a key.\n\
         The prefix \\fB{original}\\fR of the original works too.\n\
         An unknown variable with such a name is logged as a warning.\nThe variables are\n"
    );
    let names: Vec<_> = OPTIONS.iter().filter_map(Opt::variable).collect();
    let names: Vec<_> = names
        .iter()
        .map(|name| format!("\\fB{ours}{name}\\fR"))
        .collect();
    text += &names.join(",\n");
    text + ".\n.TP\n.B PATH\nwhere programs are searched that are named without a slash.\n\
            .TP\n.B NO_COLOR\nif it is set, logs have no colour.\n\
            .TP\n.BR NOTIFY_SOCKET \", \" WATCHDOG_USEC \", \" WATCHDOG_PID\n\
            how systemd(1) is notified that the program is ready, stops, and is alive.\n"
}

fn files() -> String {
    let mut text = String::from(".SH FILES\n");
    for (rank, file) in DEFAULT_FILES.iter().enumerate() {
        text += &format!(".TP\n.I {}\n", escape(file));
        text += match rank {
            0 => "The configuration, where no \\fB\\-\\-config\\fR is given.\n",
            _ => "The same, where those above do not exist.\n",
        };
    }
    text + STATE_FILES
}

/// Running text: each sentence starts a line, as mandoc(1) recommends, and text in
/// backticks is bold.
fn lines(text: &str) -> String {
    let mut page = String::new();
    for (rank, part) in text.split('`').enumerate() {
        match rank % 2 {
            0 => page += &escape(part),
            _ => page += &format!("\\fB{}\\fR", escape(part)),
        }
    }
    let mut text = String::new();
    for line in page
        .split_inclusive(". ")
        .flat_map(|sentence| wrap(sentence, 78))
    {
        // A leading dot or quote would be a roff request.
        let guard = if line.starts_with(['.', '\'']) {
            "\\&"
        } else {
            ""
        };
        text += &format!("{guard}{line}\n");
    }
    text
}

/// Text that roff prints literally, except for a dot at the start of a line.
fn escape(text: impl AsRef<str>) -> String {
    let mut escaped = String::new();
    for c in text.as_ref().chars() {
        match c {
            '\\' => escaped += "\\e",
            '-' => escaped += "\\-",
            '\'' => escaped += "\\(aq",
            '`' => escaped += "\\(ga",
            '~' => escaped += "\\(ti",
            '^' => escaped += "\\(ha",
            '"' => escaped += "\\(dq",
            c => escaped.push(c),
        }
    }
    escaped
}

const NAME_TO_DESCRIPTION: &str = r#".SH NAME
vast\-threatbus \- match threat intelligence from Threat Bus in VAST
.SH SYNOPSIS
.B vast\-threatbus
.RI [ OPTIONS ]
.SH DESCRIPTION
.B vast\-threatbus
connects Threat Bus, a broker for threat intelligence, and VAST, an engine for
network telemetry.
It subscribes to the indicators of compromise that the bus publishes, searches
them in VAST, and reports every match as a sighting: to the bus, to standard
output, or to a command.
.PP
It is a drop\-in for
.B pyvast\-threatbus
and its successor of the same name, and speaks both generations of messages of
Threat Bus.
.PP
A value on the command line overrides one in the environment, which overrides
one in the configuration file, which overrides the default.
"#;

const CONFIGURATION: &str = r#".SH CONFIGURATION
The configuration file is YAML.
It has every option above but the general ones, with underscores for dashes
.RB ( retro_match " for " \-\-retro\-match ),
and these, where a dot separates a group from a key in it:
"#;

const STATE_FILES: &str = r#".TP
.IR DIR /spool\fR,\fP " " DIR /journal\fR,\fP " " DIR /topics\fR,\fP " " DIR /reported
In the directory of
.BR \-\-state\-dir :
sightings that wait for the bus, indicators whose query is not finished, topics
that the broker holds, and what
.B \-\-report\-once
remembers.
"#;

const EXIT_STATUS: &str = r#".SH EXIT STATUS
.TP
.B 0
A signal stopped a service, the reader of standard output closed it, the program
printed what was requested, or a run that ends
.RB ( \-\-once ", " \-\-indicators )
is complete.
.TP
.B 1
.B \-\-check
has warnings.
.TP
.B 2
The command line, the environment or the configuration file is wrong.
.TP
.B 3
Nothing matched, in a run with
.BR \-\-exit\-code .
.TP
.B 69
Threat Bus or VAST could not be reached within
.BR \-\-connect\-timeout ,
or
.B \-\-check
found that something is missing.
.TP
.B 70
An error in the program itself.
.TP
.B 75
A run that ends is not complete: a signal ended it, the
.B \-\-deadline
passed, with
.B \-\-exit\-code
no indicator came from the bus at all, indicators could not be matched, a file
could not be read to its end, or sightings could not be delivered.
The last line of the log says which, and how much was not searched.
Or another process uses the
.BR \-\-state\-dir .
It can be run again.
"#;

const SIGNALS_TO_END: &str = r#".SH SIGNALS
.TP
.BR SIGINT ", " SIGTERM
Accept no more indicators, let running queries finish for at most 5 seconds,
report what they found, unsubscribe, and end with status 0, or 75 for a run that
would have ended by itself.
A second signal ends it at once, but not within a second of the first:
.BR timeout (1)
sends the same one twice.
.TP
.B SIGHUP
The same if there is a terminal that can hang up.
Without one, as for a service, open the log file again, read the files of
.B \-\-allow
again, and with
.B \-\-follow
those of
.BR \-\-indicators ,
and continue.
A run that ends by itself only opens its log file again.
If the signal was ignored at the start, as under
.BR nohup (1),
it stays ignored.
.TP
.B SIGUSR1
Log a status, whatever the log level is: the time since the start, whether VAST
and the bus are reachable, what waits, and all counters.
.SH EXAMPLES
Check whether everything is there:
.PP
.EX
vast\-threatbus \-\-check
.EE
.PP
Print what VAST has seen of the indicators of the last 30 days, and of new ones:
.PP
.EX
vast\-threatbus \-\-retro\-match \-\-snapshot 30 \-\-sink STDOUT | jq .
.EE
.PP
Report sightings to the bus, with a broker and a node on other machines:
.PP
.EX
vast\-threatbus \-\-retro\-match \-t bus.example.org:13370 \-v vast.example.org:42000
.EE
.PP
Make an alert of every match and send it to
.BR logger (1):
.PP
.EX
vast\-threatbus \-\-retro\-match \e
  \-\-transform\-context \(aqfever alertify \-\-alert\-prefix VAST \-\-ioc %ioc\(aq \e
  \-\-sink \(aqlogger \-t sighting \-\-size 64KiB\(aq
.EE
.PP
A nightly job that searches the indicators of the last 30 days, reports what it
has not reported before, and ends:
.PP
.EX
vast\-threatbus \-\-once \-\-retro\-match \-\-snapshot 30 \-\-deadline 14400 \e
  \-\-report\-once \-\-state\-dir /var/lib/vast\-threatbus
.EE
.PP
Search VAST for a list of addresses, domains, URLs and hashes, without a bus:
.PP
.EX
vast\-threatbus \-\-indicators iocs.txt \-\-retro\-match | jq .
.EE
.PP
Search logs for it, without VAST:
.PP
.EX
vast\-threatbus \-\-indicators iocs.txt \-\-events /var/log/suricata/eve.json*
.EE
.PP
Match what Suricata writes from now on, and report to the bus:
.PP
.EX
vast\-threatbus \-\-events /var/log/suricata/eve.json \-\-follow
.EE
.SH SEE ALSO
.BR jq (1),
.BR logger (1)
"#;
