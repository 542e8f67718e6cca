//! The usage texts. The wording is our own; the last lines are the engine's,
//! since they are what its callers saw.

/// Which usage text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Of the program.
    Root,
    /// Of `export`.
    Export {
        /// The release knows `--low-priority`.
        low_priority: bool,
    },
    /// Of `export json`.
    Json {
        /// The release knows `--flatten`.
        flatten: bool,
    },
    /// Of `import`.
    Import,
    /// Of `matcher`, the generation with `start`.
    MatcherStart,
    /// Of `matcher`, the generation with `attach`.
    MatcherAttach,
}

impl Usage {
    /// The text, with a newline at its end.
    pub fn text(self) -> String {
        match self {
            Self::Root => ROOT.to_string(),
            Self::Export { low_priority } => {
                let option = if low_priority {
                    "  [--low-priority]               yield to other queries\n"
                } else {
                    ""
                };
                EXPORT.replace("@LOW_PRIORITY@\n", option)
            }
            Self::Json { flatten } => {
                let option = if flatten {
                    "  [--flatten]                    flatten nested objects into the top-level\n"
                } else {
                    ""
                };
                format!("{JSON}{option}")
            }
            Self::Import => IMPORT.to_string(),
            Self::MatcherStart => MATCHER_START.to_string(),
            Self::MatcherAttach => MATCHER_ATTACH.to_string(),
        }
    }
}

const ROOT: &str = "\
usage: vast [options] <command>
options:
  [-e | --endpoint=] <string>    where the node listens
commands:
  dump     prints the concepts
  export   runs a query and prints its events
  status   shows how the node is
  version  prints the software version
";

const EXPORT: &str = "\
usage: vast export [options] <format>
options:
  [-c | --continuous]            run the query on new events
  [-n | --max-events=] <uint64>  stop after this many events
  [-r | --read=] <string>        where to read the query from
@LOW_PRIORITY@
formats:
  json   exports events as JSON
  null   exports query without printing them (debug option)
";

const JSON: &str = "\
usage: vast export json [options] <query>
options:
  [-w | --write=] <string>       where to print the events
  [-d | --uds]                   treat -w as UNIX domain socket to connect to
";

const IMPORT: &str = "\
usage: vast import <format> [options]
  json      imports JSON lines from standard input, with --type=<string>
  suricata  imports EVE lines from standard input
  zeek      imports tab-separated logs from standard input
";

const MATCHER_START: &str = "\
usage: vast matcher <command>
commands:
  start       starts a matcher: --name=<string>
  ioc-remove  removes an IoC: <name> <ioc> <type>
";

const MATCHER_ATTACH: &str = "\
usage: vast matcher <command>
commands:
  attach  attaches to matchers: json <name>[,<name>...]
  add     adds a value: <name> <value> [<context>]
  remove  removes a value: <name> <value>
";
