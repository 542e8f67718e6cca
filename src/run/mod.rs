//! Starts the threads and channels, and waits for them in the order of the data flow.

mod allow;
pub mod check;
pub mod end;
pub mod explain;
mod from_file;
mod matching;
mod progress;
mod reload;
mod signals;
mod state;
mod stores;
mod summary;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select, unbounded};
use log::{debug, error, info, warn};

use crate::bus::echo;
use crate::bus::flight::KeyOf;
use crate::bus::management::{ManageError, ManagementClient};
use crate::bus::outbox::Outbox;
use crate::bus::outgoing::{Broker, BusWriter, WriterInputs};
use crate::bus::session::{self, Session};
use crate::config::{CommandMode, Config, SinkChoice};
use crate::indicator::Allowing;
use crate::intake::Intake;
use crate::matching::Mode;
use crate::observe::metrics::{Metrics, Peer};
use crate::observe::telemetry::Telemetry;
use crate::process::exit_code::ExitCode;
use crate::process::notify;
use crate::process::stop::Stop;
use crate::process::thread;
use crate::process::ticker::{Ticker, Wake};
use crate::run::signals::Watcher;
use crate::sighting::delivery::{Delivery, DeliveryCounts};
use crate::sighting::lines::Pool;
use crate::sighting::message::WriterMessage;
use crate::sighting::noise::{Kept, Noise};
use crate::sighting::report::{Destination, ReportSettings, Reporter, Transform};
use crate::sighting::tally::Tally;
use crate::sighting::writer;
use crate::state::reported::Reported;
use crate::state::spool::Spool;
use crate::state::topics::Topics;
use end::{Deadline, Ending, Summary};
use matching::Matching;
use state::{State, state_topics, take_up};
use stores::{EventStore, EventStores, Witness};

/// The most messages that wait for the writer: with 64 KiB each, about 4 MiB. A slower
/// writer makes the workers wait.
const WRITER_MESSAGES: usize = 64;

/// The time limit for giving up each topic at the end.
const GIVING_UP: Duration = Duration::from_secs(2);

/// The time limit after the grace period for everything that is left: the end of a sink
/// command, the last messages to the bus, and the topics.
const LAST_GRACE: Duration = Duration::from_secs(3);

/// The least time for each of these, however late it is.
const LEAST_GRACE: Duration = Duration::from_millis(500);

/// The time that an action may take, up to `most`, so that the program ends in time after
/// it was stopped.
fn time_left(stop: &Stop, most: Duration) -> Duration {
    let Some(by) = stop.drained_by() else {
        return most;
    };
    let left = (by + LAST_GRACE).saturating_duration_since(Instant::now());
    left.clamp(LEAST_GRACE, most)
}

/// Whether the program was stopped, and should have ended by now.
fn is_late(stop: &Stop) -> bool {
    let by = stop.drained_by();
    by.is_some_and(|by| Instant::now() > by + LAST_GRACE)
}

/// Runs the bridge until a signal, until everything is matched if that was requested, or
/// until it cannot be started.
pub fn run(config: &Config) -> ExitCode {
    let started = Instant::now();
    let metrics = Arc::new(Metrics::default());
    let (name, file) = (config.sensor_name.as_deref(), config.file.as_deref());
    let telemetry = Telemetry::start(&config.metrics, name, file, &metrics);
    let mut ending = Ending::default();
    let (code, shortfall) = match run_counted(config, &metrics, &mut ending) {
        Ok(ended) => ended,
        Err(error) => {
            error!("the system does not provide what is needed: {error}");
            (ExitCode::Software, None)
        }
    };
    notify::stopping();
    telemetry.end(code.is_clean());
    if config.jobs.once {
        info!("{}", Summary::new(&metrics, started.elapsed()));
    }
    info!(
        "ended after {:.1} s: {metrics}",
        started.elapsed().as_secs_f64()
    );
    if config.jobs.once {
        // For each engine, if there are several.
        ending.stores.iter().for_each(|store| info!("{store}"));
    }
    log::logger().flush();
    if let Some(shortfall) = shortfall {
        error!("the run is not complete: {shortfall}");
    }
    code
}

/// Runs the bridge; returns the status, and what is missing for a complete run.
fn run_counted(
    config: &Config,
    metrics: &Arc<Metrics>,
    ending: &mut Ending,
) -> std::io::Result<(ExitCode, Option<String>)> {
    let stop = Stop::new()?;
    let (wishes, reloads) = reload::channel(config);
    let signals = Watcher::start(stop.clone(), metrics.clone(), wishes)?;
    let _watchdog = notify::start_watchdog()?;
    let deadline = Deadline::start(config.jobs.deadline, &stop)?;
    if !config.engines.is_empty() {
        metrics.engine_up.set(Peer::Down);
    }
    let (code, is_complete) = match EventStores::connect(config, metrics, &stop)? {
        Ok(Some(stores)) => {
            let witnesses: Vec<Witness> = stores.all.iter().map(Witness::of).collect();
            let EventStores { all, connecting } = stores;
            let code = run_with(config, all, metrics, &stop, reloads, ending)?;
            let is_complete = !stop.is_draining();
            connecting.end(&stop);
            ending.came_to(config, &witnesses);
            (code, is_complete)
        }
        Ok(None) => (ExitCode::Success, !stop.is_draining()),
        Err(code) => (code, !stop.is_draining()),
    };
    let signal = signals.end().filter(|_| config.jobs.once);
    ending.cause = match signal {
        _ if deadline.has_passed() => Some("the deadline has passed".to_owned()),
        signal => signal.map(|name| format!("it was ended by {name}")),
    };
    if code != ExitCode::Success {
        return Ok((code, None));
    }
    if ending.cause.is_none() && !(config.jobs.once && is_complete) {
        return Ok((ExitCode::Success, None));
    }
    ending.tells_matches = config.jobs.exit_code;
    if ending.nothing_came() {
        warn!("no indicator was received from the bus: does --snapshot request any?");
    }
    Ok(ending.verdict())
}

fn run_with(
    config: &Config,
    stores: Vec<EventStore>,
    metrics: &Arc<Metrics>,
    stop: &Stop,
    reloads: Receiver<()>,
    ending: &mut Ending,
) -> std::io::Result<ExitCode> {
    let state = match State::open(config, metrics, stop) {
        Ok(state) => state,
        Err(code) => return Ok(code),
    };
    let allow = match allow::read(&config.noise) {
        Ok(allow) => Allowing::new(allow),
        Err(code) => return Ok(code),
    };
    let (messages_sender, messages) = bounded::<WriterMessage>(WRITER_MESSAGES);
    let (broker_sender, brokers) = unbounded::<Broker>();
    let (echo_sender, echoes) = unbounded();
    let finished = Arc::new(AtomicBool::new(false));
    let inputs = WriterInputs {
        messages,
        brokers,
        echoes,
        finished: finished.clone(),
    };
    let delivery = Arc::new(Delivery::default());
    let writer = Writer::start(config, state.spool, &delivery, metrics, stop, inputs)?;
    let reported = state.reported.clone();
    let tally = summary::tally(config);
    let report = Arc::new(ReportSettings {
        reported: state.reported,
        allow: allow.clone(),
        tally: tally.clone(),
        delivery,
        noise: noise(config).map(|noise| Arc::new(noise.journalled(state.held_back))),
        ..report_settings(config, metrics, stop)
    });
    let held_back = start_held_back(&report, metrics, &messages_sender, stop, state.pending)?;
    let (matching, intake) = Matching::start(config, stores, &report, &messages_sender, stop)?;
    let intake = intake.allowing(allow.clone()).counting(metrics.clone());
    drop(report);
    let reloads = reload::start(config, allow, reloads)?;
    // The workers hold the writer's other senders: it ends with the last of them.
    drop(messages_sender);
    let files = matching.progress();
    let progress = progress::start(config, files.clone(), metrics)?;
    end_after_grace(stop);
    let receiver = if !config.jobs.indicators.is_empty() {
        notify::ready("reading indicators from files");
        start_files(
            config.clone(),
            intake,
            metrics,
            stop,
            reloads,
            tally.clone(),
        )?
    } else {
        take_up(state.left_over, &intake);
        let session = Session::new(
            session_settings(config, state.topics),
            stop.clone(),
            metrics.clone(),
            intake,
            broker_sender,
            confirms(config).then_some(session::Echoes {
                keys: echo_sender,
                finished,
            }),
            state.journal,
        );
        receiver_thread().spawn(move || session.run())?
    };
    let Some(ended) = thread::join(receiver) else {
        stop.now();
        let _ = matching.join();
        drop(held_back);
        writer.join(stop);
        return Ok(ExitCode::Software);
    };
    let mut held = ended.held;
    if !stop.is_draining() {
        // The following pass over files may take long, and sending sightings needs no topic.
        held = give_up_topics(config, held, stop);
    }
    let is_good = matching.join();
    // It sends the sightings held back, now at the latest.
    drop(held_back);
    ending.received = ended.received;
    if let Some(files) = files {
        ending.logs = Some(files.get()).filter(|(_, all)| *all > 0);
        ending.logs_failed = files.failed();
    }
    let (written, delivery) = writer.join(stop);
    drop(progress);
    let has_summary = summary::output(config, tally);
    if let Some(reported) = reported {
        remember_reported(&reported, written, &delivery);
    }
    ending.delivery = delivery;
    let written = written != Written::Not;
    let held = give_up_topics(config, held, stop);
    if let Some(topics) = state_topics(config).filter(|_| config.jobs.indicators.is_empty()) {
        if let Err(error) = topics.remember(&held) {
            error!("the topics cannot be remembered for the next run: {error}");
        }
    }
    Ok(match ended.result {
        // The engine does not support the configuration.
        _ if !is_good => ExitCode::Usage,
        Ok(()) if written && has_summary => ExitCode::Success,
        Ok(()) => ExitCode::Software,
        Err(error) => {
            error!("{error}");
            ExitCode::Unavailable
        }
    })
}

fn receiver_thread() -> std::thread::Builder {
    std::thread::Builder::new().name("receiver".to_owned())
}

/// Starts the thread that reads indicators from files; it gives what it took in.
fn start_files(
    config: Config,
    intake: Intake,
    metrics: &Arc<Metrics>,
    stop: &Stop,
    reloads: Receiver<()>,
    tally: Option<Arc<Mutex<Tally>>>,
) -> std::io::Result<JoinHandle<session::Ended>> {
    let (metrics, stop) = (metrics.clone(), stop.clone());
    receiver_thread().spawn(move || {
        let received = from_file::run(
            &config,
            &intake,
            &metrics,
            &stop,
            &reloads,
            tally.as_deref(),
        );
        session::Ended {
            held: Vec::new(),
            received,
            result: Ok(()),
        }
    })
}

/// When the grace period is over, ends everything that still runs, including a wait for a
/// stalled sink.
fn end_after_grace(stop: &Stop) {
    let stop = stop.clone();
    let wait = move || {
        let _ = stop.drain_channel().recv();
        let until = stop.drained_by().unwrap_or_else(Instant::now);
        let left = until.saturating_duration_since(Instant::now());
        let _ = stop.now_channel().recv_timeout(left);
        stop.now();
    };
    if let Err(error) = std::thread::Builder::new()
        .name("grace".to_owned())
        .spawn(wait)
    {
        error!("no thread to end the grace period: {error}");
    }
}

/// Unsubscribes the remaining topics after the last sighting is sent; returns those that
/// could not be given up.
fn give_up_topics(config: &Config, mut topics: Vec<String>, stop: &Stop) -> Vec<String> {
    let context = zmq::Context::new();
    let manager = ManagementClient::new(&context, config.threatbus.clone(), None);
    while let Some(topic) = topics.last() {
        match manager.unsubscribe(topic, time_left(stop, GIVING_UP)) {
            Ok(()) => info!("unsubscribed"),
            // The topic is older than a restart of the broker.
            Err(ManageError::Refused(_)) => debug!("a topic was not known any more"),
            Err(error) => {
                error!(
                    "a topic at Threat Bus {} could not be given up: {error}",
                    config.threatbus
                );
                // A broker that did not respond will not respond to the next request.
                return topics;
            }
        }
        topics.pop();
        if is_late(stop) && !topics.is_empty() {
            warn!(
                "{} old topic(s) are not given up: the time to end in is over",
                topics.len()
            );
            break;
        }
    }
    topics
}

/// Whether the delivery of sightings is confirmed, which only the bus supports.
fn confirms(config: &Config) -> bool {
    config.confirm_delivery && config.sink == SinkChoice::Bus
}

/// Where a sighting did not get through, nobody knows which: all of this run are
/// reported once more then, rather than one not at all.
fn remember_reported(reported: &Reported, written: Written, delivery: &DeliveryCounts) {
    let delivered = is_delivered(written, delivery);
    if !delivered && delivery.found > 0 {
        warn!("not every sighting was delivered: the next run reports those of this one again");
    }
    if let Err(error) = reported.save(delivered) {
        error!("what was reported cannot be remembered: {error}; the next run reports it again");
    }
}

/// Whether every sighting that was handed to the sink got through.
fn is_delivered(written: Written, delivery: &DeliveryCounts) -> bool {
    written == Written::All && delivery.lost + delivery.failed == 0
}

/// How often held-back sightings are checked for being due.
const LOOK_FOR_DUE: Duration = Duration::from_secs(1);

/// Starts the thread that sends held-back sightings: first those of an earlier run, then
/// each when its time is over, and the rest at the end.
fn start_held_back(
    report: &Arc<ReportSettings>,
    metrics: &Arc<Metrics>,
    writer: &Sender<WriterMessage>,
    stop: &Stop,
    pending: Vec<Kept>,
) -> std::io::Result<Ticker> {
    if report.noise.is_none() && pending.is_empty() {
        return Ok(Ticker::none());
    }
    let mut reporter = Reporter::new(
        report.clone(),
        metrics.clone(),
        writer.clone(),
        stop.clone(),
    );
    let mut pending = Some(pending);
    Ticker::start("held-back", LOOK_FOR_DUE, move |wake| {
        reporter.send_aggregated(pending.take().unwrap_or_default());
        match wake {
            Wake::Pause => reporter.send_due(),
            Wake::End => reporter.send_rest(),
        }
    })
}

fn noise(config: &Config) -> Option<Noise> {
    Noise::new(config.noise.aggregate, config.noise.per_minute)
}

fn report_settings(config: &Config, metrics: &Arc<Metrics>, stop: &Stop) -> ReportSettings {
    let transform = match (&config.transform_context, config.transform_mode) {
        (None, _) => Transform::None,
        (Some(template), CommandMode::Each) => Transform::Each(template.clone()),
        (Some(template), CommandMode::Lines) => {
            let processes = config.transform_processes;
            let pool = Pool::new(template.clone(), processes, metrics.clone(), stop.clone());
            Transform::Lines(Arc::new(pool))
        }
    };
    let destination = match config.sink {
        SinkChoice::Bus => Destination::Bus,
        SinkChoice::Stdout => Destination::Stdout,
        SinkChoice::Command(_) => Destination::Command,
    };
    ReportSettings {
        output: config.output,
        transform,
        unflatten: config.unflatten,
        ..ReportSettings::plain(destination)
    }
}

fn session_settings(config: &Config, topics: Option<Topics>) -> session::BusSettings {
    session::BusSettings {
        topics,
        takes_everything: config.meaning.mode == Mode::Thorough,
        endpoint: config.threatbus.clone(),
        protocol: config.protocol,
        snapshot_days: config.snapshot_days,
        connect_timeout: config.connect_timeout,
        idle: config.jobs.once.then_some(config.jobs.idle),
    }
}

/// The writer's thread, and a channel that tells when it has ended.
struct Writer {
    done: Receiver<writer::Ended>,
    delivery: Arc<Delivery>,
}

impl Writer {
    fn start(
        config: &Config,
        spool: Option<Spool>,
        delivery: &Arc<Delivery>,
        metrics: &Arc<Metrics>,
        stop: &Stop,
        inputs: WriterInputs,
    ) -> std::io::Result<Self> {
        let write = Self::prepare(config, spool, delivery, metrics, stop)?;
        let (done_sender, done) = bounded(1);
        std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                let ended = write(inputs);
                // There is no receiver if the end was not awaited.
                let _ = done_sender.send(ended);
            })?;
        let delivery = delivery.clone();
        Ok(Writer { done, delivery })
    }

    /// The work of the thread, for the configured sink.
    fn prepare(
        config: &Config,
        spool: Option<Spool>,
        delivery: &Arc<Delivery>,
        metrics: &Arc<Metrics>,
        stop: &Stop,
    ) -> std::io::Result<Box<dyn FnOnce(WriterInputs) -> writer::Ended + Send>> {
        let choice = match &config.sink {
            SinkChoice::Bus => {
                let key: Option<KeyOf> = confirms(config).then_some(echo::key);
                let outbox = match spool {
                    Some(spool) => Outbox::on_disk(spool, config.queue_max_bytes, key),
                    None => Outbox::in_memory(config.queue_max_bytes, key),
                };
                let outgoing =
                    BusWriter::new(outbox, delivery.clone(), metrics.clone(), stop.clone());
                return Ok(Box::new(move |inputs| {
                    outgoing.run(inputs);
                    writer::Ended::Done
                }));
            }
            SinkChoice::Stdout => writer::SinkKind::Stdout,
            SinkChoice::Command(template) => match config.sink_mode {
                CommandMode::Each => writer::SinkKind::Command(template.clone(), spool),
                CommandMode::Lines => writer::SinkKind::Lines(template.clone(), spool),
            },
        };
        let write = writer::writer(choice, delivery.clone(), metrics.clone(), stop.clone())?;
        Ok(Box::new(move |inputs: WriterInputs| {
            write(&inputs.messages)
        }))
    }

    /// Waits for the writer; where the reader of standard output stands still,
    /// not for ever. Says whether the sink could be written, and what became of the
    /// sightings.
    fn join(self, stop: &Stop) -> (Written, DeliveryCounts) {
        let ended = select! {
            recv(self.done) -> ended => ended.ok(),
            recv(stop.now_channel()) -> _ => match self.done.recv_timeout(time_left(stop, LAST_GRACE)) {
                Err(RecvTimeoutError::Timeout) => {
                    error!("the sink does not accept what is left; giving it up");
                    Some(writer::Ended::Done)
                }
                ended => ended.ok(),
            },
        };
        if ended.is_none() {
            error!("the writer ended by a defect of this program");
        }
        let delivery = self.delivery.counts();
        let lost = delivery.lost;
        // A reader that went away wanted no more.
        if lost > 0 && ended != Some(writer::Ended::ReaderGone) {
            error!("{lost} sighting(s) could not be delivered before the end");
        }
        let written = match ended {
            Some(writer::Ended::Done) => Written::All,
            Some(writer::Ended::ReaderGone) => Written::Enough,
            Some(writer::Ended::Failed) | None => Written::Not,
        };
        (written, delivery)
    }
}

/// How much the sink has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// Everything, except for the sightings counted as lost.
    All,
    /// As much as its reader wanted.
    Enough,
    /// Writing failed.
    Not,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_get_through_is_not_remembered_as_reported() {
        let counts = |failed, lost, withheld| DeliveryCounts {
            found: 5,
            failed,
            lost,
            withheld,
            spooled_bytes: 0,
        };
        let cases = [
            (Written::All, counts(0, 0, 0), true),
            (Written::All, counts(1, 0, 0), false),
            (Written::All, counts(0, 1, 0), false),
            // It would not be transformed the next time either.
            (Written::All, counts(0, 0, 1), true),
            (Written::Enough, counts(0, 0, 0), false),
            (Written::Not, counts(0, 0, 0), false),
        ];
        for (written, counts, expected) in cases {
            assert_eq!(
                is_delivered(written, &counts),
                expected,
                "{written:?} {counts:?}"
            );
        }
    }
}
