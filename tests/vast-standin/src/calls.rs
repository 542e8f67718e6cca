//! The record of every call, for tests: one JSON line when a call begins (or
//! once its standard input was read) and one when it ends.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

/// Where this call is written down, and how many lines it printed.
#[derive(Debug)]
pub struct CallLog {
    path: Option<PathBuf>,
    ended: AtomicBool,
    /// The lines printed so far.
    pub lines: AtomicU64,
}

impl CallLog {
    /// A record in this file, or none.
    pub fn new(path: Option<&Path>) -> Self {
        Self {
            path: path.map(Path::to_path_buf),
            ended: AtomicBool::new(false),
            lines: AtomicU64::new(0),
        }
    }

    /// Writes down that the call began.
    pub fn begin(&self, arguments: &[String], stdin: Option<&[u8]>) {
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64());
        let mut entry = json!({"argv": arguments, "pid": std::process::id(), "time": time});
        if let Some(stdin) = stdin {
            entry["stdin"] = String::from_utf8_lossy(stdin).into();
        }
        self.append(&entry);
    }

    /// Writes down, once, that the call ends.
    pub fn end(&self, status: i32) {
        if !self.ended.swap(true, Ordering::SeqCst) {
            let lines = self.lines.load(Ordering::SeqCst);
            self.append(&json!({"pid": std::process::id(), "exit": status, "lines": lines}));
        }
    }

    fn append(&self, entry: &serde_json::Value) {
        let Some(path) = &self.path else {
            return;
        };
        let result = append_line(path, &entry.to_string());
        if let Err(error) = result {
            crate::complain(&format!("cannot write {}: {error}", path.display()));
        }
    }
}

/// Appends a line with a single write, so that lines of several processes do
/// not mix.
pub fn append_line(path: &Path, line: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}
