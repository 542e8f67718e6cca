//! The bridges that are compared: this one and the two originals.

use std::time::Duration;

use serde_json::json;

use crate::support::bridge::Bridge;
use crate::support::broker::BrokerKind;
use crate::support::observed::{Observed, Reader};
use crate::support::standin::Standin;
use crate::support::{Scratch, paths};

/// A bridge between a bus and an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// This program.
    Ours,
    /// `pyvast-threatbus` 2020.11.26 on the legacy bus, `vast-threatbus`
    /// 2022.5.16 on the other.
    Original,
}

impl Contender {
    /// Its name and version.
    pub fn name(self, kind: BrokerKind) -> &'static str {
        match (self, kind) {
            (Contender::Ours, _) => "this program",
            (Contender::Original, BrokerKind::Legacy) => "pyvast-threatbus 2020.11.26",
            (Contender::Original, _) => "vast-threatbus 2022.5.16",
        }
    }

    /// Starts it, with the settings it comes with.
    pub fn start(self, kind: BrokerKind, threatbus: &str, engine: &Standin) -> Observed {
        match self {
            Contender::Ours => Bridge::bare()
                .arg("--retro-match")
                .args(["-v", engine.endpoint()])
                .arg("-b")
                .arg(engine.path())
                .args(["-t", threatbus])
                .run(),
            Contender::Original => original(kind, threatbus, engine),
        }
    }
}

fn original(kind: BrokerKind, threatbus: &str, engine: &Standin) -> Observed {
    let (venv, program) = match kind {
        BrokerKind::Legacy => ("app-2020.11.26", "pyvast-threatbus"),
        _ => ("app-2022.5.16", "vast-threatbus"),
    };
    // The keys of both; each passes over those of the other. JSON is YAML.
    let config = json!({
        "vast": engine.endpoint(), "vast_binary": engine.path(), "threatbus": threatbus,
        "snapshot": 0, "loglevel": "WARNING", "retro_match": true, "live_match": false,
        "retro_match_max_events": 0, "unflatten": false, "max_background_tasks": 100,
        "transform_context": null, "sink": null, "retro_match_timeout": 3600.0,
        "logging": {"console": true, "console_verbosity": "WARNING", "file": false,
            "file_verbosity": "WARNING", "filename": "app.log"},
        "metrics": {"interval": 10, "filename": "metrics.log"},
    });
    let scratch = Scratch::new();
    let file = scratch.write("config.yaml", format!("{config:#}\n"));
    let program = paths::venv(venv).join("bin").join(program);
    let mut command = paths::clean_command(program, scratch.path());
    command.arg("-c").arg(file);
    Observed::start(command, scratch, Reader::Patient)
}

/// The two kinds of bus that an original was made for.
pub const KINDS: [BrokerKind; 2] = [BrokerKind::Legacy, BrokerKind::Ports];

/// A long time for anything that takes a moment.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Processor time of a process itself, and of its children that it waited for.
pub fn cpu_seconds(pid: u32) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    let ticks: Vec<f64> = fields
        .split(' ')
        .skip(11)
        .take(4)
        .map(|field| field.parse().expect("a number of ticks"))
        .collect();
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    (
        (ticks[0] + ticks[1]) / per_second,
        (ticks[2] + ticks[3]) / per_second,
    )
}
