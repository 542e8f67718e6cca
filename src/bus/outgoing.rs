//! The writer for the bus: receives sightings from the workers, keeps them until they are
//! delivered, and sends them to the current broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, TryRecvError, never};
use log::{debug, error, info, warn};

use super::echo;
use super::flight::{CONFIRMATION_TIME, Frame, Key};
use super::outbox::{NextMessage, Outbox, Overdue};
use super::publish::{Publisher, Sent};
use super::share::Mostly;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::endpoint::Endpoint;
use crate::process::stop::Stop;
use crate::sighting::delivery::{Delivery, Undelivered};
use crate::sighting::message::WriterMessage;
use crate::state::journal::Ticket;

/// The least time for the last messages to reach the broker when the program ends: even a
/// second signal does not discard them at once.
const LEAST_LINGER: Duration = Duration::from_millis(500);

/// The pause before a full disk is tried again.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// How long a run that ends waits for a broker that accepts nothing, if everything left
/// is safe on disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// The number of messages that are sent before the inputs are checked again.
const SENT_AT_ONCE: usize = 256;

/// The inputs of the writer.
pub struct WriterInputs {
    /// Sightings from the workers.
    pub messages: Receiver<WriterMessage>,
    /// What the session knows about the broker.
    pub brokers: Receiver<Broker>,
    /// Sightings that the broker echoed, from any app; `None` for one that cannot be from
    /// here.
    pub echoes: Receiver<Option<Key>>,
    /// Set when the writer needs no more echoes.
    pub finished: Arc<AtomicBool>,
}

/// What the session knows about the broker.
#[derive(Clone, Debug)]
pub enum Broker {
    /// There is a new subscription.
    Listening {
        /// The broker's sub port.
        endpoint: Endpoint,
        /// When it was last known to be alive, if it was restarted since.
        restarted: Option<Instant>,
    },
    /// It confirmed the subscription at this moment.
    Alive(Instant),
    /// It does not know the subscription, or does not respond.
    Away,
}

/// The writer.
pub struct BusWriter {
    publisher: Publisher,
    outbox: Outbox,
    /// Frames that did not fit on a full disk, and the tickets after them.
    refused: Vec<Frame>,
    refused_tickets: Vec<Ticket>,
    retry_disk_at: Instant,
    /// An earlier run left sightings: the bus was away, and its apps may be.
    has_left_over: bool,
    /// Whether there may be something to send.
    busy: bool,
    /// When the bus last accepted or confirmed a sighting, or one arrived.
    moved: Instant,
    delivery: Arc<Delivery>,
    metrics: Arc<Metrics>,
    stop: Stop,
}

impl BusWriter {
    /// Makes a writer with this outbox.
    pub fn new(outbox: Outbox, delivery: Arc<Delivery>, metrics: Arc<Metrics>, stop: Stop) -> Self {
        BusWriter {
            publisher: Publisher::new(stop.clone(), outbox.is_on_disk()),
            has_left_over: outbox.spooled_bytes() > 0,
            outbox,
            refused: Vec::new(),
            refused_tickets: Vec::new(),
            retry_disk_at: Instant::now(),
            busy: true,
            moved: Instant::now(),
            delivery,
            metrics,
            stop,
        }
    }

    /// Writes until the workers are gone and everything is delivered, or the grace period
    /// is over.
    pub fn run(mut self, mut inputs: WriterInputs) {
        if self.outbox.spooled_bytes() > 0 {
            info!(
                "{} bytes of sightings wait in the spool from an earlier run",
                self.outbox.spooled_bytes()
            );
        }
        let mut open = true;
        while open || !self.is_done() {
            if self.is_over() || !open && self.may_leave() {
                break;
            }
            open = self.listen(&mut inputs, open);
            self.store_refused();
            self.send_some();
            self.note_spooled();
        }
        self.end(inputs);
    }

    fn is_done(&self) -> bool {
        self.outbox.is_empty() && self.refused.is_empty()
    }

    /// Whether the rest can be left for the next run: it is safe on disk, and the bus
    /// does not accept it. If sightings wait for the apps of a broker, a run that ends
    /// waits too, since the next one may be as short.
    fn may_leave(&mut self) -> bool {
        if self.publisher.is_settling() && !self.stop.is_draining() {
            self.moved = Instant::now();
            return false;
        }
        self.is_safe() && self.moved.elapsed() >= self.patience()
    }

    /// A sighting whose echo is awaited is sent again automatically.
    fn patience(&self) -> Duration {
        if self.outbox.awaits_echoes() {
            CONFIRMATION_TIME + PATIENCE
        } else {
            PATIENCE
        }
    }

    fn is_safe(&self) -> bool {
        self.refused.is_empty() && self.outbox.at_risk() == 0 && self.outbox.spooled_bytes() > 0
    }

    /// Whether the grace period is over.
    fn is_over(&self) -> bool {
        let over = |until: Instant| until <= Instant::now();
        self.stop.is_now() || self.stop.drained_by().is_some_and(over)
    }

    /// Receives what has arrived, waiting if there is nothing else to do. Returns whether
    /// the workers are still running.
    fn listen(&mut self, inputs: &mut WriterInputs, open: bool) -> bool {
        let mut open = open;
        let mut look_again = self.look();
        if !open && self.is_safe() {
            let left = self.patience().saturating_sub(self.moved.elapsed());
            look_again = Some(look_again.map_or(left, |again| again.min(left)));
        }
        if let Some(wait) = self.time_to_wait().filter(|_| open || !self.is_done()) {
            self.wait(
                inputs,
                open,
                look_again.map_or(wait, |again| wait.min(again)),
            );
        }
        while let Ok(broker) = inputs.brokers.try_recv() {
            self.hear_of(&broker);
        }
        while let Ok(key) = inputs.echoes.try_recv() {
            // There may be room for another one now.
            (self.busy, self.moved) = (true, Instant::now());
            if let Some(mostly) = self.outbox.echo(key, Instant::now()) {
                warn_of_others(mostly);
            }
        }
        while open && self.takes_more() {
            match inputs.messages.try_recv() {
                Ok(message) => {
                    self.moved = Instant::now();
                    self.take(message);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => open = false,
            }
        }
        open
    }

    /// Checks what was sent recently; returns the time after which to check again.
    fn look(&mut self) -> Option<Duration> {
        let look_again = self.publisher.look();
        self.take_loss();
        look_again.unwrap_or_else(|reason| {
            warn!("reading the broker's subscriptions: {reason}");
            None
        })
    }

    /// Takes back what may not have reached a broker that died.
    fn take_loss(&mut self) {
        if !self.publisher.take_loss() {
            return;
        }
        let lost = self.outbox.lost(Instant::now());
        self.busy = true;
        debug!("the connection for sightings is lost: resending what may not have arrived");
        self.miss(Undelivered::Lost, lost);
    }

    fn takes_more(&self) -> bool {
        self.outbox.has_room() && self.refused.is_empty()
    }

    /// How long there is nothing to send: `None` if there is something.
    fn time_to_wait(&self) -> Option<Duration> {
        const FOR_EVER: Duration = Duration::from_secs(86_400);
        let now = Instant::now();
        if self.busy {
            return None;
        }
        let retry = (!self.refused.is_empty()).then_some(self.retry_disk_at);
        let next = [retry, self.outbox.next_deadline()]
            .into_iter()
            .flatten()
            .min();
        Some(next.map_or(FOR_EVER, |next| next.saturating_duration_since(now)))
    }

    /// Waits until one of the inputs is ready, without receiving from it. A closed input
    /// would always be ready, so it is ignored.
    fn wait(&self, inputs: &mut WriterInputs, open: bool, time: Duration) {
        let mut select = Select::new();
        if open && self.takes_more() {
            select.recv(&inputs.messages);
        }
        let brokers = select.recv(&inputs.brokers);
        let echoes = select.recv(&inputs.echoes);
        select.recv(self.stop.now_channel());
        if !self.stop.is_draining() {
            select.recv(self.stop.drain_channel());
        }
        match select.ready_timeout(time) {
            Ok(ready) if ready == brokers && inputs.brokers.is_empty() => inputs.brokers = never(),
            Ok(ready) if ready == echoes && inputs.echoes.is_empty() => inputs.echoes = never(),
            _ => {}
        }
    }

    fn take(&mut self, message: WriterMessage) {
        match message {
            WriterMessage::Messages(messages) => {
                let frames = messages
                    .into_iter()
                    .map(|message| message.frame.into_bytes());
                let rest = self.send_at_once(frames.collect());
                self.store(rest);
            }
            WriterMessage::Finished(tickets) => {
                if self.refused.is_empty() {
                    tickets.into_iter().for_each(Ticket::finish);
                } else {
                    self.refused_tickets.extend(tickets);
                }
            }
            WriterMessage::Lines { .. } | WriterMessage::Command(_) => {}
        }
    }

    /// Sends sightings directly if none waits; returns those that were not sent.
    fn send_at_once(&mut self, frames: Vec<Frame>) -> Vec<Frame> {
        if !self.outbox.is_bypassed() {
            return frames;
        }
        let mut frames = frames.into_iter();
        while let Some(frame) = frames.next() {
            match self.send(&frame) {
                Sent::Yes => {
                    self.metrics.sightings_sent.add(1);
                    self.outbox.sent_at_once(frame, Instant::now());
                }
                Sent::NotYet => return std::iter::once(frame).chain(frames).collect(),
                Sent::Never => {}
            }
        }
        Vec::new()
    }

    fn store(&mut self, frames: Vec<Frame>) {
        if frames.is_empty() {
            return;
        }
        self.busy = true;
        match self.outbox.push(frames) {
            Ok(0) => {}
            Ok(lost) => {
                self.miss(Undelivered::Lost, lost);
                error!(
                    "the spool is full (--spool-max-bytes): its {lost} oldest sighting(s) are lost"
                );
            }
            Err((frames, reason)) => {
                if self.refused.is_empty() {
                    error!("the spool cannot be written: {reason}; the workers wait");
                }
                // At the end more is received although some are refused.
                self.refused.extend(frames);
                self.retry_disk_at = Instant::now() + DISK_PAUSE;
            }
        }
    }

    fn store_refused(&mut self) {
        if self.refused.is_empty() || Instant::now() < self.retry_disk_at {
            return;
        }
        let frames = std::mem::take(&mut self.refused);
        // The error has been logged.
        match self.outbox.push(frames) {
            Ok(lost) => {
                self.miss(Undelivered::Lost, lost);
                info!("the spool can be written again");
                self.refused_tickets.drain(..).for_each(Ticket::finish);
            }
            Err((frames, _)) => {
                self.refused = frames;
                self.retry_disk_at = Instant::now() + DISK_PAUSE;
            }
        }
    }

    fn send_some(&mut self) {
        self.busy = true;
        for _ in 0..SENT_AT_ONCE {
            match self.outbox.next_to_send() {
                Ok(Some(next)) => {
                    if !self.send_next(next) {
                        break;
                    }
                }
                Ok(None) => {
                    self.busy = false;
                    break;
                }
                Err(reason) => {
                    error!("reading the spool: {reason}");
                    return;
                }
            }
        }
        let (overdue, written) = self.outbox.time(Instant::now());
        self.note(written);
        self.tell(overdue);
    }

    /// Returns whether it was sent, or never will be.
    fn send_next(&mut self, next: NextMessage) -> bool {
        let sent = self.send(&next.frame);
        let now = Instant::now();
        let kept = match sent {
            Sent::NotYet => return false,
            Sent::Never => self.outbox.dropped(next, now),
            Sent::Yes => {
                if next.is_repeated() {
                    self.metrics.sightings_repeated.add(1);
                } else {
                    self.metrics.sightings_sent.add(1);
                }
                self.outbox.sent(next, now)
            }
        };
        self.note(kept);
        true
    }

    fn tell(&mut self, overdue: Overdue) {
        for message in overdue.given_up {
            self.metrics.sightings_unconfirmed.add(1);
            warn!(
                "a sighting of indicator {} was sent {} times and never confirmed by the broker",
                printable(&echo::indicator(&message.frame), 200),
                message.sendings
            );
        }
        if overdue.is_mute {
            self.busy = true;
            warn!(
                "the broker sends no sighting back: delivery is not confirmed, and what is inside \
                 it when it dies is lost"
            );
        }
    }

    /// Tries to send a frame; counts and logs one that can never be sent.
    fn send(&mut self, frame: &Frame) -> Sent {
        let sent = self.publisher.send(frame);
        match sent {
            Ok(Sent::Yes) => {
                self.moved = Instant::now();
                Sent::Yes
            }
            Ok(Sent::Never) => {
                self.miss(Undelivered::Failed, 1);
                error!(
                    "a sighting is dropped: the broker does not listen to its topic, that of the \
                     generation that its indicator came in: {}",
                    printable(
                        &String::from_utf8_lossy(&frame[..frame.len().min(400)]),
                        200
                    )
                );
                Sent::Never
            }
            Ok(sent) => sent,
            Err(reason) => {
                warn!("sending to the bus: {reason}");
                let pause = Duration::from_millis(500);
                let _ = self.stop.now_channel().recv_timeout(pause);
                Sent::NotYet
            }
        }
    }

    fn hear_of(&mut self, broker: &Broker) {
        match broker {
            Broker::Alive(at) => {
                let written = self.outbox.alive(*at);
                self.note(written);
            }
            Broker::Away => {
                self.publisher.suspect(true);
                self.outbox.away();
                self.busy = true;
            }
            Broker::Listening {
                endpoint,
                restarted,
            } => {
                // Notes a loss of the former connection, which the new one would hide.
                let _ = self.look();
                self.publisher.suspect(false);
                let left_over = std::mem::take(&mut self.has_left_over);
                let may_be_new = restarted.is_some() || left_over;
                if let Err(reason) = self.publisher.connect(endpoint, may_be_new) {
                    error!("cannot send sightings to {endpoint}: {reason}");
                }
                self.outbox.subscribed(Instant::now(), *restarted);
                self.busy = true;
            }
        }
    }

    /// A position that cannot be written costs repetitions after a crash, but no
    /// sightings.
    fn note(&self, result: std::io::Result<()>) {
        if let Err(reason) = result {
            warn!("the spool's position cannot be written: {reason}");
        }
    }

    fn miss(&self, why: Undelivered, count: u64) {
        self.delivery.miss(why, count, &self.metrics);
    }

    /// Returns how much waits in the spool now.
    fn note_spooled(&self) -> u64 {
        let bytes = self.outbox.spooled_bytes();
        self.delivery.spool(bytes, &self.metrics);
        bytes
    }

    /// The last chance: sends what the workers found at the very end, if the broker accepts
    /// it at once.
    fn sweep(&mut self, inputs: &WriterInputs) {
        let until = Instant::now() + LEAST_LINGER;
        while let Ok(message) = inputs.messages.recv_deadline(until) {
            self.take(message);
        }
        self.send_some();
        while self.busy && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
            self.send_some();
        }
    }

    fn end(mut self, inputs: WriterInputs) {
        self.sweep(&inputs);
        // Who sends from here on sees that there is no writer, and counts what is lost.
        let mut too_late = 0;
        for message in inputs.messages.try_iter() {
            too_late += message.count();
            if let WriterMessage::Finished(tickets) = message {
                self.refused_tickets.extend(tickets);
            }
        }
        drop(inputs.messages);
        let written = self.outbox.end(Instant::now());
        self.note(written);
        let lost = self.outbox.at_risk() + self.refused.len() as u64 + too_late;
        self.miss(Undelivered::Lost, lost);
        self.refused_tickets.drain(..).for_each(Ticket::keep);
        let spooled = self.note_spooled();
        if spooled > 0 {
            info!("{spooled} bytes of sightings stay in the spool for the next run");
        }
        inputs.finished.store(true, Ordering::Release);
        let left = self.stop.drained_by().map_or(LEAST_LINGER, |until| {
            until.saturating_duration_since(Instant::now())
        });
        self.publisher.close(left.max(LEAST_LINGER));
    }
}

/// Each bridge that listens for its own sightings also receives those of all others.
fn warn_of_others(mostly: Mostly) {
    warn!(
        "{} of the {} sightings that the broker sent in the last minute are of other apps: most of \
         what confirming costs it is for those (--no-confirm-delivery)",
        mostly.others, mostly.all
    );
}
