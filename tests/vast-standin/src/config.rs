//! The configuration of the stand-in, in a file beside the path that it was called by. It
//! is a file, because the caller may give its children a clean environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::version::Version;

/// The configuration: `PATH.json` for a stand-in that is called as `PATH`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The release to behave as.
    pub version: String,
    /// The folder with the events, one `TYPE.json` or `TYPE.json.gz` per type.
    pub events: PathBuf,
    /// The concept table; a release without one knows no `dump` either.
    pub concepts: Option<PathBuf>,
    /// The endpoint of the node.
    pub endpoint: String,
    /// While this file exists the node is away; see [`crate::node`].
    pub down_file: Option<PathBuf>,
    /// The file that records every call; see [`crate::calls`].
    pub log: Option<PathBuf>,
    /// The duration of the client's own shutdown after an export.
    pub shutdown_seconds: f64,
    /// The additional time for each distinct IoC beyond the first 1,000, before the first
    /// line.
    pub per_ioc_seconds: f64,
    /// `--max-events=0` prints nothing, as in some releases before 2021.02.
    pub zero_means_none: bool,
    /// More fields of type address, by the end of their path.
    pub address_fields: Vec<String>,
    /// The extractors of the event's time, instead of those of the release.
    pub time_extractors: Option<Vec<String>>,
    /// The generation of the matcher plugin.
    pub matcher: MatcherPlugin,
    /// The matchers that the node runs (generation `attach`).
    pub matchers: Vec<String>,
    /// Sightings have no context (generation `attach`).
    pub matcher_probabilistic: bool,
    /// The file with the IoCs of the matchers; it need not exist.
    pub state: Option<PathBuf>,
    /// The faults.
    pub faults: Faults,
}

/// The generations of the matcher plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatcherPlugin {
    /// No plugin: every published open-source build.
    None,
    /// `matcher start`, the releases of 2020 and early 2021.
    Start,
    /// `matcher attach`, 2021.08 to 3.x.
    Attach,
}

/// The faults of exports, each on its own or together.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// A query with one of these values does not parse.
    pub refuse_values: Vec<String>,
    /// Only queries with one of these values are affected at all.
    pub only_values: Vec<String>,
    /// Only while this file does not exist; the first fault creates it.
    pub once_file: Option<PathBuf>,
    /// Wait before the first line.
    pub delay_seconds: f64,
    /// Wait before every line.
    pub delay_per_line_seconds: f64,
    /// A query with one of these values prints its lines and then hangs.
    pub hang_on: Vec<String>,
    /// SIGTERM is ignored.
    pub ignore_sigterm: bool,
    /// Die after this many lines, by `die_signal` or else with `die_exit`.
    pub die_after_lines: Option<u64>,
    /// The signal to die by.
    pub die_signal: Option<i32>,
    /// The status to die with (default 1).
    pub die_exit: Option<i32>,
    /// Print half of the last line, then exit 1.
    pub half_line: bool,
    /// Print without end.
    pub flood: Option<Flood>,
    /// Close standard output after the last line and stay.
    pub close_stdout_and_stay: bool,
    /// The node stops in mid-query: exit 0 after this many lines, without a word.
    pub exit_zero_after_lines: Option<u64>,
    /// Noise on standard error before the exit.
    pub stderr_bytes: u64,
    /// A line to print before the results.
    pub bad_line: Option<String>,
}

/// Output without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flood {
    /// The matching lines again and again.
    Lines,
    /// One line that never ends.
    OneLine,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: "2021.01.28".into(),
            events: PathBuf::new(),
            concepts: None,
            endpoint: "localhost:42000".into(),
            down_file: None,
            log: None,
            shutdown_seconds: 0.0,
            per_ioc_seconds: 0.0,
            zero_means_none: false,
            address_fields: Vec::new(),
            time_extractors: None,
            matcher: MatcherPlugin::None,
            matchers: Vec::new(),
            matcher_probabilistic: false,
            state: None,
            faults: Faults::default(),
        }
    }
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// What is wrong with it, naming the file.
    pub fn load(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text = std::fs::read(path).map_err(|error| format!("cannot read {name}: {error}"))?;
        let config: Self =
            serde_json::from_slice(&text).map_err(|error| format!("{name}: {error}"))?;
        if config.events.as_os_str().is_empty() {
            return Err(format!(
                "{name}: `events` must name the folder with the events"
            ));
        }
        if Version::parse(&config.version).is_none() {
            return Err(format!(
                "{name}: `version` is `{}`, not like 2021.01.28 or v2.4.0",
                config.version
            ));
        }
        Ok(config)
    }
}

/// The configuration file for a program that was called by this name.
pub fn beside(program: &OsStr) -> Option<PathBuf> {
    let path = if program.as_bytes().contains(&b'/') {
        Some(PathBuf::from(program))
    } else {
        in_search_path(program).or_else(|| std::env::current_exe().ok())
    }?;
    let mut name = OsString::from(path);
    name.push(".json");
    Some(name.into())
}

fn in_search_path(program: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        Config::load(file.path())
    }

    #[test]
    fn events_are_enough() {
        let config = load(r#"{"events": "/e"}"#).expect("a configuration");
        assert_eq!(config.endpoint, "localhost:42000");
        assert_eq!(config.matcher, MatcherPlugin::None);
        assert_eq!(config.faults.flood, None);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("{}", "events"),
            (r#"{"events": "/e", "vresion": "1"}"#, "vresion"),
            (r#"{"events": "/e", "version": "new"}"#, "version"),
            (r#"{"events": "/e", "faults": {"flod": "lines"}}"#, "flod"),
            ("[", "line 1"),
        ] {
            let error = load(text).expect_err(text);
            assert!(error.contains(word), "{error}");
        }
        assert!(Config::load(Path::new("/nonexistent/vast.json")).is_err());
    }

    #[test]
    fn the_file_stands_beside_the_name_of_the_call() {
        assert_eq!(
            beside(OsStr::new("/a/vast")),
            Some(PathBuf::from("/a/vast.json"))
        );
    }
}
