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
use crate::bus::session::{self, Session, SessionResult};
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
use crate::sighting::noise::{HeldSighting, Noise};
use crate::sighting::report::{Destination, ReportSettings, Reporter, Transform};
use crate::sighting::tally::Tally;
use crate::sighting::writer::{self, SinkResult};
use crate::state::reported::Reported;
use crate::state::spool::Spool;
use crate::state::topics::Topics;
use end::{Deadline, Ending, Summary};
use matching::Matching;
use state::{RunState, state_topics, take_up};
use stores::{EventStore, EventStores, OutcomeReader};

/// The most messages that wait for the writer: with 64 KiB each, about 4 MiB. A slower
/// writer makes the workers wait.
const WRITER_MESSAGES: usize = 64;

/// The time limit for giving up each topic at the end.
const GIVING_UP: Duration = Duration::from_secs(2);

/// The time limit after the grace period for everything that is left: the end of a sink
/// command, the last messages to the bus, and the topics.
const LAST_GRACE: Duration = Duration::from_secs(3);

/// Each of them gets at least this long, even after the limit.
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
/// until it cannot be started. Then logs what happened, and returns the status.
pub fn run(config: &Config) -> ExitCode {
    let started = Instant::now();
    let metrics = Arc::new(Metrics::default());
    let (name, file) = (config.sensor_name.as_deref(), config.file.as_deref());
    let telemetry = Telemetry::start(&config.metrics, name, file, &metrics);
    let mut ending = Ending::default();
    let (code, shortfall) = match run_and_decide(config, &metrics, &mut ending) {
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

/// Connects to the engines and runs the threads; decides the status, and what is missing for a
/// complete run.
fn run_and_decide(
    config: &Config,
    metrics: &Arc<Metrics>,
    ending: &mut Ending,
) -> std::io::Result<(ExitCode, Option<String>)> {
    let stop = Stop::new()?;
    let (request_reload, reload_requests) = reload::channel(config);
    let signals = Watcher::start(stop.clone(), metrics.clone(), request_reload)?;
    let _watchdog = notify::start_watchdog()?;
    let deadline = Deadline::start(config.jobs.deadline, &stop)?;
    if !config.engines.is_empty() {
        metrics.engine_up.set(Peer::Down);
    }
    let (code, is_complete) = match EventStores::connect(config, metrics, &stop)? {
        Ok(Some(stores)) => {
            let outcome_readers: Vec<OutcomeReader> =
                stores.all.iter().map(OutcomeReader::of).collect();
            let EventStores { all, connecting } = stores;
            let code = run_threads(config, all, metrics, &stop, reload_requests, ending)?;
            let is_complete = !stop.is_draining();
            connecting.end(&stop);
            ending.collect_outcomes(config, &outcome_readers);
            (code, is_complete)
        }
        Ok(None) => (ExitCode::Success, !stop.is_draining()),
        Err(code) => (code, !stop.is_draining()),
    };
    let signal = signals.end();
    let ended_by_itself = signal.is_none();
    let signal = signal.filter(|_| config.jobs.once);
    ending.cause = match signal {
        _ if deadline.has_passed() => Some("the deadline has passed".to_owned()),
        signal => signal.map(|name| format!("it was ended by {name}")),
    };
    if code != ExitCode::Success {
        return Ok((code, None));
    }
    if ending.cause.is_none() && !(config.jobs.once && is_complete) {
        // With --follow, inputs that cannot grow end the run.
        return Ok(match ending.unread_files() {
            Some(reason) if ended_by_itself => (ExitCode::TempFail, Some(reason)),
            _ => (ExitCode::Success, None),
        });
    }
    ending.tells_matches = config.jobs.exit_code;
    if ending.nothing_came() {
        warn!("no indicator was received from the bus: does --snapshot request any?");
    }
    Ok(ending.verdict())
}

/// Opens the state, starts the threads and waits for them. Returns the status for what failed,
/// if anything did, and records in `ending` what happened.
fn run_threads(
    config: &Config,
    stores: Vec<EventStore>,
    metrics: &Arc<Metrics>,
    stop: &Stop,
    reload_requests: Receiver<()>,
    ending: &mut Ending,
) -> std::io::Result<ExitCode> {
    let state = match RunState::open(config, metrics, stop) {
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
    let writer = WriterThread::start(config, state.spool, &delivery, metrics, stop, inputs)?;
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
    let held_back_ticker =
        start_held_back(&report, metrics, &messages_sender, stop, state.pending)?;
    let (matching, intake) = Matching::start(config, stores, &report, &messages_sender, stop)?;
    let intake = intake.allowing(allow.clone()).counting(metrics.clone());
    drop(report);
    let reload_requests = reload::start(config, allow, reload_requests)?;
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
            reload_requests,
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
    let Some(session_result) = thread::join(receiver) else {
        stop.now();
        let _ = matching.join();
        drop(held_back_ticker);
        writer.join(stop);
        return Ok(ExitCode::Software);
    };
    let mut topics_left = session_result.topics_left;
    if !stop.is_draining() {
        // The following pass over files may take long, and sending sightings needs no topic.
        topics_left = give_up_topics(config, topics_left, stop);
    }
    let is_good = matching.join();
    // Dropping it sends all sightings that are still held back.
    drop(held_back_ticker);
    ending.received = session_result.received;
    if let Some(files) = files {
        ending.logs = Some(files.get()).filter(|(_, all)| *all > 0);
        ending.logs_failed = files.failed();
    }
    let (sink_result, delivery) = writer.join(stop);
    drop(progress);
    let has_summary = summary::output(config, tally);
    if let Some(reported) = reported {
        remember_reported(&reported, sink_result, &delivery);
    }
    ending.delivery = delivery;
    let topics_left = give_up_topics(config, topics_left, stop);
    if let Some(topics) = state_topics(config).filter(|_| config.jobs.indicators.is_empty()) {
        if let Err(error) = topics.remember(&topics_left) {
            error!("the topics cannot be remembered for the next run: {error}");
        }
    }
    Ok(match session_result.result {
        // The engine does not support the configuration.
        _ if !is_good => ExitCode::Usage,
        Ok(()) if sink_result != SinkResult::Failed && has_summary => ExitCode::Success,
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

/// Starts the thread that reads indicators from files; it returns what was received.
fn start_files(
    config: Config,
    intake: Intake,
    metrics: &Arc<Metrics>,
    stop: &Stop,
    reload_requests: Receiver<()>,
    tally: Option<Arc<Mutex<Tally>>>,
) -> std::io::Result<JoinHandle<SessionResult>> {
    let (metrics, stop) = (metrics.clone(), stop.clone());
    receiver_thread().spawn(move || {
        let received = from_file::run(
            &config,
            &intake,
            &metrics,
            &stop,
            &reload_requests,
            tally.as_deref(),
        );
        SessionResult {
            topics_left: Vec::new(),
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
        error!("cannot start the thread that ends the grace period: {error}");
    }
}

/// Gives up these topics until the broker does not answer; returns those that are left.
fn give_up_topics(config: &Config, mut topics: Vec<String>, stop: &Stop) -> Vec<String> {
    let context = zmq::Context::new();
    let manager = ManagementClient::new(&context, config.threatbus.clone(), None);
    while let Some(topic) = topics.last() {
        match manager.unsubscribe(topic, time_left(stop, GIVING_UP)) {
            Ok(()) => info!("unsubscribed"),
            // The topic is older than a restart of the broker.
            Err(ManageError::Refused(_)) => debug!("the broker no longer knew a topic"),
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
                "{} old topic(s) are not given up: no time is left",
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

/// If one sighting was not delivered, it is unknown which. So the next run reports all of this
/// run's sightings again.
fn remember_reported(reported: &Reported, sink_result: SinkResult, delivery: &DeliveryCounts) {
    let delivered = is_delivered(sink_result, delivery);
    if !delivered && delivery.found > 0 {
        warn!("not every sighting was delivered: the next run reports those of this one again");
    }
    if let Err(error) = reported.save(delivered) {
        error!("what was reported cannot be remembered: {error}; the next run reports it again");
    }
}

/// Whether every sighting was delivered to the sink.
fn is_delivered(sink_result: SinkResult, delivery: &DeliveryCounts) -> bool {
    sink_result == SinkResult::Complete && delivery.lost + delivery.failed == 0
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
    pending: Vec<HeldSighting>,
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
struct WriterThread {
    done: Receiver<SinkResult>,
    delivery: Arc<Delivery>,
}

impl WriterThread {
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
        Ok(WriterThread { done, delivery })
    }

    /// The work of the thread, for the configured sink.
    fn prepare(
        config: &Config,
        spool: Option<Spool>,
        delivery: &Arc<Delivery>,
        metrics: &Arc<Metrics>,
        stop: &Stop,
    ) -> std::io::Result<Box<dyn FnOnce(WriterInputs) -> SinkResult + Send>> {
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
                    SinkResult::Complete
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

    /// Waits for the writer, but not for ever if the reader of standard output does not read.
    /// Returns how much the sink has accepted, and what became of the sightings.
    fn join(self, stop: &Stop) -> (SinkResult, DeliveryCounts) {
        let ended = select! {
            recv(self.done) -> ended => ended.ok(),
            recv(stop.now_channel()) -> _ => match self.done.recv_timeout(time_left(stop, LAST_GRACE)) {
                Err(RecvTimeoutError::Timeout) => {
                    error!("the sink does not accept what is left; giving it up");
                    Some(SinkResult::Abandoned)
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
        if lost > 0 && ended != Some(SinkResult::ReaderLeft) {
            error!("{lost} sighting(s) could not be delivered before the end");
        }
        (ended.unwrap_or(SinkResult::Failed), delivery)
    }
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
            (SinkResult::Complete, counts(0, 0, 0), true),
            (SinkResult::Complete, counts(1, 0, 0), false),
            (SinkResult::Complete, counts(0, 1, 0), false),
            // It would not be transformed the next time either.
            (SinkResult::Complete, counts(0, 0, 1), true),
            (SinkResult::ReaderLeft, counts(0, 0, 0), false),
            (SinkResult::Abandoned, counts(0, 0, 0), false),
            (SinkResult::Failed, counts(0, 0, 0), false),
        ];
        for (sink_result, counts, expected) in cases {
            assert_eq!(
                is_delivered(sink_result, &counts),
                expected,
                "{sink_result:?} {counts:?}"
            );
        }
    }
}
