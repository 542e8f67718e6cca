//! Live matching without a matcher in the engine: `cargo bench --bench live`.
//!
//! What a million live indicators take in memory, how many events a second one
//! thread matches against them as a child prints them, and how long a match takes
//! from its line to the writer. Prints one result a line as JSON. All data is
//! made here, the same in every run; the child is `cat`.

mod data;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use data::Random;
use serde_json::json;
use vast_threatbus::engine::lines::{LineCutter, Piece};
use vast_threatbus::engine::live::{Ended, EventStream, LiveSource, StreamItem};
use vast_threatbus::engine::{
    AnswerItem, Connection, EngineChoice, EngineTarget, EventLine, Program, QueryScope,
    SharedEngine, open_all,
};
use vast_threatbus::indicator::{Indicator, MatchExpansion, Protocol};
use vast_threatbus::intake::{Budget, Fates, Intake};
use vast_threatbus::live::{Live, LiveChannels, LiveSettings};
use vast_threatbus::matching::{Concepts, Meaning};
use vast_threatbus::observable::Observable;
use vast_threatbus::observe::metrics::Metrics;
use vast_threatbus::process::child::{self, Flow, Limits};
use vast_threatbus::process::stop::Stop;
use vast_threatbus::sighting::instances;
use vast_threatbus::sighting::message::WriterMessage;
use vast_threatbus::sighting::report::{Destination, ReportSettings};

/// How many indicators are live.
const INDICATORS: usize = 1_000_000;

/// How many events the child prints; one in this many matches.
const EVENTS: usize = 2_000_000;
const HIT_EVERY: usize = 1000;

/// How many matches are timed, one every few milliseconds.
const TIMED: usize = 500;
const BETWEEN: Duration = Duration::from_millis(4);

fn main() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let log = folder.path().join("conn.log");
    write_log(&log);
    let before = resident();
    let bed = Bed::start(&log);
    bed.fill();
    let grown = resident().saturating_sub(before);
    println!(
        "{}",
        json!({
            "bench": "memory of live indicators", "indicators": INDICATORS,
            "resident_megabytes": grown as f64 / 1e6,
            "whole_process_megabytes": resident() as f64 / 1e6,
        })
    );
    bed.throughput(&log);
    bed.end();
    latency(folder.path());
}

/// Live matching with a child of our own.
struct Bed {
    live: Live,
    intake: vast_threatbus::intake::Intake,
    messages: Receiver<WriterMessage>,
    metrics: Arc<Metrics>,
    gate: crossbeam_channel::Sender<()>,
    stop: Stop,
}

impl Bed {
    /// The child prints `path`, once the gate is opened.
    fn start(path: &Path) -> Self {
        let metrics = Arc::new(Metrics::default());
        let stop = Stop::new().expect("two socket pairs");
        let (writer, messages) = bounded(64);
        let (gate, opened) = bounded(1);
        let source = LiveSource {
            stream: Box::new(Cat {
                path: path.to_owned(),
                opened,
            }),
            matcher: None,
            scope: Box::new(Concepts::shared()),
            concepts: Concepts::shared(),
            knows_events: true,
        };
        let settings = LiveSettings {
            number: 1,
            meaning: Meaning::default(),
            is_alone: true,
            timeout: None,
            willing: Arc::new(AtomicUsize::new(1)),
            wider: Arc::new(|_| MatchExpansion::default()),
            waiting: Arc::new(instances::Waiting::new(
                instances::InstanceBounds::waiting(Duration::from_secs(86_400)),
                metrics.clone(),
                None,
            )),
        };
        let (name, budget) = ("nothing".into(), Budget::new(1));
        let fates = Fates::new(Arc::clone(&metrics));
        let (intake, arrivals) = Intake::live(&name, Arc::clone(&fates), &budget);
        let ways = LiveChannels {
            arrivals,
            report: Arc::new(ReportSettings::plain(Destination::Stdout)),
            writer,
            fates,
            stop: stop.clone(),
        };
        let connection = Connection::new(engine(&stop), None, Arc::clone(&metrics));
        let live = Live::start(source, &Arc::new(connection), settings, ways).expect("threads");
        Bed {
            live,
            intake,
            messages,
            metrics,
            gate,
            stop,
        }
    }

    /// As fast as the fastest bus: the queue before the roster stays short.
    fn fill(&self) {
        for number in 0..INDICATORS {
            let indicator = indicator(number);
            self.intake.add(indicator, None);
            if number % 1000 == 0 {
                while self.metrics.live_indicators.get() + 2000 < number as u64 {
                    std::thread::yield_now();
                }
            }
        }
        while self.metrics.live_indicators.get() < INDICATORS as u64 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn throughput(&self, log: &Path) {
        let bytes = log.metadata().expect("it was written").len();
        let cpu = cpu_seconds();
        let started = Instant::now();
        self.gate.send(()).expect("the child waits");
        let wanted = (EVENTS / HIT_EVERY) as u64;
        let mut matches = 0;
        while matches < wanted {
            matches += self.messages.recv().expect("it runs").count();
        }
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        println!(
            "{}",
            json!({
                "bench": "continuous", "indicators": INDICATORS, "events": "zeek.conn",
                "events_per_second": (EVENTS as f64 / seconds).round(),
                "events_per_cpu_second": (EVENTS as f64 / cpu).round(),
                "megabytes_per_second": (bytes as f64 / seconds / 1e6).round(),
            })
        );
    }

    fn end(self) {
        drop(self.intake);
        self.stop.now();
        assert!(self.live.join(), "the child was taken");
    }
}

/// From the write of a line to the arrival of its match at the writer.
fn latency(folder: &Path) {
    let pipe = folder.join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .expect("a named pipe");
    let bed = Bed::start(&pipe);
    bed.intake.add(indicator(5), None);
    bed.gate.send(()).expect("the child waits");
    let mut lines = File::options().write(true).open(&pipe).expect("a pipe");
    let mut random = Random(7);
    let mut times: Vec<Duration> = Vec::with_capacity(TIMED);
    for _ in 0..TIMED {
        std::thread::sleep(BETWEEN);
        let line = conn(&mut random, true);
        let started = Instant::now();
        lines.write_all(line.as_bytes()).expect("it is read");
        bed.messages.recv().expect("it runs");
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let at = |part: usize| times[(TIMED - 1) * part / 100].as_secs_f64() * 1e3;
    println!(
        "{}",
        json!({
            "bench": "latency of a match", "matches": TIMED, "median_ms": at(50),
            "99_percent_ms": at(99), "longest_ms": at(100),
        })
    );
    drop(lines);
    bed.end();
}

/// A child that prints a file.
struct Cat {
    path: PathBuf,
    opened: Receiver<()>,
}

impl EventStream for Cat {
    fn run(&self, stop: &Stop, consume: &mut dyn FnMut(AnswerItem<'_>)) -> Ended {
        crossbeam_channel::select! {
            recv(self.opened) -> _ => {}
            recv(stop.now_channel()) -> _ => return Ended::Stopped,
        }
        let mut command = child::command(Path::new("cat"));
        command.arg(&self.path);
        let mut lines = LineCutter::default();
        let limits = Limits { time: None, stop };
        let outcome = child::run(&mut command, std::io::empty(), limits, |bytes| {
            lines.push(bytes, |piece| {
                if let Piece::Line(line) = piece {
                    consume(AnswerItem::Line(EventLine {
                        text: &String::from_utf8_lossy(line),
                        ..EventLine::default()
                    }));
                }
            });
            consume(AnswerItem::Pause);
            Flow::Continue
        });
        outcome.expect("cat is there");
        // Nothing is lost: there is no more.
        let _ = stop.now_channel().recv();
        Ended::Stopped
    }

    fn read<'a>(&self, line: &EventLine<'a>) -> Result<StreamItem<'a>, String> {
        Ok(StreamItem::Event(line.text))
    }

    fn name(&self) -> String {
        "cat".to_owned()
    }
}

/// An engine that is never queried: the stream has all events.
fn engine(stop: &Stop) -> SharedEngine {
    let program = Program {
        path: Some("true".into()),
        endpoint: None,
        scope: QueryScope::default(),
    };
    let target = EngineTarget {
        name: "nothing".into(),
        choice: EngineChoice::Vast,
        program,
    };
    let mut engines = open_all(&[target], stop);
    engines.pop().expect("one for each target")
}

/// The nth indicator: names of some 20 bytes, addresses and URLs by turns.
fn indicator(nth: usize) -> Indicator {
    let value = match nth % 10 {
        0..=4 => Observable::domain(&format!("host{nth:x}.some-site.example")),
        5..=8 => {
            let [_, b, c, d] = (nth as u32).to_be_bytes();
            Observable::address([198, b, c, d].into())
        }
        _ => Observable::Url(format!("/{:x}/index.php?id={nth}", nth * 31).into()),
    };
    Indicator {
        ioc: vec![value.to_string()],
        ..Indicator::new(
            format!("indicator--00000000-0000-4000-8000-{nth:012x}").into(),
            Protocol::Stix2,
            vec![value],
        )
    }
}

fn write_log(path: &Path) {
    let file = File::create(path).expect("a file of one's own");
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for nth in 1..=EVENTS {
        let line = conn(&mut random, nth % HIT_EVERY == 0);
        file.write_all(line.as_bytes()).expect("there is room");
    }
    file.flush().expect("there is room");
}

/// A connection as VAST prints it, with its line end.
fn conn(random: &mut Random, hit: bool) -> String {
    data::conn(random, hit.then(|| "198.0.0.5".to_owned())) + "\n"
}

/// The resident memory in bytes; 0 where the system does not tell.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// The processor time that this process has used.
fn cpu_seconds() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}
