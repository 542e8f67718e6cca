//! The table at the end of a run on a terminal, and the files of `--summary-file`.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use log::{error, info};

use crate::config::{Config, SummaryFormat};
use crate::process::input;
use crate::sighting::summary;
use crate::sighting::tally::{SightingSummary, Tally};

/// The tally of a run, if a summary is requested.
pub(super) fn tally(config: &Config) -> Option<Arc<Mutex<Tally>>> {
    let is_wanted = !config.jobs.summary_files.is_empty() || shows_table(config);
    let feed = match config.jobs.indicators.as_slice() {
        [] => "Threat Bus".to_owned(),
        paths => {
            let names: Vec<String> = paths.iter().map(|path| input::name(path)).collect();
            names.join(", ")
        }
    };
    is_wanted.then(|| Arc::new(Mutex::new(Tally::new(feed))))
}

fn shows_table(config: &Config) -> bool {
    config.jobs.once && config.logging.console.is_some() && io::stderr().is_terminal()
}

/// Shows and writes the summary; returns whether everything could be written.
pub(super) fn output(config: &Config, tally: Option<Arc<Mutex<Tally>>>) -> bool {
    let Some(tally) = tally else {
        return true;
    };
    let summary = tally
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .summary();
    if shows_table(config) {
        // If the terminal is closed, nobody reads it.
        let _ = io::stderr().write_all(summary::table(&summary).as_bytes());
    }
    let mut is_good = true;
    for (path, format) in &config.jobs.summary_files {
        let name = input::name(path);
        match write(path, *format, &summary) {
            Ok(()) => info!("the summary is in {name}"),
            Err(reason) => {
                error!("--summary-file {name}: {reason}");
                is_good = false;
            }
        }
    }
    is_good
}

fn write(path: &Path, format: SummaryFormat, summary: &SightingSummary) -> io::Result<()> {
    let text = match format {
        SummaryFormat::Json => summary::json(summary)?,
        SummaryFormat::Csv => summary::csv(summary),
        SummaryFormat::Html => summary::html(summary),
    };
    replace(path, text.as_bytes())
}

/// Replaces a file atomically, with mode 0600. The new file has a random name: an existing
/// file or link with that name is not written to.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = new_name(path);
    let written = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_data()
        })
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // It may not exist.
        let _ = fs::remove_file(&new);
    }
    written
}

fn new_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", uuid::Uuid::new_v4().simple()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_in_one_step_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv");
        fs::write(&path, "old and longer").expect("written");
        replace(&path, b"new").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("read"), "new");
        let mode = path.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        assert!(replace(&folder.path().join("none/a.csv"), b"").is_err());
    }
}
