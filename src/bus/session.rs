//! The subscription at the bus and its messages. One thread owns the SUB socket and sends
//! the management requests, so that it subscribes to a new topic as soon as the topic is
//! known. The state machine in `subscription.rs` decides what to do.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use log::{debug, info, warn};

use super::alive::ClockTimes;
use super::echo;
use super::flight::Key;
use super::management::{ManageError, ManagementClient, Subscription, poll_milliseconds};
use super::outgoing::Broker;
use super::publish::detect;
use super::reception::Reception;
use super::sub::Sub;
use super::subscription::{
    GaveUp, Input, Next, Notice, Output, Request, Subscriber, Wishes, bus_topic,
};
use crate::config::ProtocolChoice;
use crate::intake::{Intake, Received};
use crate::observe::logging::printable;
use crate::observe::metrics::{Metrics, Peer};
use crate::process::endpoint::Endpoint;
use crate::process::notify;
use crate::process::stop::Stop;
use crate::state::journal::Journal;
use crate::state::topics::Topics;

/// The settings of the bus.
pub struct BusSettings {
    /// The management endpoint.
    pub endpoint: Endpoint,
    /// The generation to use.
    pub protocol: ProtocolChoice,
    /// The days of snapshot to request; 0 for none.
    pub snapshot_days: u32,
    /// The time limit of the first connection; `None` for no limit.
    pub connect_timeout: Option<Duration>,
    /// The session ends when no indicator has arrived for this long, and none waits or is
    /// being matched; `None` for never.
    pub idle: Option<Duration>,
    /// Where topics are stored for the next run.
    pub topics: Option<Topics>,
    /// Whether indicators without any narrowing are accepted too.
    pub takes_everything: bool,
}

/// The session's side of `--confirm-delivery`.
pub struct Echoes {
    /// Where the keys of echoed sightings are sent.
    pub keys: Sender<Option<Key>>,
    /// Set when the writer needs no more echoes.
    pub finished: Arc<AtomicBool>,
}

/// The bus did not respond when the program started.
#[derive(Debug)]
pub struct BusUnreachable {
    endpoint: Endpoint,
    gave_up: GaveUp,
}

impl fmt::Display for BusUnreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot reach Threat Bus at {}: tried for {:.0} s, at last {}; is the broker running \
             with its zmq plugin, and is this its management port (--threatbus)?",
            self.endpoint,
            self.gave_up.tried_for.as_secs_f64(),
            self.gave_up.last
        )
    }
}

/// The result of a session.
pub struct SessionResult {
    /// Topics that the broker still holds for this app, and that have to be given up.
    pub topics_left: Vec<String>,
    /// What was taken in.
    pub received: Received,
    /// Whether the bus was ever reached.
    pub result: Result<(), BusUnreachable>,
}

/// The communication of one run with the bus.
pub struct Session {
    context: zmq::Context,
    settings: BusSettings,
    stop: Stop,
    metrics: Arc<Metrics>,
    writer: Sender<Broker>,
    echoes: Option<Echoes>,
    machine: Subscriber,
    reception: Reception,
    /// The number of SUB sockets made so far.
    sockets: u64,
    /// The socket of a subscription in preparation.
    new: Option<Sub>,
    link: Option<Link>,
    /// The previous subscription. After a broker or the network stalled, it may still
    /// receive messages. It is read until the new one has been alive for a while.
    former: Option<Link>,
}

/// A subscription with its socket.
struct Link {
    topic: String,
    /// The topic of echoed sightings, with `--confirm-delivery`.
    echo_topic: Option<String>,
    /// Its number among the subscriptions of the run.
    number: u64,
    sub: Sub,
}

impl Session {
    /// Prepares a session. Indicators are passed to `indicators`, and the state of the
    /// broker to `writer`.
    pub fn new(
        settings: BusSettings,
        stop: Stop,
        metrics: Arc<Metrics>,
        indicators: Intake,
        writer: Sender<Broker>,
        echoes: Option<Echoes>,
        journal: Option<Journal>,
    ) -> Self {
        let left_over = settings.topics.as_ref().map(Topics::left_over);
        let held = left_over.transpose().unwrap_or_else(|error| {
            warn!("the topics of the last run cannot be read: {error}");
            None
        });
        let wishes = Wishes {
            protocol: settings.protocol,
            snapshot_days: settings.snapshot_days,
            connect_timeout: settings.connect_timeout,
            confirms: echoes.is_some(),
        };
        let seed = RandomState::new().hash_one(0_u8);
        let reception = Reception::new(
            metrics.clone(),
            indicators,
            journal,
            settings.takes_everything,
            settings.snapshot_days > 0,
        );
        Session {
            context: zmq::Context::new(),
            machine: Subscriber::new(wishes, held.unwrap_or_default(), seed, ClockTimes::now()),
            settings,
            stop,
            metrics,
            writer,
            echoes,
            reception,
            sockets: 0,
            new: None,
            link: None,
            former: None,
        }
    }

    /// Runs until the program stops, or until the bus cannot be reached in time at the
    /// start.
    pub fn run(mut self) -> SessionResult {
        self.metrics.bus_up.set(Peer::Down);
        self.converse();
        self.metrics.bus_up.set(Peer::Down);
        notify::no_more_beats();
        let (topics_left, gave_up) = self.machine.end();
        let endpoint = self.settings.endpoint;
        SessionResult {
            topics_left,
            received: self.reception.received(),
            result: gave_up.map_or(Ok(()), |gave_up| Err(BusUnreachable { endpoint, gave_up })),
        }
    }

    fn converse(&mut self) {
        let mut input = Input::Time;
        loop {
            notify::beat();
            let (outputs, next) = self.machine.step(ClockTimes::now(), input);
            for output in outputs {
                self.perform(output);
            }
            input = match next {
                Next::Ask(request, time) => Input::Answer(self.ask(&request, time)),
                Next::Detect(endpoint) => Input::Generation(self.detect(&endpoint)),
                Next::Connect(endpoint) => Input::Connected(self.connect(&endpoint)),
                Next::Wait(until) => self.wait(until),
                Next::End => return,
            };
        }
    }

    fn ask(&self, request: &Request, time: Duration) -> Result<Option<Subscription>, ManageError> {
        let endpoint = self.settings.endpoint.clone();
        // The end of the program interrupts a request.
        let stop = Some(&self.stop);
        let manager = ManagementClient::new(&self.context, endpoint, stop);
        let answer = match request {
            Request::Heartbeat(topic) => manager.heartbeat(topic, time).map(|()| None),
            Request::Subscribe(topic, days) => manager.subscribe(topic, *days, time).map(Some),
            Request::Unsubscribe(topic) => manager.unsubscribe(topic, time).map(|()| None),
        };
        if answer.is_ok() {
            self.metrics.last_heartbeat.now();
        }
        answer
    }

    fn detect(
        &self,
        endpoint: &Endpoint,
    ) -> Result<Option<crate::indicator::Protocol>, ManageError> {
        let detected = detect(&self.context, endpoint, &self.stop)?;
        if self.stop.is_draining() {
            return Err(ManageError::Stopped);
        }
        Ok(detected)
    }

    fn connect(&mut self, endpoint: &Endpoint) -> Result<(), ManageError> {
        self.new = Some(Sub::connect(&self.context, endpoint, self.sockets)?);
        self.sockets += 1;
        Ok(())
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Listen(topic) => {
                let socket = self.new.as_ref().map(|sub| &sub.socket);
                if let Some(Err(error)) =
                    socket.map(|socket| socket.set_subscribe(topic.as_bytes()))
                {
                    warn!("listening to a topic of the bus: {error}");
                }
            }
            Output::Use(topic, echo_topic) => self.use_new(topic, echo_topic),
            Output::CloseFormer => {
                self.former = None;
                self.reception.settle();
            }
            Output::HandOver => {
                self.metrics.subscriptions_lost.add(1);
                self.metrics.bus_up.set(Peer::Down);
                self.reception.hand_over();
            }
            Output::CloseIntake => self.reception.close(),
            Output::Held(topics) => self.remember(&topics),
            Output::Listening(endpoint, restarted) => {
                // The writer may have ended already.
                let _ = self.writer.send(Broker::Listening {
                    endpoint,
                    restarted,
                });
            }
            Output::Away => {
                let _ = self.writer.send(Broker::Away);
            }
            Output::Alive(at) => {
                let _ = self.writer.send(Broker::Alive(at));
            }
            Output::Log(notice) => self.log(notice),
        }
    }

    fn use_new(&mut self, topic: String, echo_topic: Option<String>) {
        let Some(sub) = self.new.take() else {
            return;
        };
        if let Err(error) = sub.narrow() {
            warn!("listening to the topics of this subscription only: {error}");
        }
        let link = Link {
            topic,
            echo_topic,
            number: self.sockets,
            sub,
        };
        self.former = self.link.replace(link);
        self.metrics.bus_up.set(Peer::Up);
        self.reception.begin();
    }

    /// Stores the topics that have to be given up if this process dies.
    fn remember(&self, held: &[String]) {
        let Some(topics) = &self.settings.topics else {
            return;
        };
        if let Err(error) = topics.remember(held) {
            warn!("the topics cannot be remembered for the next run: {error}");
        }
    }

    fn log(&self, notice: Notice) {
        let endpoint = &self.settings.endpoint;
        match notice {
            Notice::NotReady(error) => {
                warn!("Threat Bus at {endpoint} is not ready: {error}; trying again");
            }
            Notice::StillAway(error) => warn!("Threat Bus at {endpoint} is still away: {error}"),
            Notice::Lost(error) => warn!(
                "the subscription at Threat Bus {endpoint} is lost: {error}; subscribing again"
            ),
            Notice::NoGeneration(listens) => warn!(
                "the broker at {listens} does not say which generation of messages it uses; using \
                 STIX-2 (--protocol sets it)"
            ),
            Notice::Subscribed(protocol, days) => {
                self.metrics.speaks(protocol.to_string());
                info!(
                    "subscribed to {} at Threat Bus {endpoint} ({protocol}, snapshot of {days} days)",
                    bus_topic(protocol)
                );
                notify::ready(&format!("subscribed at {endpoint}"));
            }
            Notice::SubscribedAgain(gap, Some(days)) => info!(
                "subscribed again after {:.1} s, with a snapshot of {days} day(s) to cover them",
                gap.as_secs_f64()
            ),
            Notice::SubscribedAgain(gap, None) => warn!(
                "subscribed again after {:.1} s; indicators published in that time may be lost \
                 (--snapshot would request them)",
                gap.as_secs_f64()
            ),
            Notice::NotGivenUp(topic, error) => debug!(
                "topic {} is not given up yet: {error}",
                printable(&topic, 64)
            ),
            Notice::LostAtEnd(error) => {
                warn!("the broker has lost the subscription at the end: {error}");
            }
        }
    }

    /// Waits for an event until this time, and processes what has arrived.
    fn wait(&mut self, until: Instant) -> Input {
        if self.is_finished() {
            return Input::Finished;
        }
        let is_closing = self.machine.is_closing();
        if self.stop.is_draining() && !is_closing {
            return Input::Stop;
        }
        let mut left = until.saturating_duration_since(Instant::now());
        if let Some(idle) = self.idle_in() {
            left = left.min(idle);
        }
        if let Err(error) = self.poll(left, is_closing) {
            return Input::Cut(error.into());
        }
        if self.stop.is_draining() && !is_closing {
            return Input::Stop;
        }
        if let Some(former) = self.former.take() {
            self.receive_waiting(&former);
            self.former = Some(former);
        }
        if let Some(link) = self.link.take() {
            let was_cut = link.sub.was_cut();
            self.receive_waiting(&link);
            self.link = Some(link);
            if was_cut {
                return Input::Cut(ManageError::Cut);
            }
        }
        if self.idle_in().is_some_and(|left| left.is_zero()) {
            info!("no more indicators are received: ending");
            return Input::Idle;
        }
        Input::Time
    }

    /// Waits for messages, for the end of the connection, and for the stop.
    fn poll(&self, time: Duration, is_closing: bool) -> zmq::Result<()> {
        let mut items = Vec::new();
        // It would always be ready.
        if !is_closing {
            let stop = self.stop.drain_fd().as_raw_fd();
            items.push(zmq::PollItem::from_fd(stop, zmq::POLLIN));
        }
        for link in self.link.iter().chain(&self.former) {
            items.push(link.sub.socket.as_poll_item(zmq::POLLIN));
        }
        if let Some(link) = &self.link {
            items.push(link.sub.events.as_poll_item(zmq::POLLIN));
        }
        match zmq::poll(&mut items, poll_milliseconds(time)) {
            Ok(_) | Err(zmq::Error::EINTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the writer needs no more echoes.
    fn is_finished(&self) -> bool {
        let finished = self.echoes.as_ref().map(|echoes| &echoes.finished);
        self.machine.is_closing()
            && (self.stop.is_now()
                || finished.is_none_or(|finished| finished.load(Ordering::Acquire)))
    }

    /// The earliest time until the session can end by itself; `None` if it never does, or
    /// cannot now.
    fn idle_in(&self) -> Option<Duration> {
        let idle = self.settings.idle?;
        let is_serving = self.machine.is_serving();
        is_serving.then(|| self.reception.idle_in(idle))
    }

    /// Receives everything that has arrived, but a limited number of messages at a time, so
    /// that heartbeats and signals are not delayed.
    fn receive_waiting(&mut self, link: &Link) {
        const RECEIVED_AT_ONCE: usize = 10_000;
        for _ in 0..RECEIVED_AT_ONCE {
            match link.sub.socket.recv_msg(zmq::DONTWAIT) {
                Ok(frame) => {
                    if frame.get_more() {
                        skip_further_frames(link);
                    }
                    self.take(&frame, link);
                }
                Err(zmq::Error::EAGAIN) => return,
                Err(zmq::Error::EINTR) => {}
                Err(error) => {
                    warn!("receiving from the bus: {error}");
                    return;
                }
            }
        }
    }

    fn take(&mut self, frame: &[u8], link: &Link) {
        if let (Some(echoes), Some(topic)) = (&self.echoes, &link.echo_topic) {
            if frame.starts_with(topic.as_bytes()) {
                // The writer may have ended already.
                let _ = echoes.keys.send(echo::key(frame));
                return;
            }
        }
        if frame.starts_with(link.topic.as_bytes()) {
            self.reception.take(frame, &link.topic, link.number);
        } else {
            // It arrived before the topics were known.
            debug!("skipping a message for another subscriber");
        }
    }
}

/// Messages have one frame. The broker only reads the first of several, and so does this
/// program.
fn skip_further_frames(link: &Link) {
    while let Ok(frame) = link.sub.socket.recv_msg(zmq::DONTWAIT) {
        if !frame.get_more() {
            return;
        }
    }
}
