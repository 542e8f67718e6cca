//! Command-line entry: runs what the arguments request and returns the exit status.

use std::env;
use std::io::{self, Write};

use log::{info, warn};

use crate::config::{self, Config, Invocation};
use crate::matching::Mode;
use crate::observe::logging;
use crate::process::exit_code::ExitCode;
use crate::run::explain::{self, ExplainOptions};
use crate::run::{self, check};

/// Runs the program with this process's arguments and environment.
pub fn main() -> std::process::ExitCode {
    start().into()
}

fn start() -> ExitCode {
    match config::from_args(env::args_os().skip(1), env::vars_os()) {
        Ok(Invocation::Run(config)) => run_bridge(&config),
        Ok(Invocation::Print(text)) => match io::stdout().write_all(text.as_bytes()) {
            // A reader that closed the pipe, like `head`, has read enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::Software,
            _ => ExitCode::Success,
        },
        Ok(Invocation::Explain {
            file,
            wider,
            feed,
            summary,
            engine,
            mode,
        }) => explain::run(
            &file,
            &feed,
            ExplainOptions {
                engine,
                mode,
                wider,
            },
            summary,
        ),
        Err(error) => usage(&error),
    }
}

fn usage(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("vast-threatbus: {error}");
    ExitCode::Usage
}

fn run_bridge(config: &Config) -> ExitCode {
    if let Err(error) = logging::init(&config.logging) {
        return usage(&error);
    }
    match &config.file {
        Some(file) => info!(
            "vast-threatbus {}, configured by {}",
            env!("CARGO_PKG_VERSION"),
            file.display()
        ),
        None => info!("vast-threatbus {}", env!("CARGO_PKG_VERSION")),
    }
    if config.meaning.mode != Mode::Exact {
        info!(
            "an indicator matches where an event contains what it names, however both spell it; \
             --match exact compares whole fields, as pyvast-threatbus did"
        );
    }
    for note in &config.notes {
        info!("{note}");
    }
    for warning in &config.warnings {
        warn!("{warning}");
    }
    if config.check {
        check::run(config)
    } else {
        run::run(config)
    }
}
