//! Shows the progress of a run on a terminal, but not in a file or a pipe.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Config, SinkChoice};
use crate::logs::Progress as FilesProgress;
use crate::observe::logging;
use crate::observe::metrics::Metrics;
use crate::process::ticker::{Ticker, Wake};

/// How often the line is updated.
const UPDATE_INTERVAL: Duration = Duration::from_millis(250);

/// Shows the progress of a run over files on standard error, if that is a terminal and
/// sightings are not printed on a terminal as well. The line is removed when the result is
/// dropped.
///
/// # Errors
/// The thread cannot be started.
pub fn start(
    config: &Config,
    files: Option<Arc<FilesProgress>>,
    metrics: &Arc<Metrics>,
) -> io::Result<Ticker> {
    let mixes = config.sink == SinkChoice::Stdout && io::stdout().is_terminal();
    let wanted = config.jobs.once && !config.jobs.indicators.is_empty();
    if !wanted || mixes || !io::stderr().is_terminal() {
        return Ok(Ticker::none());
    }
    let metrics = metrics.clone();
    let started = Instant::now();
    Ticker::start("progress", UPDATE_INTERVAL, move |wake| {
        if wake == Wake::End {
            return logging::clear_status();
        }
        let line = ProgressLine::now(files.as_deref(), &metrics, started.elapsed());
        logging::show_status(|terminal| write!(terminal, "{line}"));
    })
}

/// The unit of the progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Indicators,
    Bytes,
}

/// The progress at one moment.
#[derive(Clone, Copy, Debug)]
struct ProgressLine {
    unit: Unit,
    done: u64,
    /// 0 if unknown.
    all: u64,
    sightings: u64,
    elapsed: Duration,
}

impl ProgressLine {
    fn now(files: Option<&FilesProgress>, metrics: &Metrics, elapsed: Duration) -> Self {
        let (unit, done, all) = match files {
            Some(files) => {
                let (read, total) = files.get();
                (Unit::Bytes, read, total)
            }
            None => {
                let all = metrics.indicators_received.get();
                let done = all.saturating_sub(metrics.backlog.get());
                (Unit::Indicators, done, all)
            }
        };
        ProgressLine {
            unit,
            done,
            all,
            sightings: metrics.sightings_found.get(),
            elapsed,
        }
    }
}

impl fmt::Display for ProgressLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.done as f64 / self.elapsed.as_secs_f64().max(0.001);
        match self.unit {
            Unit::Bytes => {
                let megabytes = |bytes: u64| bytes as f64 / 1e6;
                write!(f, "{:.0}", megabytes(self.done))?;
                if self.all > 0 {
                    write!(f, "/{:.0}", megabytes(self.all))?;
                }
                write!(
                    f,
                    " MB, {} sightings, {:.0} MB/s",
                    self.sightings,
                    rate / 1e6
                )?;
            }
            Unit::Indicators => write!(
                f,
                "{}/{} indicators, {} sightings, {rate:.0}/s",
                self.done, self.all, self.sightings
            )?,
        }
        if self.done > 0 && self.all >= self.done {
            let seconds = (self.all - self.done) as f64 / rate;
            write!(f, ", {} left", clock(seconds as u64))?;
        }
        Ok(())
    }
}

/// `1:05`, `2:00:07`.
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(unit: Unit, done: u64, all: u64, seconds: u64) -> String {
        ProgressLine {
            unit,
            done,
            all,
            sightings: 7,
            elapsed: Duration::from_secs(seconds),
        }
        .to_string()
    }

    #[test]
    fn the_line_tells_done_all_sightings_rate_and_time_left() {
        assert_eq!(
            line(Unit::Indicators, 50, 200, 10),
            "50/200 indicators, 7 sightings, 5/s, 0:30 left"
        );
        assert_eq!(
            line(Unit::Bytes, 1_000_000_000, 8_000_000_000, 1000),
            "1000/8000 MB, 7 sightings, 1 MB/s, 1:56:40 left"
        );
        // The size of a pipe is unknown.
        assert_eq!(
            line(Unit::Bytes, 5_000_000, 0, 1),
            "5 MB, 7 sightings, 5 MB/s"
        );
        assert_eq!(
            line(Unit::Indicators, 0, 0, 0),
            "0/0 indicators, 7 sightings, 0/s"
        );
    }
}
