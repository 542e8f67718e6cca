//! The subscription at the bus: made, kept alive, made anew, and what comes
//! through it. One thread owns the SUB socket and asks the management requests,
//! so that a new topic's prefix is set in the very moment that it is known.

use std::fmt;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use log::{debug, info, warn};

use super::alive::LastAlive;
use super::echo;
use super::flight::Key;
use super::manage::{ANSWER_TIME, ManageError, Manager, Subscription, poll_milliseconds};
use super::outgoing::Broker;
use super::publish::detect;
use super::receive::{self, Incoming};
use super::remembered::Remembered;
use super::sub::Sub;
use crate::config::ProtocolChoice;
use crate::indicator::{Indicator, Message, Protocol, Rejection, Versions, tell_of_left_out};
use crate::intake::Intake;
use crate::observe::logging::printable;
use crate::observe::metrics::{Metrics, Peer};
use crate::process::endpoint::Endpoint;
use crate::process::notify;
use crate::process::stop::{Backoff, Stop};
use crate::protocol::{legacy, stix};
use crate::state::journal::Journal;
use crate::state::topics::Topics;

/// The pause between heartbeats, as the original's.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How often a run that is to end looks whether the last query is answered.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The name under which the broker is asked for its ports and whether it is
/// there. Nothing is ever published on it.
const OWN_NAME: &str = "vast-threatbus/probe";

/// How the bus is used.
pub struct Settings {
    /// The management endpoint.
    pub endpoint: Endpoint,
    /// Which generation to speak.
    pub protocol: ProtocolChoice,
    /// How many days of snapshot to ask for; 0 for none.
    pub snapshot_days: u32,
    /// How long the first connection may take; `None` for ever.
    pub connect_timeout: Option<Duration>,
    /// How long no indicator comes, with none waiting or in work, before the
    /// session ends by itself; `None` for never.
    pub idle: Option<Duration>,
    /// Where topics are remembered for the next run.
    pub topics: Option<Topics>,
    /// Whether indicators are taken too that nothing narrows.
    pub takes_everything: bool,
}

/// The session's side of `--confirm-delivery`.
pub struct Echoes {
    /// Where the keys of echoed sightings go.
    pub keys: Sender<Option<Key>>,
    /// Set when the writer needs no more of them.
    pub finished: Arc<AtomicBool>,
}

/// The bus did not answer when the program started.
#[derive(Debug)]
pub struct Unreachable {
    endpoint: Endpoint,
    tried_for: Duration,
    last: ManageError,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot reach Threat Bus at {}: tried for {:.0} s, at last {}; is the broker running \
             with its zmq plugin, and is this its management port (--threatbus)?",
            self.endpoint,
            self.tried_for.as_secs_f64(),
            self.last
        )
    }
}

/// What a session leaves behind.
pub struct Ended {
    /// Topics that the broker still holds for this app: give them up when the
    /// last sighting is out.
    pub held: Vec<String>,
    /// Whether the bus was ever reached.
    pub result: Result<(), Unreachable>,
}

/// One run's conversation with the bus.
pub struct Session {
    context: zmq::Context,
    settings: Settings,
    stop: Stop,
    metrics: Arc<Metrics>,
    /// Closed when the program stops.
    indicators: Option<Intake>,
    writer: Sender<Broker>,
    echoes: Option<Echoes>,
    journal: Option<Journal>,
    held: Vec<String>,
    /// When the last subscription was last seen to work.
    alive: Instant,
    /// The topic of the last subscription.
    former_topic: Option<String>,
    /// When the last message came, or the subscription was made.
    last_message: Instant,
    /// How many SUB sockets there have been.
    subscriptions: u64,
    remembered: Remembered,
    versions: Versions,
    /// The subscription before this one. A broker that stood still, or a
    /// network that was away, still has messages for it; it is read until this
    /// one has been alive for a while.
    former: Option<Link>,
}

/// A subscription with its socket.
struct Link {
    topic: String,
    /// The topic that sightings come back on, with `--confirm-delivery`.
    echo_topic: Option<String>,
    /// Which of the run's subscriptions it is.
    number: u64,
    sub: Sub,
}

/// Why [`Session::serve`] came back.
enum ServeEnd {
    Stopped,
    Lost(ManageError),
}

impl Session {
    /// Prepares a session. Indicators go to `indicators`; the address for
    /// sightings goes to `writer`.
    pub fn new(
        settings: Settings,
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
        Session {
            context: zmq::Context::new(),
            remembered: Remembered::new(settings.snapshot_days > 0),
            versions: Versions::default(),
            settings,
            stop,
            metrics,
            indicators: Some(indicators),
            writer,
            echoes,
            journal,
            held: held.unwrap_or_default(),
            alive: Instant::now(),
            former_topic: None,
            last_message: Instant::now(),
            subscriptions: 0,
            former: None,
        }
    }

    /// Runs until the program stops, or until the bus could not be reached in
    /// time at the start.
    pub fn run(mut self) -> Ended {
        self.metrics.bus_up.set(Peer::Down);
        let result = self.converse();
        self.metrics.bus_up.set(Peer::Down);
        notify::no_more_beats();
        Ended {
            held: self.held,
            result,
        }
    }

    fn converse(&mut self) -> Result<(), Unreachable> {
        let Some(mut link) = self.connect_first()? else {
            return Ok(());
        };
        self.give_up_left_over(&link);
        loop {
            let mut alive = LastAlive::now();
            match self.serve(&link, &mut alive) {
                ServeEnd::Stopped => return Ok(()),
                ServeEnd::Lost(error) => {
                    self.metrics.subscriptions_lost.add(1);
                    self.metrics.bus_up.set(Peer::Down);
                    warn!(
                        "the subscription at Threat Bus {} is lost: {error}; subscribing anew",
                        self.settings.endpoint
                    );
                }
            }
            self.remembered.hand_over();
            match self.connect_again(&alive) {
                Some(new) => self.former = Some(std::mem::replace(&mut link, new)),
                None => return Ok(()),
            }
        }
    }

    /// The first connection; `None` where the program is stopped meanwhile.
    fn connect_first(&mut self) -> Result<Option<Link>, Unreachable> {
        let started = Instant::now();
        let mut backoff = Backoff::new();
        loop {
            let spent = started.elapsed();
            let left = self
                .settings
                .connect_timeout
                .map(|limit| limit.saturating_sub(spent));
            let answer_time = left.map_or(ANSWER_TIME, |left| left.min(ANSWER_TIME));
            let error = match self.establish(self.settings.snapshot_days, answer_time) {
                Ok(link) => return Ok(Some(link)),
                Err(ManageError::Stopped) => return Ok(None),
                Err(error) => error,
            };
            let tried_for = started.elapsed();
            let pause = backoff.pause();
            let left = self
                .settings
                .connect_timeout
                .map(|limit| limit.saturating_sub(tried_for));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Unreachable {
                    endpoint: self.settings.endpoint.clone(),
                    tried_for,
                    last: error,
                });
            }
            warn!(
                "Threat Bus at {} is not ready: {error}; trying again",
                self.settings.endpoint
            );
            if self.stop.sleep(left.map_or(pause, |left| left.min(pause))) {
                return Ok(None);
            }
        }
    }

    /// A new subscription after a loss, tried for ever; `None` where the
    /// program is stopped meanwhile.
    fn connect_again(&mut self, alive: &LastAlive) -> Option<Link> {
        self.alive = alive.monotonic;
        let mut backoff = Backoff::new();
        let with_snapshot = self.settings.snapshot_days > 0;
        loop {
            let days = if with_snapshot { alive.days_ago() } else { 0 };
            match self.establish(days, ANSWER_TIME) {
                Ok(link) => {
                    let gap = alive.elapsed().as_secs_f64();
                    if with_snapshot {
                        info!(
                            "subscribed anew after {gap:.1} s, with a snapshot of {days} day(s) to cover them"
                        );
                    } else {
                        warn!(
                            "subscribed anew after {gap:.1} s; indicators published in that time may \
                             be lost (--snapshot would ask for them)"
                        );
                    }
                    return Some(link);
                }
                Err(ManageError::Stopped) => return None,
                Err(error) => warn!(
                    "Threat Bus at {} is still away: {error}",
                    self.settings.endpoint
                ),
            }
            if self.stop.sleep(backoff.pause()) {
                return None;
            }
        }
    }

    /// Subscribes: in the order that needs no configuration and loses no
    /// message of a snapshot.
    fn establish(&mut self, days: u32, answer_time: Duration) -> Result<Link, ManageError> {
        notify::beat();
        let context = self.context.clone();
        let stop = self.stop.clone();
        let manager = Manager::new(&context, self.settings.endpoint.clone(), Some(&stop));
        // A question that leaves nothing behind, should the broker answer it
        // later than we wait.
        let former = self.former_topic.clone();
        let asked = former.as_deref().unwrap_or(OWN_NAME);
        let restarted = match manager.heartbeat(asked, answer_time) {
            // It stood still, and has lost nothing.
            Ok(()) => None,
            Err(ManageError::Refused(_)) => former.map(|_| self.alive),
            Err(error) => return Err(error),
        };
        let ports = manager.subscribe(OWN_NAME, 0, answer_time)?;
        let held = self.held.len();
        self.hold(&ports.topic);
        let subscribed = self.subscribe_all(&manager, &ports, days, answer_time);
        // Those of a subscription that is not made whole are of no use, and with each
        // try there would be more of them.
        let useless = match &subscribed {
            Ok(_) => vec![ports.topic],
            Err(_) => self.held.split_off(held),
        };
        self.held.retain(|topic| !useless.contains(topic));
        self.give_up_all(&manager, useless);
        let (protocol, link) = subscribed?;
        // Only now, so that no echo is missed.
        let _ = self.writer.send(Broker::Listening {
            endpoint: ports.sub_endpoint,
            restarted,
        });
        self.former_topic = Some(link.topic.clone());
        self.metrics.bus_up.set(Peer::Up);
        info!(
            "subscribed to {} at Threat Bus {} ({protocol}, snapshot of {days} days)",
            bus_topic(protocol),
            self.settings.endpoint
        );
        notify::ready(&format!("subscribed at {}", self.settings.endpoint));
        Ok(link)
    }

    /// Subscribes to all that is wanted of the broker with these ports.
    fn subscribe_all(
        &mut self,
        manager: &Manager<'_>,
        ports: &Subscription,
        days: u32,
        answer_time: Duration,
    ) -> Result<(Protocol, Link), ManageError> {
        let protocol = self.generation(ports)?;
        let sub = Sub::connect(&self.context, &ports.pub_endpoint, self.subscriptions)?;
        self.subscriptions += 1;
        let subscription = manager.subscribe(bus_topic(protocol), days, answer_time)?;
        sub.socket.set_subscribe(subscription.topic.as_bytes())?;
        self.hold(&subscription.topic);
        let echo_topic = self.subscribe_echo(manager, protocol, &sub, answer_time)?;
        let link = Link {
            topic: subscription.topic,
            echo_topic,
            number: self.subscriptions,
            sub,
        };
        Ok((protocol, link))
    }

    /// With `--confirm-delivery`, subscribes to sightings too.
    fn subscribe_echo(
        &mut self,
        manager: &Manager<'_>,
        protocol: Protocol,
        sub: &Sub,
        answer_time: Duration,
    ) -> Result<Option<String>, ManageError> {
        if self.echoes.is_none() {
            return Ok(None);
        }
        let bus_topic = match protocol {
            Protocol::Legacy => legacy::SIGHTING_TOPIC,
            Protocol::Stix2 => stix::message::SIGHTING_TOPIC,
        };
        let subscription = manager.subscribe(bus_topic, 0, answer_time)?;
        sub.socket.set_subscribe(subscription.topic.as_bytes())?;
        self.hold(&subscription.topic);
        Ok(Some(subscription.topic))
    }

    /// The broker holds one more topic for us.
    fn hold(&mut self, topic: &str) {
        self.held.push(topic.to_owned());
        self.remember_held();
    }

    /// Writes down which topics to give up, should this process die.
    fn remember_held(&self) {
        let Some(topics) = &self.settings.topics else {
            return;
        };
        if let Err(error) = topics.remember(&self.held) {
            warn!("the topics cannot be remembered for the next run: {error}");
        }
    }

    /// Unsubscribes a topic that is not needed any more; one that the broker
    /// does not answer for is tried again at the next occasion. Says whether it
    /// answered.
    fn give_up(&mut self, manager: &Manager<'_>, topic: String) -> bool {
        match manager.unsubscribe(&topic, ANSWER_TIME) {
            // Refused: a restarted broker does not know it, which is as good.
            Ok(()) | Err(ManageError::Refused(_)) => true,
            Err(error) => {
                debug!(
                    "topic {} is not given up yet: {error}",
                    printable(&topic, 64)
                );
                self.held.push(topic);
                false
            }
        }
    }

    fn generation(&self, ports: &Subscription) -> Result<Protocol, ManageError> {
        match self.settings.protocol {
            ProtocolChoice::Legacy => return Ok(Protocol::Legacy),
            ProtocolChoice::Stix2 => return Ok(Protocol::Stix2),
            ProtocolChoice::Auto => {}
        }
        let detected = detect(&self.context, &ports.sub_endpoint, &self.stop)?;
        if self.stop.is_draining() {
            return Err(ManageError::Stopped);
        }
        Ok(detected.unwrap_or_else(|| {
            warn!(
                "the broker does not tell its generation at {}; taking STIX-2 (--protocol sets it)",
                ports.sub_endpoint
            );
            Protocol::Stix2
        }))
    }

    /// Receives and keeps alive until the subscription is lost or the program
    /// stops.
    fn serve(&mut self, link: &Link, alive: &mut LastAlive) -> ServeEnd {
        let stop = self.stop.clone();
        let mut next_heartbeat = Instant::now() + HEARTBEAT;
        self.last_message = Instant::now();
        loop {
            notify::beat();
            let left = next_heartbeat.saturating_duration_since(Instant::now());
            let left = self.idle_for_another().map_or(left, |idle| left.min(idle));
            let mut items = vec![
                link.sub.socket.as_poll_item(zmq::POLLIN),
                zmq::PollItem::from_fd(stop.drain_fd().as_raw_fd(), zmq::POLLIN),
            ];
            let former = self.former.iter();
            items.extend(former.map(|former| former.sub.socket.as_poll_item(zmq::POLLIN)));
            match zmq::poll(&mut items, poll_milliseconds(left)) {
                Ok(_) | Err(zmq::Error::EINTR) => {}
                Err(error) => return ServeEnd::Lost(error.into()),
            }
            if stop.is_draining() {
                self.confirm_the_last(link);
                return ServeEnd::Stopped;
            }
            if let Some(former) = self.former.take() {
                self.receive_waiting(&former);
                self.former = Some(former);
            }
            self.receive_waiting(link);
            if self.idle_for_another().is_some_and(|left| left.is_zero()) {
                info!("no more indicators come: ending");
                self.confirm_the_last(link);
                return ServeEnd::Stopped;
            }
            if Instant::now() >= next_heartbeat {
                let context = self.context.clone();
                let manager = Manager::new(&context, self.settings.endpoint.clone(), Some(&stop));
                match manager.heartbeat(&link.topic, ANSWER_TIME) {
                    Ok(()) => {
                        *alive = LastAlive::now();
                        let _ = self.writer.send(Broker::Alive(alive.monotonic));
                    }
                    Err(ManageError::Stopped) => return ServeEnd::Stopped,
                    Err(error) => return ServeEnd::Lost(error),
                }
                if self.former.take().is_some() {
                    self.remembered.settle();
                }
                self.give_up_others(&manager, link);
                next_heartbeat = Instant::now() + HEARTBEAT;
            }
        }
    }

    /// How long it takes at least until the session can end by itself; zero
    /// where it can now, and `None` where it never does.
    fn idle_for_another(&self) -> Option<Duration> {
        let left = self
            .settings
            .idle?
            .saturating_sub(self.last_message.elapsed());
        // The last query may take hours; nothing wakes this thread when it ends.
        let is_busy = left.is_zero() && self.indicators.as_ref().is_some_and(Intake::is_busy);
        Some(if is_busy { LOOK_AGAIN } else { left })
    }

    /// Gives up what a run before this one left at the broker.
    fn give_up_left_over(&mut self, link: &Link) {
        let (context, stop) = (self.context.clone(), self.stop.clone());
        let manager = Manager::new(&context, self.settings.endpoint.clone(), Some(&stop));
        self.give_up_others(&manager, link);
    }

    /// Gives up the topics of former subscriptions, of a run that crashed, and
    /// those whose unsubscription was not answered earlier.
    fn give_up_others(&mut self, manager: &Manager<'_>, link: &Link) {
        let is_used =
            |topic: &String| *topic == link.topic || Some(topic) == link.echo_topic.as_ref();
        let (used, old): (Vec<String>, Vec<String>) = self.held.drain(..).partition(is_used);
        self.held = used;
        if old.is_empty() {
            return;
        }
        self.give_up_all(manager, old);
    }

    fn give_up_all(&mut self, manager: &Manager<'_>, topics: Vec<String>) {
        let mut topics = topics.into_iter();
        for topic in topics.by_ref() {
            // There may be hundreds, of a run that crashed again and again.
            notify::beat();
            if !self.give_up(manager, topic) {
                break;
            }
        }
        // A broker that does not answer for one does not for the next.
        self.held.extend(topics);
        self.remember_held();
    }

    /// Nothing new is taken in, but the last sightings are still on their way,
    /// and their echoes tell that they arrived.
    fn confirm_the_last(&mut self, link: &Link) {
        self.indicators = None;
        let Some(finished) = self.echoes.as_ref().map(|echoes| echoes.finished.clone()) else {
            return;
        };
        let mut next_heartbeat = Instant::now() + HEARTBEAT;
        while !finished.load(Ordering::Acquire) && !self.stop.is_now() {
            notify::beat();
            if !self.stop.is_draining() && Instant::now() >= next_heartbeat {
                let context = self.context.clone();
                let manager = Manager::new(&context, self.settings.endpoint.clone(), None);
                if let Err(error) = manager.heartbeat(&link.topic, ANSWER_TIME) {
                    warn!("the broker has lost the subscription at the end: {error}");
                    return;
                }
                next_heartbeat = Instant::now() + HEARTBEAT;
            }
            let poll = link.sub.socket.poll(zmq::POLLIN, 20);
            if poll.is_err() {
                return;
            }
            self.receive_waiting(link);
        }
    }

    /// Takes everything off the wire that is there, a bounded number of
    /// messages at a time so that heartbeats and signals get their turn.
    fn receive_waiting(&mut self, link: &Link) {
        const AT_ONCE: usize = 10_000;
        for _ in 0..AT_ONCE {
            match link.sub.socket.recv_msg(zmq::DONTWAIT) {
                Ok(frame) => {
                    if frame.get_more() {
                        self.skip_further_frames(link);
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

    /// Messages have one frame; a broker reads the first of several, and so do
    /// we.
    fn skip_further_frames(&self, link: &Link) {
        while let Ok(frame) = link.sub.socket.recv_msg(zmq::DONTWAIT) {
            if !frame.get_more() {
                return;
            }
        }
    }

    fn take(&mut self, frame: &[u8], link: &Link) {
        if let (Some(echoes), Some(topic)) = (&self.echoes, &link.echo_topic) {
            if frame.starts_with(topic.as_bytes()) {
                // The writer may be gone at the very end.
                let _ = echoes.keys.send(echo::key(frame));
                return;
            }
        }
        self.metrics.messages_received.add(1);
        let incoming = receive::read(frame, &link.topic);
        if !matches!(incoming, Ok(Incoming::Other(_))) {
            self.last_message = Instant::now();
        }
        match incoming {
            Ok(Incoming::Indicator(message)) => {
                let message = match self.settings.takes_everything {
                    true => message,
                    false => message.narrow(),
                };
                // The topic is this subscription's; the rest is what counts.
                self.take_message(message, &frame[link.topic.len()..], link.number);
            }
            Ok(Incoming::Other(kind)) => {
                self.metrics.messages_ignored.add(1);
                debug!(
                    "ignoring a message of type {:?}",
                    printable(kind, 64).to_string()
                );
            }
            Err(error) => {
                self.metrics.indicators_rejected.add(1);
                self.metrics.rejected.count(&error.to_string());
                let start = &frame[..frame.len().min(256)];
                warn!(
                    "rejected a message from the bus: {}: {}",
                    printable(&error.to_string(), 500),
                    printable(&String::from_utf8_lossy(start), 200)
                );
                if let receive::Unreadable::Indicator(Rejection {
                    id: Some(id),
                    replaces: true,
                    ..
                }) = error
                {
                    self.withdraw(&id);
                }
            }
        }
    }

    /// What waits under this id is out of date.
    fn withdraw(&mut self, id: &Arc<str>) {
        self.remembered.forget(id);
        // Closed while the program stops: nothing new is taken in.
        if let Some(indicators) = &self.indicators {
            indicators.withdraw(id);
        }
    }

    fn take_message(&mut self, message: Message, content: &[u8], subscription: u64) {
        let Some(message) = self.versions.newest(message) else {
            self.metrics.indicators_repeated.add(1);
            return;
        };
        match message {
            Message::Match {
                indicator,
                left_out,
                ..
            } => {
                tell_of_left_out(&indicator.id, &left_out);
                self.take_indicator(indicator, content, subscription);
            }
            Message::Withdraw(id) => {
                self.metrics.indicators_withdrawn.add(1);
                self.withdraw(&id);
            }
            Message::Unsupported {
                id,
                reason,
                replaces,
                ..
            } => {
                self.metrics.indicators_unsupported.add(1);
                self.metrics.unsupported.count(&reason);
                info!(
                    "indicator {} is unsupported: {}",
                    printable(&id, 200),
                    printable(&reason, 500)
                );
                if replaces {
                    self.withdraw(&id);
                }
            }
        }
    }

    fn take_indicator(&mut self, indicator: Indicator, content: &[u8], subscription: u64) {
        let id = &indicator.id;
        if self.remembered.is_repeated(id, content, subscription) {
            self.metrics.indicators_repeated.add(1);
            debug!("indicator {} is known already", printable(id, 200));
            return;
        }
        self.metrics.indicators_received.add(1);
        self.metrics.kinds.count(indicator.kind());
        // Closed while the program stops: nothing new is taken in.
        if let Some(indicators) = &self.indicators {
            let journal = self.journal.as_ref();
            indicators.add(indicator, journal.map(|journal| journal.begin(content)));
        }
    }
}

/// What the indicators of a generation are published on.
fn bus_topic(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Legacy => legacy::INTEL_TOPIC,
        Protocol::Stix2 => stix::message::INDICATOR_TOPIC,
    }
}
