//! How a call ends.

use std::io;

use crate::usage::Usage;

/// The end of a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an exit status and a last line on standard error.
    Exit {
        /// The exit status.
        status: i32,
        /// The last line, if there is one.
        message: Option<String>,
    },
    /// With a usage text and status 1.
    Usage(Usage),
    /// By a signal.
    Signal(i32),
}

impl Ending {
    /// Without a word.
    pub fn silent(status: i32) -> Self {
        Self::Exit {
            status,
            message: None,
        }
    }

    /// With status 1 and `!! text`, as the engine prints errors.
    pub fn error(text: &str) -> Self {
        Self::Exit {
            status: 1,
            message: Some(format!("!! {text}")),
        }
    }
}

/// A closed standard output kills the engine by SIGPIPE.
impl From<io::Error> for Ending {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Signal(signal_hook::consts::SIGPIPE),
            _ => Self::error(&format!("filesystem_error: {error}")),
        }
    }
}
