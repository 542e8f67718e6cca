//! The built program, observed.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::Scratch;
use super::broker::Broker;
use super::observed::{Observed, Reader};
use super::paths;
use super::standin::Standin;

/// How to start the bridge.
pub struct Bridge {
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    scratch: Scratch,
    reader: Reader,
}

impl Bridge {
    /// The program without arguments, in its own empty directory.
    pub fn bare() -> Self {
        Self {
            arguments: Vec::new(),
            environment: Vec::new(),
            scratch: Scratch::new(),
            reader: Reader::Patient,
        }
    }

    /// Retro matching with this management endpoint and this engine, of whole values
    /// (`--match exact`) and without `--allow` defaults: the engine's answer to a query is what
    /// must be reported. Logs everything.
    pub fn between(threatbus: &str, engine: &Standin) -> Self {
        Self::bare()
            .args(["--retro-match", "--match", "exact", "--no-allow-defaults"])
            .args(["-v", engine.endpoint()])
            .arg("-b")
            .arg(engine.path())
            .args(["-t", threatbus])
            .args(["-l", "debug"])
    }

    /// As [`Bridge::between`], with more arguments, started.
    pub fn start(broker: &Broker, engine: &Standin, arguments: &[&str]) -> Observed {
        Self::between(&broker.endpoint(), engine)
            .args(arguments)
            .run()
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let arguments = arguments.into_iter();
        self.arguments
            .extend(arguments.map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let entry = (name.as_ref().to_owned(), value.as_ref().to_owned());
        self.environment.push(entry);
        self
    }

    /// Writes a file into the working directory, for example `config.yaml`.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.scratch.write(name, content);
        self
    }

    /// The working directory, which is also the home directory.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// How standard output is read.
    pub fn reader(mut self, reader: Reader) -> Self {
        self.reader = reader;
        self
    }

    /// Starts it.
    pub fn run(self) -> Observed {
        let mut command = paths::clean_command(program(), self.scratch.path());
        command.args(self.arguments).envs(self.environment);
        Observed::start(command, self.scratch, self.reader)
    }
}

/// The built program.
pub fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_vast-threatbus"))
}
