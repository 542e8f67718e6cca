//! A stand-in for the `vast` command: behaves as that was measured and recorded
//! to, over events in files and without a node. It is
//! configured by the file `PATH.json` beside the path that it is called as.

mod calls;
mod cli;
mod concepts;
mod config;
mod ending;
mod evaluate;
mod events;
mod export;
mod faults;
mod flatten;
mod import;
mod matcher;
mod node;
mod output;
mod partition;
mod query;
mod scan;
mod schema;
mod session;
mod usage;
mod version;

use std::io::Write;
use std::path::Path;
use std::process::exit;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use calls::CallLog;
use cli::{Command, Features};
use config::Config;
use ending::Ending;
use node::Node;
use output::Output;
use session::Session;
use version::Version;

/// Exit status for a stand-in that is not configured (`EX_USAGE`).
const NOT_CONFIGURED: i32 = 64;

fn main() {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let session = match config::beside(&program)
        .ok_or_else(|| "cannot find the path that this was called as".to_string())
        .and_then(|path| session(&path, arguments))
    {
        Ok(session) => session,
        Err(error) => {
            complain_raw(&format!("vast-standin: {error}"));
            exit(NOT_CONFIGURED);
        }
    };
    let ending = match watch_signals(&session).map_err(Ending::from) {
        Ok(()) => run(&session).err().unwrap_or(Ending::silent(0)),
        Err(ending) => ending,
    };
    finish(&session, &ending);
}

fn session(path: &Path, arguments: Vec<String>) -> Result<Session, String> {
    let config = Config::load(path)?;
    let version = Version::parse(&config.version)
        .ok_or_else(|| format!("`{}` is no version", config.version))?;
    Ok(Session {
        log: Arc::new(CallLog::new(config.log.as_deref())),
        node: Node::new(&config.endpoint, config.down_file.clone()),
        config,
        version,
        arguments,
    })
}

/// SIGTERM and SIGINT end the engine with 0, whatever it is doing.
fn watch_signals(session: &Session) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let log = session.log.clone();
    let ignore_sigterm = session.config.faults.ignore_sigterm;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal != SIGTERM || !ignore_sigterm {
                log.end(0);
                exit(0);
            }
        }
    });
    Ok(())
}

fn run(session: &Session) -> Result<(), Ending> {
    let features = Features {
        version: &session.version,
        matcher: session.config.matcher,
        concepts: session.config.concepts.is_some(),
    };
    if session.node.is_away() {
        matcher::forget(session)?;
    }
    let call = match cli::parse(&session.arguments, features) {
        Ok(call) => call,
        Err(usage) => {
            session.log.begin(&session.arguments, None);
            return Err(Ending::Usage(usage));
        }
    };
    let endpoint = call.endpoint.as_deref();
    match call.command {
        Command::Export(export) => export::run(session, &export, endpoint),
        Command::Version | Command::Help(_) | Command::Status | Command::DumpConcepts => {
            session.log.begin(&session.arguments, None);
            tell(session, &call.command, endpoint)
        }
        Command::Import(format) => import::run(session, format, endpoint),
        command => matcher::run(session, &command, endpoint),
    }
}

/// The calls that print one text.
fn tell(session: &Session, command: &Command, endpoint: Option<&str>) -> Result<(), Ending> {
    let text = match command {
        Command::Help(usage) => {
            complain_raw(&usage.text());
            return Ok(());
        }
        Command::Version => session.version.report().into_bytes(),
        Command::DumpConcepts => match &session.config.concepts {
            Some(path) => std::fs::read(path)?,
            None => Vec::new(),
        },
        _ => {
            session.node.connect(endpoint)?;
            b"{\n  \"node\": {}\n}".to_vec()
        }
    };
    let mut output = Output::new(None, session.log.clone())?;
    for line in text
        .strip_suffix(b"\n")
        .unwrap_or(&text)
        .split(|&b| b == b'\n')
    {
        output.line(line)?;
    }
    Ok(output.flush()?)
}

/// Ends the process as the call ended.
fn finish(session: &Session, ending: &Ending) -> ! {
    let status = match ending {
        Ending::Signal(signal) => {
            session.log.end(128 + signal);
            // Takes the signal's default action, which for these signals is the end.
            let _ = signal_hook::low_level::emulate_default_handler(*signal);
            128 + signal
        }
        Ending::Usage(usage) => {
            complain_raw(usage.text().trim_end());
            1
        }
        Ending::Exit { status, message } => {
            if let Some(message) = message {
                complain_raw(message);
            }
            *status
        }
    };
    session.log.end(status);
    exit(status)
}

/// A log line on standard error.
pub fn complain(text: &str) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let (seconds, millis) = (since.as_secs() % 86_400, since.subsec_millis());
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    complain_raw(&format!(
        "[{hour:02}:{minute:02}:{second:02}.{millis:03}] {text}"
    ));
}

/// A line on standard error; a closed one is no reason to fail.
pub fn complain_raw(text: &str) {
    let _ = std::io::stderr()
        .lock()
        .write_all(format!("{text}\n").as_bytes());
}
