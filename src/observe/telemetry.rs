//! Writes metrics to files for other programs: InfluxDB line protocol, like the original,
//! and the text format of Prometheus.

mod host;
mod influx;
mod prometheus;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use log::{error, warn};

use crate::observe::metrics::Metrics;
use crate::process::child;
use crate::process::ticker::{Ticker, Wake};
use influx::InfluxLines;
use prometheus::Circumstances;

/// Where and when metrics are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsFiles {
    /// The time between two updates; `None` = no metrics in any file.
    pub interval: Option<Duration>,
    /// The file for lines of InfluxDB; `None` = no such file.
    pub filename: Option<PathBuf>,
    /// The file for Prometheus; `None` = no such file.
    pub prometheus: Option<PathBuf>,
}

/// The writer of the files.
pub struct Telemetry {
    ticker: Ticker,
    is_clean: Arc<AtomicBool>,
}

impl Telemetry {
    /// Starts writing, if any file is configured. `sensor_name` is the bridge's name, if
    /// it has one, and `config` its configuration file.
    pub fn start(
        files: &MetricsFiles,
        sensor_name: Option<&str>,
        config: Option<&Path>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let is_clean = Arc::new(AtomicBool::new(false));
        let is_wanted = files.filename.is_some() || files.prometheus.is_some();
        let Some(interval) = files.interval.filter(|_| is_wanted) else {
            return Telemetry {
                ticker: Ticker::none(),
                is_clean,
            };
        };
        let mut writer = MetricsWriter {
            files: files.clone(),
            sensor_name: sensor_name.map(str::to_owned),
            bridge: bridge(sensor_name, config),
            metrics: metrics.clone(),
            lines: None,
            started: since_1970(),
            is_failing: false,
        };
        // The numbers of an earlier run are outdated.
        let shown = writer.show(false);
        writer.note(shown);
        let is_over = is_clean.clone();
        let write = move |wake| writer.write(wake, is_over.load(Ordering::Acquire));
        let ticker = Ticker::start("metrics", interval, write).unwrap_or_else(|error| {
            error!("cannot start the thread that writes metrics: {error}");
            Ticker::none()
        });
        Telemetry { ticker, is_clean }
    }

    /// Writes a last time. After a clean end the Prometheus file is removed, so that
    /// nobody reads old numbers as current. After any other end it remains, and its time
    /// tells that the bridge is gone.
    pub fn end(self, is_clean: bool) {
        self.is_clean.store(is_clean, Ordering::Release);
        drop(self.ticker);
    }
}

/// The label of the bridge: two bridges on one host must not have the same samples.
fn bridge(sensor_name: Option<&str>, config: Option<&Path>) -> String {
    let given = sensor_name.map(str::to_owned);
    given.unwrap_or_else(|| {
        let host = host::node_name();
        match config.and_then(Path::file_stem) {
            Some(name) => format!("{host}/{}", name.to_string_lossy()),
            None => host,
        }
    })
}

fn since_1970() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

struct MetricsWriter {
    files: MetricsFiles,
    sensor_name: Option<String>,
    bridge: String,
    metrics: Arc<Metrics>,
    /// Created with the first line, since getting the host name may take a moment.
    lines: Option<InfluxLines>,
    started: Duration,
    is_failing: bool,
}

impl MetricsWriter {
    fn write(&mut self, wake: Wake, is_clean: bool) {
        let appended = self.append();
        let is_over = wake == Wake::End;
        let shown = match &self.files.prometheus {
            Some(path) if is_over && is_clean => remove(path),
            _ => self.show(is_over),
        };
        self.note(appended.and(shown));
    }

    /// Writes the lines that are due.
    fn append(&mut self) -> io::Result<()> {
        let Some(path) = &self.files.filename else {
            return Ok(());
        };
        let lines = self.lines.get_or_insert_with(|| {
            InfluxLines::new(&host::full_name(), self.sensor_name.as_deref())
        });
        let text = lines.next(&self.metrics, child::running(), since_1970());
        if text.is_empty() {
            Ok(())
        } else {
            append(path, &text).map_err(|error| named(path, &error))
        }
    }

    /// Rewrites the Prometheus file.
    fn show(&self, is_over: bool) -> io::Result<()> {
        let Some(path) = &self.files.prometheus else {
            return Ok(());
        };
        let about = Circumstances {
            bridge: &self.bridge,
            children: child::running(),
            started: self.started,
            now: since_1970(),
            is_over,
        };
        let text = prometheus::text(&self.metrics, &about);
        replace(path, &text).map_err(|error| named(path, &error))
    }

    fn note(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.is_failing = false,
            Err(error) => {
                // Logged once, until it works again.
                if !std::mem::replace(&mut self.is_failing, true) {
                    warn!("metrics cannot be written to {error}");
                }
            }
        }
    }
}

/// An error that names the file.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Metrics are readable by others, whatever the umask for this program's other files.
fn readable() -> Permissions {
    Permissions::from_mode(0o644)
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    // Opened each time, so that it can be rotated.
    let mut open = File::options();
    open.append(true);
    let mut file = match open.clone().create_new(true).open(path) {
        Ok(file) => {
            file.set_permissions(readable())?;
            file
        }
        Err(_) => open.create(true).open(path)?,
    };
    file.write_all(text.as_bytes())
}

/// Replaces the file atomically, so that readers see either file whole.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    // The collector only reads files that end in `.prom`.
    temporary.push(".new");
    fs::write(&temporary, text)?;
    fs::set_permissions(&temporary, readable())?;
    fs::rename(&temporary, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path, &error)),
        _ => Ok(()),
    }
}

/// What was not matched, by reason.
fn by_reason(metrics: &Metrics) -> [(&'static str, &'static str, BTreeMap<String, u64>); 2] {
    [
        (
            "indicators_rejected",
            "Rejected messages and indicators, by reason.",
            metrics.rejected.get(),
        ),
        (
            "indicators_unsupported",
            "Unsupported indicators, by reason.",
            metrics.unsupported.get(),
        ),
    ]
}

#[cfg(test)]
mod tests;
