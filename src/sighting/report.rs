//! From a match to what the writer sends: unflatten, transform, encode. All of
//! it happens in the thread that found the match, so the one writer only writes.

use std::sync::Arc;

use crossbeam_channel::{Sender, TrySendError, select};
use log::{debug, error, warn};

use crate::indicator::{Indicator, Protocol};
use crate::observable::EventTime;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::command::CommandTemplate;
use crate::process::stop::Stop;
use crate::protocol::legacy;
use crate::protocol::stix;
use crate::protocol::{Context, MatchType};
use crate::sighting::gather::{Gathered, Gathering};
use crate::sighting::lines::Pool;
use crate::sighting::transform::{Failure, transform};
use crate::state::journal::Ticket;
use crate::state::reported::Reported;

/// How much output is gathered before it goes to the writer, in bytes.
const FULL: usize = 64 * 1024;

/// Where sightings go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To the bus, each in the protocol of its indicator.
    Bus,
    /// To standard output, the contexts only.
    Stdout,
    /// To a command, which is run for each.
    Command,
}

/// Sightings on their way to the writer.
#[derive(Debug)]
pub enum Parcel {
    /// Whole lines for standard output.
    Lines {
        /// The bytes, each line with its end.
        bytes: Vec<u8>,
        /// How many lines there are.
        count: u64,
    },
    /// Frames for the bus.
    Messages(Vec<BusMessage>),
    /// Indicators whose sightings are all in earlier parcels.
    Finished(Vec<Ticket>),
    /// One run of the sink command.
    Command {
        /// What is replaced for `%ioc`.
        ioc: String,
        /// What is replaced for `%matchtype`.
        match_type: MatchType,
        /// Standard input.
        context: Context<'static>,
        /// For the log.
        indicator: Arc<str>,
    },
}

impl Parcel {
    /// How many sightings it holds.
    pub fn count(&self) -> u64 {
        match self {
            Parcel::Lines { count, .. } => *count,
            Parcel::Messages(messages) => messages.len() as u64,
            Parcel::Command { .. } => 1,
            Parcel::Finished(_) => 0,
        }
    }
}

/// One frame: topic, space, JSON.
#[derive(Debug)]
pub struct BusMessage {
    /// The whole frame.
    pub frame: String,
}

/// What stays the same for all reports of a run.
#[derive(Debug)]
pub struct Settings {
    /// Where sightings go.
    pub destination: Destination,
    /// `--transform-context`.
    pub transform: Transform,
    /// `--unflatten`.
    pub unflatten: bool,
    /// `--report-once`.
    pub reported: Option<Arc<Reported>>,
}

/// What is made of contexts before they go out.
#[derive(Debug)]
pub enum Transform {
    /// Nothing else.
    None,
    /// What a command makes of them, one process for each.
    Each(CommandTemplate),
    /// What a command makes of them that stays.
    Lines(Pool),
}

/// One thread's way to the writer.
pub struct Reporter {
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    writer: Sender<Parcel>,
    stop: Stop,
    lines: Vec<u8>,
    line_count: u64,
    messages: Vec<BusMessage>,
    message_bytes: usize,
    finished: Vec<Ticket>,
    /// What waits for a command that stays.
    gathering: Gathering,
}

impl Reporter {
    /// A reporter of its own for one thread.
    pub fn new(
        settings: Arc<Settings>,
        metrics: Arc<Metrics>,
        writer: Sender<Parcel>,
        stop: Stop,
    ) -> Self {
        Reporter {
            settings,
            metrics,
            writer,
            stop,
            lines: Vec::new(),
            line_count: 0,
            messages: Vec::new(),
            message_bytes: 0,
            finished: Vec::new(),
            gathering: Gathering::new(),
        }
    }

    /// Reports one match. `context` is the event as the engine printed it.
    pub fn report(&mut self, indicator: &Indicator, context: &Context<'_>, match_type: MatchType) {
        self.report_at(indicator, context, match_type, None);
    }

    /// Reports one match of an event that happened at this time, where that is
    /// not for the context to tell.
    pub fn report_at(
        &mut self,
        indicator: &Indicator,
        context: &Context<'_>,
        match_type: MatchType,
        time: Option<EventTime>,
    ) {
        // Where the context does not tell the event, it cannot tell that it is new.
        let is_told = time.is_none();
        let reported = self.settings.reported.clone().filter(|_| is_told);
        let is_known = |reported: &Arc<Reported>| !reported.is_new(&indicator.id, context.as_str());
        if reported.as_ref().is_some_and(is_known) {
            self.metrics.sightings_known.add(1);
            return;
        }
        self.metrics.sightings_found.add(1);
        if match_type == MatchType::Live {
            self.metrics.sightings_live.add(1);
        }
        // Only the bus is told when it happened.
        let time = match self.settings.destination {
            Destination::Bus => Some(time.unwrap_or_else(|| self.event_time(indicator, context))),
            Destination::Stdout | Destination::Command => None,
        };
        // The event itself goes out untouched unless something changes it.
        let event = context;
        let mut changed: Option<Context<'_>> = None;
        if indicator.protocol == Protocol::Legacy {
            changed = Some(context.clone().with_plain_ports());
        }
        if self.settings.unflatten {
            changed = Some(changed.unwrap_or_else(|| context.clone()).unflattened());
        }
        let context = changed.as_ref().unwrap_or(context);
        let settings = self.settings.clone();
        match &settings.transform {
            Transform::None => self.pack(indicator, context, time, match_type),
            Transform::Each(template) => {
                let answer = transform(template, context, ioc(indicator), match_type, &self.stop);
                self.answered(indicator, event, context, time, match_type, answer);
                // The next may take its 30 s.
                self.flush();
            }
            Transform::Lines(pool) => {
                let is_enough = pool.gather(context.as_str().len());
                let event = is_told
                    .then_some(event)
                    .filter(|_| settings.reported.is_some());
                let one = Gathered::new(event, context, time, match_type);
                if self.gathering.push(indicator, one) || is_enough {
                    self.flush();
                }
            }
        }
    }

    /// Asks the commands that stay for what is gathered.
    fn ask_gathered(&mut self) {
        let settings = self.settings.clone();
        let Transform::Lines(pool) = &settings.transform else {
            return;
        };
        if self.gathering.is_empty() {
            return;
        }
        let gathered = self.gathering.take();
        let answers = pool.ask(
            gathered
                .iter()
                .map(|(indicator, one)| one.question(ioc(indicator)))
                .collect(),
        );
        for ((indicator, one), answer) in gathered.into_iter().zip(answers) {
            let event = one.event.as_ref().unwrap_or(&one.context);
            let (time, match_type) = (one.time, one.match_type);
            self.answered(&indicator, event, &one.context, time, match_type, answer);
        }
    }

    /// A transformation has come to its end.
    fn answered(
        &mut self,
        indicator: &Indicator,
        event: &Context<'_>,
        context: &Context<'_>,
        time: Option<EventTime>,
        match_type: MatchType,
        answer: Result<Context<'static>, Failure>,
    ) {
        match answer {
            Ok(transformed) => self.pack(indicator, &transformed, time, match_type),
            Err(reason) => {
                self.untransformed(indicator, context, time, match_type, &reason);
                if let (Some(reported), false) = (&self.settings.reported, self.is_for_bus()) {
                    reported.forget(&indicator.id, event.as_str());
                }
            }
        }
    }

    fn is_for_bus(&self) -> bool {
        matches!(self.settings.destination, Destination::Bus)
    }

    fn event_time(&self, indicator: &Indicator, context: &Context<'_>) -> EventTime {
        context.time().unwrap_or_else(|| {
            self.metrics.events_without_time.add(1);
            warn!(
                "indicator {}: the matched event has no time that can be read in `ts` or `timestamp`; \
                 its sighting carries the present time",
                printable(&indicator.id, 200)
            );
            EventTime::now()
        })
    }

    /// A bus gets the event as it was; a sink, which gets nothing but the
    /// context, gets nothing.
    fn untransformed(
        &mut self,
        indicator: &Indicator,
        context: &Context<'_>,
        time: Option<EventTime>,
        match_type: MatchType,
        reason: &Failure,
    ) {
        self.metrics.transforms_failed.add(1);
        let id = printable(&indicator.id, 200);
        if let Destination::Bus = self.settings.destination {
            warn!(
                "indicator {id}: --transform-context failed: {reason}; \
                 the sighting keeps its original context"
            );
            self.pack(indicator, context, time, match_type);
        } else {
            self.metrics.sightings_withheld.add(1);
            error!(
                "indicator {id}: --transform-context failed: {reason}; \
                 the sink does not get this sighting"
            );
        }
    }

    fn pack(
        &mut self,
        indicator: &Indicator,
        context: &Context<'_>,
        time: Option<EventTime>,
        match_type: MatchType,
    ) {
        match self.settings.destination {
            Destination::Stdout => {
                self.lines.extend_from_slice(context.as_str().as_bytes());
                self.lines.push(b'\n');
                self.line_count += 1;
                if self.lines.len() >= FULL {
                    self.hand_over();
                }
            }
            Destination::Bus => self.pack_message(indicator, context, time, match_type),
            Destination::Command => self.send(Parcel::Command {
                ioc: ioc(indicator).to_owned(),
                match_type,
                context: context.clone().into_owned(),
                indicator: indicator.id.clone(),
            }),
        }
    }

    fn pack_message(
        &mut self,
        indicator: &Indicator,
        context: &Context<'_>,
        time: Option<EventTime>,
        match_type: MatchType,
    ) {
        let time = &time.unwrap_or_else(EventTime::now);
        let (topic, json) = match indicator.protocol {
            Protocol::Legacy => (
                legacy::SIGHTING_TOPIC,
                legacy::write(indicator, match_type, time, context),
            ),
            Protocol::Stix2 => (
                stix::message::SIGHTING_TOPIC,
                stix::message::write(indicator, match_type, time, context),
            ),
        };
        match json {
            Ok(json) => {
                let frame = format!("{topic} {json}");
                debug!(
                    "sighting of indicator {} ({} bytes)",
                    printable(&indicator.id, 200),
                    frame.len()
                );
                self.message_bytes += frame.len();
                self.messages.push(BusMessage { frame });
                if self.message_bytes >= FULL {
                    self.hand_over();
                }
            }
            Err(error) => {
                self.metrics.sightings_failed.add(1);
                error!(
                    "indicator {}: its sighting cannot be written as JSON: {error}",
                    printable(&indicator.id, 200)
                );
            }
        }
    }

    /// Hands over what is gathered. Called whenever no more output waits to be
    /// read, so that a sighting is never held back for company.
    pub fn flush(&mut self) {
        self.ask_gathered();
        self.hand_over();
    }

    /// Hands over what is ready for the writer.
    fn hand_over(&mut self) {
        if !self.lines.is_empty() {
            let bytes = std::mem::take(&mut self.lines);
            let count = std::mem::take(&mut self.line_count);
            self.send(Parcel::Lines { bytes, count });
        }
        if !self.messages.is_empty() {
            self.message_bytes = 0;
            let messages = std::mem::take(&mut self.messages);
            self.send(Parcel::Messages(messages));
        }
        if !self.finished.is_empty() {
            let finished = std::mem::take(&mut self.finished);
            self.send(Parcel::Finished(finished));
        }
    }

    /// The indicator is answered: once its sightings are safe, its entry in the
    /// journal can be closed.
    pub fn finish(&mut self, ticket: Option<Ticket>) {
        self.finished.extend(ticket);
    }

    /// Waits for the writer as long as it takes, but not beyond the end.
    fn send(&self, parcel: Parcel) {
        let count = parcel.count();
        // A free place is taken even at the very end, where `select!` would
        // toss a coin.
        let undelivered = match self.writer.try_send(parcel) {
            Ok(()) => None,
            Err(TrySendError::Disconnected(parcel)) => Some(parcel),
            Err(TrySendError::Full(parcel)) => select! {
                send(self.writer, parcel) -> sent => sent.err().map(|error| error.0),
                recv(self.stop.now_channel()) -> _ => {
                    return self.metrics.sightings_lost.add(count);
                }
            },
        };
        if let Some(parcel) = undelivered {
            self.metrics.sightings_lost.add(count);
            // There is no writer that would know whether all before it is safe.
            if let Parcel::Finished(tickets) = parcel {
                tickets.into_iter().for_each(Ticket::keep);
            }
        }
    }
}

/// The text that stands for `%ioc`: the value as the bus wrote it.
fn ioc(indicator: &Indicator) -> &str {
    indicator.ioc.first().map_or("", String::as_str)
}
