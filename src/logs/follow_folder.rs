//! Follows the logs in a folder, existing and new ones.
//!
//! An uncompressed log that was written in the last day is followed. A new file is read
//! from its start, unless it is an archive: it is compressed, or its name begins like
//! that of a followed log (`eve.json.1`, `conn.10:00:00-….log`), whose content was read
//! as it was written.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::{error, info, warn};

use super::folder::{self, Identity, ListedLog, Memory};
use super::follow::{Follower, LOG_CHECK_INTERVAL};
use super::read::{BlockReader, LogError};
use super::source::Source;
use crate::process;
use crate::protocol::MatchType;

/// How often the folder is checked for new logs.
const FOLDER_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// A log that was not written for this long is not followed.
const IDLE: Duration = Duration::from_secs(24 * 3600);

/// Everything that is needed to follow a folder.
pub struct FolderFollower<'a> {
    /// Where lines are sent.
    pub reader: &'a BlockReader<'a>,
    /// Registers a log by its name.
    pub register: &'a dyn Fn(&Path) -> Arc<Source>,
    /// Records the outcome of a log.
    pub conclude: &'a dyn Fn(&Source, Result<(), LogError>),
}

impl FolderFollower<'_> {
    /// Follows the logs in the folder until the program ends. With `from_start`, their
    /// initial content is matched too.
    ///
    /// # Errors
    /// The folder cannot be read at the start.
    pub fn run(&self, folder: &Path, from_start: bool) -> io::Result<()> {
        let mut known = HashSet::new();
        let mut memory = Memory::default();
        let mut followers = Vec::new();
        for input in folder::logs(folder, &mut memory)? {
            known.extend(input.identity);
            if self.reader.stop.is_draining() {
                return Ok(());
            }
            followers.extend(self.take(&input, from_start, false));
        }
        if followers.is_empty() {
            let name = process::input::name(folder);
            warn!("{name} has no log that can be followed yet: new ones will be");
        }
        let mut looked = Instant::now();
        loop {
            followers.retain_mut(|follower| {
                let step = follower.step(self.reader);
                known.insert(follower.identity());
                let goes_on = step.is_ok();
                if !goes_on {
                    (self.conclude)(follower.source(), step);
                }
                goes_on
            });
            if self.reader.stop.sleep(LOG_CHECK_INTERVAL) {
                return Ok(());
            }
            if looked.elapsed() >= FOLDER_CHECK_INTERVAL {
                looked = Instant::now();
                match folder::logs(folder, &mut memory) {
                    Ok(logs) => self.take_new(logs, &mut known, &mut followers),
                    Err(error) => error!("{}: {error}", process::input::name(folder)),
                }
            }
        }
    }

    fn take_new(
        &self,
        logs: Vec<ListedLog>,
        known: &mut HashSet<Identity>,
        followers: &mut Vec<Follower>,
    ) {
        for input in logs {
            let is_followed = followers.iter().any(|one| one.path() == input.path);
            if is_followed
                || !input
                    .identity
                    .is_some_and(|identity| known.insert(identity))
            {
                continue;
            }
            let is_archive = followers
                .iter()
                .any(|one| is_archive(&input.path, one.path()));
            if !is_archive {
                followers.extend(self.take(&input, true, true));
            }
        }
    }

    /// Follows a log, or reads it once.
    fn take(&self, input: &ListedLog, from_start: bool, is_new: bool) -> Option<Follower> {
        let source = (self.register)(&input.path);
        let result = self.follower(input, &source, from_start, is_new);
        match result {
            Ok(Some(follower)) if is_new => return Some(follower.made_live()),
            Ok(Some(follower)) => return Some(follower),
            Ok(None) => {}
            Err(failure) => (self.conclude)(&source, Err(failure)),
        }
        None
    }

    fn follower(
        &self,
        input: &ListedLog,
        source: &Arc<Source>,
        from_start: bool,
        is_new: bool,
    ) -> Result<Option<Follower>, LogError> {
        let path = &input.path;
        let age = SystemTime::now().duration_since(input.written);
        let is_idle = age.is_ok_and(|age| age > IDLE);
        let opened = process::input::OpenInput::open(path, self.reader.stop)?;
        if is_idle || folder::is_compressed(&opened)? {
            info!("{} does not grow, and is not followed", source.name);
            if from_start && !is_new {
                self.reader.read_open(source, opened, MatchType::Retro)?;
            }
            return Ok(None);
        }
        Follower::new(path, source.clone(), opened, from_start).map(Some)
    }
}

/// Whether a new file is an archive of a followed log, judging by their names.
fn is_archive(new: &Path, followed: &Path) -> bool {
    let name = |path: &Path| {
        path.file_name()
            .map(OsStr::to_string_lossy)
            .map(String::from)
    };
    let (Some(new), Some(followed)) = (name(new), name(followed)) else {
        return false;
    };
    let stem = followed.split('.').next().unwrap_or_default();
    let rest = new.strip_prefix(stem);
    rest.is_some_and(|rest| rest.starts_with(['.', '-', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_archives_begin_like_that_of_their_log() {
        let followed = Path::new("/logs/current/conn.log");
        for name in [
            "/logs/current/conn.log.1",
            "/logs/2024-03-05/conn.10:00:00-11:00:00.log",
            "/logs/conn-20240305.log",
        ] {
            assert!(is_archive(Path::new(name), followed), "{name}");
        }
        for name in ["/logs/current/dns.log", "/logs/connections.log"] {
            assert!(!is_archive(Path::new(name), followed), "{name}");
        }
    }
}
