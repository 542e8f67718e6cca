//! Reloads files of indicators when they change, while logs are followed.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Receiver;
use log::{error, info};

use super::ids::{Id, Ids};
use super::{FeedFile, Taker, failed, list, read, useless};
use crate::indicator::Message;
use crate::process::input;
use crate::protocol::feed::{Error, Found, Report};

/// How often to check the files.
const FEED_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a file must stay unchanged: its writer may not have finished.
const STANDING: Duration = Duration::from_secs(2);

/// The state of a file, as far as it is known without reading it; `None` if it does not
/// exist or is not a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState(Option<(u64, u64, u64, SystemTime)>);

impl FileState {
    /// The current state of a file.
    pub fn of(path: &Path) -> Self {
        let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file);
        FileState(metadata.map(|metadata| {
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            (metadata.dev(), metadata.ino(), metadata.len(), modified)
        }))
    }
}

/// A file that has been read.
#[derive(Debug)]
struct ReadFeed {
    state: FileState,
    /// A different state, and since when the file has it.
    changed: Option<(FileState, Instant)>,
    ids: Ids,
}

/// All files that have been read.
#[derive(Debug, Default)]
pub struct Sets(BTreeMap<FeedFile, ReadFeed>);

impl Sets {
    /// Records a file's state before it was read, and its indicators.
    pub fn taken(&mut self, source: FeedFile, state: FileState, ids: Ids) {
        let taken = ReadFeed {
            state,
            changed: None,
            ids,
        };
        self.0.insert(source, taken);
    }

    /// The files that have changed, and stayed unchanged since.
    fn due(&mut self, now: Instant) -> Vec<FeedFile> {
        let due = self.0.iter_mut().filter_map(|(source, taken)| {
            let state = FileState::of(&source.path);
            match taken.changed {
                _ if state == taken.state => taken.changed = None,
                Some((same, since)) if same == state => {
                    return (now.duration_since(since) >= STANDING).then(|| source.clone());
                }
                _ => taken.changed = Some((state, now)),
            }
            None
        });
        due.collect()
    }

    /// Whether a file holds an indicator.
    fn hold(&self, id: &Id) -> bool {
        self.0.values().any(|taken| taken.ids.hold(id))
    }
}

/// Why a file is reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It has changed.
    Changed,
    /// A signal requested it. Unchanged indicators are added again too, since other values
    /// may be allowed now.
    Requested,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Changed => "has changed",
            Why::Requested => "is read again",
        })
    }
}

/// Watches the files until the program ends.
pub fn run(taker: &mut Taker<'_>, mut sets: Sets, reloads: &Receiver<()>) {
    // Standard input and pipes are only read once.
    sets.0.retain(|_, taken| taken.state.0.is_some());
    while !taker.stop.sleep(FEED_CHECK_INTERVAL) {
        for source in list(&taker.jobs.indicators).sources {
            let is_new = source.folder.is_some() && !sets.0.contains_key(&source);
            if is_new {
                sets.taken(source, FileState(None), Ids::default());
            }
        }
        if reloads.try_recv().is_ok() {
            let all: Vec<FeedFile> = sets.0.keys().cloned().collect();
            for source in all {
                take_anew(taker, &mut sets, &source, Why::Requested);
            }
        }
        for source in sets.due(Instant::now()) {
            take_anew(taker, &mut sets, &source, Why::Changed);
        }
    }
}

/// Reloads a file: reads it once to check it, and again to add its indicators.
fn take_anew(taker: &mut Taker<'_>, sets: &mut Sets, source: &FeedFile, why: Why) {
    let name = input::name(&source.path);
    let state = FileState::of(&source.path);
    let is_gone = state.0.is_none() && source.folder.is_some();
    let mut problem = None;
    if !is_gone {
        let seen = read(&source.path, &taker.jobs.feed, taker.stop, &mut |_| {});
        if taker.stop.is_draining() {
            return;
        }
        problem = problem_of(&seen);
    }
    taker.metrics.unusable_feeds.set(&name, problem.is_some());
    if let Some(problem) = problem {
        error!(
            file = name.as_str(), reason = problem.as_str();
            "{name} {why}, but its former indicators stay: {problem}"
        );
        if let Some(taken) = sets.0.get_mut(source) {
            taken.state = state;
            taken.changed = None;
        }
        return;
    }
    let old = sets.0.remove(source).map(|taken| taken.ids);
    let mut old = old.unwrap_or_default();
    let (mut added, mut gone) = (0u64, 0u64);
    if !is_gone {
        let mut ids = Ids::default();
        let is_whole;
        (added, is_whole) = put_changed(taker, source, &mut old, &mut ids, why);
        // If it changed while it was read, it is read again later. Until then nothing is removed.
        if !is_whole || FileState::of(&source.path) != state {
            ids.keep(std::mem::take(&mut old));
        }
        sets.taken(source.clone(), state, ids);
    }
    for id in old.into_ids().filter(|id| !sets.hold(id)) {
        gone += 1;
        taker.take(Message::Withdraw(id.text()));
    }
    info!("{name} {why}: {added} indicator(s) are new or changed, {gone} are gone");
}

/// The reason to keep the indicators that the file had before, if there is one.
fn problem_of(seen: &Result<Report, Error>) -> Option<String> {
    match seen {
        Ok(report) if report.is_useless() => Some(useless(report)),
        Ok(report) if report.is_empty() => Some("it holds no indicators".to_owned()),
        Ok(report) if report.is_cut_off => Some("it ends inside a value".to_owned()),
        Ok(_) => None,
        Err(error) => Some(failed(error)),
    }
}

/// Adds the indicators that are new or have changed; returns their number, and whether the
/// file was read to its end. Known indicators are moved from `old` to `ids`, so that memory
/// holds little more than one set of them.
fn put_changed(
    taker: &Taker<'_>,
    source: &FeedFile,
    old: &mut Ids,
    ids: &mut Ids,
    why: Why,
) -> (u64, bool) {
    let name = input::name(&source.path);
    let (mut added, mut rejected) = (0, 0);
    let seen = read(&source.path, &taker.jobs.feed, taker.stop, &mut |found| {
        // When the program stops, a file may end anywhere, even within a value.
        if taker.stop.is_draining() {
            return;
        }
        let message = match found {
            Found::Message(message) => message,
            Found::Rejected(line, rejection) => {
                rejected += 1;
                return taker.reject(&rejection, line, &name, rejected);
            }
        };
        let is_new = ids.renew(&message, old);
        if let Message::Match { .. } = &message {
            if !is_new && why == Why::Changed {
                return;
            }
            added += u64::from(is_new);
        }
        if !matches!(message, Message::Unsupported { .. }) {
            taker.take(message);
        }
    });
    taker.name_more_rejected(rejected, &name);
    taker.name_doubt(&seen, &name);
    let is_whole = problem_of(&seen).is_none() && !taker.stop.is_draining();
    (added, is_whole)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_due_when_it_has_changed_and_stood_still() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("feed");
        fs::write(&path, "a.example\n").expect("a file");
        let source = FeedFile {
            path: path.clone(),
            folder: None,
        };
        let mut sets = Sets::default();
        sets.taken(source.clone(), FileState::of(&path), Ids::default());
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(sets.due(after(0)).is_empty());
        fs::write(&path, "a.example\nb.example\n").expect("a file");
        assert!(sets.due(after(1)).is_empty());
        fs::write(&path, "a.example\nb.example\nc.example\n").expect("a file");
        assert!(sets.due(after(4)).is_empty());
        assert!(sets.due(after(5)).is_empty());
        assert_eq!(sets.due(after(6)), [source]);
        fs::remove_file(&path).expect("it is there");
        assert!(sets.due(after(7)).is_empty());
        assert_eq!(sets.due(after(9)).len(), 1);
    }
}
