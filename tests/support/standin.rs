//! The stand-in engine, configured for one test.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::broker::free_ports;
use super::{Scratch, eventually, paths};

/// How the node fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// Like after a crash: running calls exit with 1, new ones cannot connect.
    Killed,
    /// Like after a shutdown: running calls exit with 0 and print nothing.
    Stopped,
    /// Every call hangs.
    Frozen,
}

/// Writes one program for several nodes into a folder, for `--vast-binary`: it runs the
/// stand-in with the given endpoint.
pub fn program_for(folder: &Path, standins: &[&Standin]) -> PathBuf {
    let mut script = "#!/bin/sh\n".to_owned();
    for standin in standins {
        let (endpoint, program) = (standin.endpoint(), standin.path().display());
        script += &format!("[ \"$2\" = {endpoint} ] && exec {program} \"$@\"\n");
    }
    script += &format!("exec {} \"$@\"\n", standins[0].path().display());
    let path = folder.join("vast");
    std::fs::write(&path, script).expect("it can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

/// An engine: a program, a configuration, a node that can go away, and a record of the
/// calls.
pub struct Standin {
    scratch: Scratch,
    program: PathBuf,
    endpoint: String,
    config: Map<String, Value>,
}

/// A call of the engine, from its record.
#[derive(Clone, Debug)]
pub struct Call {
    /// The arguments after the program.
    pub arguments: Vec<String>,
    /// Its standard input, if the call reads it.
    pub stdin: Option<String>,
    /// Its process id.
    pub pid: u64,
    /// When it began, in seconds since 1970.
    pub time: f64,
    /// Its exit status and the number of printed lines; `None` while it runs, or if it was
    /// killed.
    pub end: Option<(i64, u64)>,
}

impl Call {
    /// Whether it is `vast … WORD …`, as `export` or `status`.
    pub fn is(&self, word: &str) -> bool {
        self.arguments.iter().any(|argument| argument == word)
    }

    /// The query, from standard input or else the last argument.
    pub fn query(&self) -> Option<&str> {
        self.stdin
            .as_deref()
            .or_else(|| self.arguments.last().map(String::as_str))
            .filter(|_| self.is("export"))
    }
}

impl Standin {
    /// An engine with the sample events.
    pub fn with_samples() -> Self {
        Self::new(&paths::repository().join("tests/samples/events"))
    }

    /// An engine with the events in this folder, `TYPE.json` or `TYPE.json.gz`.
    pub fn new(events: &Path) -> Self {
        let scratch = Scratch::new();
        let program = scratch.path().join("vast");
        std::os::unix::fs::symlink(binary(), &program).expect("a link can be made");
        let [port] = free_ports();
        let endpoint = format!("127.0.0.1:{port}");
        let config = json!({
            "endpoint": endpoint,
            "events": events,
            "concepts": paths::repository().join("tests/samples/concepts.json"),
            "down_file": scratch.path().join("down"),
            "log": scratch.path().join("calls"),
        });
        let Value::Object(config) = config else {
            unreachable!("an object was written above");
        };
        let standin = Self {
            scratch,
            program,
            endpoint,
            config,
        };
        standin.save();
        standin
    }

    /// An engine with these events: `(type, events)`.
    pub fn holding(types: &[(&str, &[Value])]) -> Self {
        let mut standin = Self::with_samples();
        let folder = standin.scratch.path().join("events");
        std::fs::create_dir(&folder).expect("a folder can be made");
        for (name, events) in types {
            let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
            std::fs::write(folder.join(format!("{name}.json")), lines)
                .expect("a file can be written");
        }
        standin.set("events", json!(folder));
        standin
    }

    /// Imports the output of a sensor: `suricata` or `zeek`.
    ///
    /// # Panics
    ///
    /// If the node rejects it.
    pub fn import(&self, sensor: &str, text: &str) {
        let mut child = Command::new(&self.program)
            .args(["-e", &self.endpoint, "import", sensor])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the stand-in can be run");
        let mut input = child.stdin.take().expect("its input is a pipe");
        input.write_all(text.as_bytes()).expect("it reads");
        drop(input);
        assert!(child.wait().expect("a child can be waited for").success());
    }

    /// An engine that answers every query with these bytes.
    pub fn printing(answer: &[u8]) -> Self {
        let mut standin = Self::with_samples();
        standin.scratch.write("answer", answer);
        let lines = answer.split_inclusive(|&byte| byte == b'\n').count();
        let script = format!(
            "#!/bin/sh\n\
             case \" $* \" in *\" --read=- \"*)\n\
             cat > /dev/null\n\
             cat \"${{0%/*}}/answer\"\n\
             echo 'exporter processed 9 candidates in 1ms and shipped {lines} results' >&2\n\
             exit;;\n\
             esac\n\
             exec \"${{0%/*}}/vast\" \"$@\"\n"
        );
        standin.program = standin.scratch.write("printing", script);
        std::fs::set_permissions(&standin.program, std::fs::Permissions::from_mode(0o755))
            .expect("a file of one's own can be made executable");
        standin
    }

    /// Sets a key of its configuration while it is set up.
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.set(key, value);
        self
    }

    /// Sets a key of its configuration, for later calls.
    pub fn set(&mut self, key: &str, value: Value) {
        self.config.insert(key.to_owned(), value);
        self.save();
    }

    /// Its program, for `--vast-binary`.
    pub fn path(&self) -> &Path {
        &self.program
    }

    /// The endpoint of its node, for `--vast`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A file in its folder, for keys that name one.
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Takes the node away.
    pub fn down(&self, how: Down) {
        let word = match how {
            Down::Killed => "killed",
            Down::Stopped => "sigterm",
            Down::Frozen => "frozen",
        };
        self.replace("down", word);
    }

    /// Brings the node back.
    pub fn up(&self) {
        std::fs::remove_file(self.file("down")).expect("the node is down");
    }

    /// Every call so far, in the order in which they began.
    pub fn calls(&self) -> Vec<Call> {
        // Without a call there is no file.
        let log = std::fs::read_to_string(self.file("calls")).unwrap_or_default();
        let mut calls: Vec<Call> = Vec::new();
        for line in log.lines() {
            let entry: Value = serde_json::from_str(line).expect("the record is JSON");
            let pid = entry["pid"].as_u64().expect("a process id");
            match entry["exit"].as_i64() {
                None => calls.push(begun(pid, &entry)),
                Some(exit) => {
                    let lines = entry["lines"].as_u64().expect("a number of lines");
                    let call = calls.iter_mut().rev().find(|call| call.pid == pid);
                    call.expect("a call begins before it ends").end = Some((exit, lines));
                }
            }
        }
        calls
    }

    /// The calls of `export` so far.
    pub fn exports(&self) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.is("export") && !call.is("--help") && !call.is("help"));
        calls
    }

    /// Waits until this many calls of `export` have begun.
    ///
    /// # Panics
    ///
    /// If they have not begun within `limit`.
    pub fn wait_for_exports(&self, count: usize, limit: Duration) -> Vec<Call> {
        eventually(limit, || self.exports().len() >= count);
        let calls = self.exports();
        assert!(calls.len() >= count, "{count} exports expected: {calls:#?}");
        calls
    }

    /// The events that match a query, which is not recorded, and not affected by faults or
    /// by an absent node: what the bridge should report.
    pub fn answer(&self, query: &str) -> Vec<Value> {
        let program = self.file("oracle");
        if !program.exists() {
            std::os::unix::fs::symlink(binary(), &program).expect("a link can be made");
        }
        let mut config = self.config.clone();
        for key in [
            "down_file",
            "log",
            "shutdown_seconds",
            "per_ioc_seconds",
            "faults",
        ] {
            config.remove(key);
        }
        self.replace("oracle.json", &Value::Object(config).to_string());
        let mut command = paths::clean_command(&program, self.scratch.path());
        command.args(["-e", &self.endpoint, "export", "json", query]);
        let output = command.output().expect("the stand-in can be run");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{query}: {errors}");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("an event is JSON"))
            .collect()
    }

    fn save(&self) {
        self.replace("vast.json", &Value::Object(self.config.clone()).to_string());
    }

    /// Writes a file atomically, so that no call reads half of it.
    fn replace(&self, name: &str, content: &str) {
        let new = self.scratch.write(&format!("{name}.new"), content);
        std::fs::rename(new, self.file(name)).expect("a file can be renamed");
    }
}

fn begun(pid: u64, entry: &Value) -> Call {
    let arguments = entry["argv"].as_array().expect("a list of arguments");
    Call {
        arguments: arguments
            .iter()
            .map(|argument| argument.as_str().expect("an argument is text").to_owned())
            .collect(),
        stdin: entry["stdin"].as_str().map(str::to_owned),
        pid,
        time: entry["time"].as_f64().expect("a time"),
        end: None,
    }
}

/// The stand-in's binary. Cargo does not build the binary of another package for a test, so
/// it is built here, which takes a moment after `make test`.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let profile = paths::profile_directory();
        let name = profile
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a profile's directory has a name");
        let target = profile.parent().expect("it lies in the target directory");
        // The profile `dev` is the one that is not named like its directory.
        let name = if name == "debug" { "dev" } else { name };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--quiet", "--package", "vast-standin"])
            .args(["--profile", name, "--target-dir"])
            .arg(target)
            .current_dir(paths::repository())
            .output()
            .expect("cargo can be run");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "no stand-in: {errors}");
        profile.join("vast-standin")
    })
}
