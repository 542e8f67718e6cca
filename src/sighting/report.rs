//! From a match to a message for the writer: unflatten, transform, encode. All of this
//! happens in the thread that found the match, so that the writer only writes.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::Sender;
use log::{debug, error, warn};
use time::OffsetDateTime;

use crate::indicator::{Allowing, Indicator, Protocol};
use crate::observable::{EventTime, Observable};
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::command::CommandTemplate;
use crate::process::stop::Stop;
use crate::protocol::facts::OBSERVATIONS;
use crate::protocol::{Context, Facts, MatchType, Sensor};
use crate::sighting::delivery::{Delivery, Undelivered};
use crate::sighting::gather::{GatheredSighting, Gathering};
use crate::sighting::instances::Observed;
use crate::sighting::lines::Pool;
use crate::sighting::locate::Locator;
use crate::sighting::message::WriterMessage;
use crate::sighting::noise::{HeldSighting, Noise};
use crate::sighting::pack::Packer;
use crate::sighting::tally::Tally;
use crate::sighting::transform::{TransformError, transform};
use crate::sighting::windows;
use crate::state::journal::Ticket;
use crate::state::reported::Reported;

/// Where sightings are sent.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To the bus, in the protocol of the indicator.
    Bus,
    /// To standard output, one line each.
    Stdout,
    /// To a command.
    Command,
}

/// The output format for standard output and commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Its context.
    #[default]
    Context,
    /// An object with the whole sighting, including its context.
    Sighting,
}

/// The settings for all reports of a run.
#[derive(Clone, Debug)]
pub struct ReportSettings {
    /// Where sightings are sent.
    pub destination: Destination,
    /// Their format for a sink.
    pub output: Output,
    /// The source of events that are not from a named log.
    pub source: Arc<str>,
    /// The sensor, if it is reported.
    pub sensor: Option<Arc<Sensor>>,
    /// Whether there are other sensors in this run, so that an event seen by two of them
    /// is reported twice.
    pub is_one_of_several: bool,
    /// `--transform-context`.
    pub transform: Transform,
    /// `--unflatten`.
    pub unflatten: bool,
    /// `--report-once`.
    pub reported: Option<Arc<Reported>>,
    /// `--allow`.
    pub allow: Allowing,
    /// `--aggregate` and `--max-sightings-per-minute`.
    pub noise: Option<Arc<Noise>>,
    /// The counts for the summary at the end.
    pub tally: Option<Arc<Mutex<Tally>>>,
    /// What becomes of the sightings of the run.
    pub delivery: Arc<Delivery>,
}

impl ReportSettings {
    /// Settings that send everything unchanged.
    pub fn plain(destination: Destination) -> Self {
        ReportSettings {
            destination,
            output: Output::Context,
            source: "VAST".into(),
            sensor: None,
            is_one_of_several: false,
            transform: Transform::None,
            unflatten: false,
            reported: None,
            allow: Allowing::default(),
            noise: None,
            tally: None,
            delivery: Arc::default(),
        }
    }

    fn is_for_bus(&self) -> bool {
        matches!(self.destination, Destination::Bus)
    }

    /// The id of an indicator in `--report-once`, including its source if necessary.
    pub(super) fn reported_id<'a>(&self, indicator: &'a Indicator) -> Cow<'a, str> {
        match self.sensor.as_ref().filter(|_| self.is_one_of_several) {
            Some(sensor) => format!("{}\n{}", indicator.id, sensor.name).into(),
            None => Cow::Borrowed(&indicator.id),
        }
    }

    /// Whether sightings have the time of the event.
    fn needs_time(&self) -> bool {
        self.is_for_bus()
            || self.output == Output::Sighting
            || self.noise.is_some()
            || self.tally.is_some()
    }

    /// Whether sightings have the matching field.
    fn needs_matched(&self, indicator: &Indicator) -> bool {
        if self.is_for_bus() {
            indicator.protocol == Protocol::Stix2
        } else {
            self.output == Output::Sighting
        }
    }
}

/// How contexts are transformed.
#[derive(Clone, Debug)]
pub enum Transform {
    /// Not at all.
    None,
    /// By a command, one process for each context.
    Each(CommandTemplate),
    /// By a command that keeps running.
    Lines(Arc<Pool>),
}

/// A match: an event, or the last of several.
struct MatchedEvents<'a> {
    /// The event as it was printed.
    context: &'a Context<'a>,
    /// The events before it.
    others: &'a [Observed],
    match_type: MatchType,
    /// Whether the context is the event. If it is not, `--report-once` cannot use
    /// it to recognise the event.
    is_event: bool,
    /// When it happened, unless the context contains the time.
    time: Option<EventTime>,
}

impl MatchedEvents<'_> {
    /// The texts of all events, sorted, if there are several.
    fn instance(&self) -> Option<Arc<str>> {
        if self.others.is_empty() {
            return None;
        }
        let mut texts: Vec<&str> = self.others.iter().map(|one| &*one.event).collect();
        texts.push(self.context.as_str());
        texts.sort_unstable();
        // No event contains a line break.
        Some(texts.join("\n").into())
    }
}

/// The way of one thread to the writer.
pub struct Reporter {
    settings: Arc<ReportSettings>,
    metrics: Arc<Metrics>,
    stop: Stop,
    /// The source of the next events.
    source: Arc<str>,
    locator: Locator,
    /// Sightings that wait for a command that keeps running.
    gathering: Gathering,
    packer: Packer,
}

impl Reporter {
    /// Makes a reporter for one thread.
    pub fn new(
        settings: Arc<ReportSettings>,
        metrics: Arc<Metrics>,
        writer: Sender<WriterMessage>,
        stop: Stop,
    ) -> Self {
        let packer = Packer::new(settings.clone(), metrics.clone(), writer, stop.clone());
        Reporter {
            source: settings.source.clone(),
            settings,
            metrics,
            stop,
            locator: Locator::default(),
            gathering: Gathering::new(),
            packer,
        }
    }

    /// Sets the log of the next events.
    pub fn come_from(&mut self, source: &str) {
        if *self.source != *source {
            self.source = source.into();
        }
    }

    /// The source of the next events.
    pub fn source(&self) -> Arc<str> {
        self.source.clone()
    }

    /// Reports one match. `context` is the event as the engine printed it.
    pub fn report(&mut self, indicator: &Indicator, context: &Context<'_>, match_type: MatchType) {
        self.report_at(indicator, context, match_type, None);
    }

    /// Reports a match of an event that happened at this time, unless the context
    /// contains the time.
    pub fn report_at(
        &mut self,
        indicator: &Indicator,
        context: &Context<'_>,
        match_type: MatchType,
        time: Option<EventTime>,
    ) {
        let met = MatchedEvents {
            context,
            others: &[],
            match_type,
            is_event: time.is_none(),
            time,
        };
        self.report_met(indicator, &met);
    }

    /// Reports events that match together, in their order; the last is the context.
    pub fn report_instance(
        &mut self,
        indicator: &Indicator,
        instance: &[Observed],
        match_type: MatchType,
    ) {
        let Some((last, others)) = instance.split_last() else {
            return;
        };
        self.come_from(&last.source);
        let met = MatchedEvents {
            context: &Context::already_checked(&last.event),
            others,
            match_type,
            is_event: true,
            time: Some(last.time),
        };
        self.report_met(indicator, &met);
    }

    fn report_met(&mut self, indicator: &Indicator, met: &MatchedEvents<'_>) {
        let MatchedEvents {
            context,
            others,
            match_type,
            is_event,
            time,
        } = *met;
        let settings = self.settings.clone();
        let is_allowed =
            |one: &Observed| self.is_allowed(indicator, &Context::already_checked(&one.event));
        if others.iter().any(is_allowed) || self.is_allowed(indicator, context) {
            self.metrics.sightings_allowed.add(1);
            let id = printable(&indicator.id, 200);
            debug!(
                indicator:% = id, kind = indicator.kind(), reason = "allowed";
                "indicator {id}: it is allowed by now, or all of its addresses in an event are"
            );
            return;
        }
        let instance = met.instance();
        let reported = settings.reported.as_ref().filter(|_| is_event);
        let known_as = instance.as_deref().unwrap_or(context.as_str());
        let id = settings.reported_id(indicator);
        if reported.is_some_and(|reported| !reported.is_new(&id, known_as)) {
            self.metrics.sightings_known.add(1);
            return;
        }
        self.count(indicator, context, match_type, time);
        let mut facts = Facts {
            match_type,
            time: if settings.needs_time() {
                Some(time.unwrap_or_else(|| self.event_time(indicator, context)))
            } else {
                None
            },
            matched: if settings.needs_matched(indicator) {
                self.locator.first(indicator, context.as_str())
            } else {
                None
            },
            source: self.source.clone(),
            sensor: settings.sensor.clone(),
            series: None,
            instance,
        };
        if let Some(tally) = &settings.tally {
            let seen = facts
                .time
                .map_or_else(OffsetDateTime::now_utc, |time| time.utc());
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            let source = settings.is_one_of_several.then_some(&settings.source);
            tally.record(indicator, context.as_str(), seen, source);
        }
        let joined = self.with_others(indicator, met);
        let context = joined.as_ref().unwrap_or(context);
        if let Some(noise) = &settings.noise {
            let now = Instant::now();
            self.send_aggregated(noise.due(now));
            let met = noise.meet(now, indicator, context, &mut facts);
            if met != windows::WindowOutcome::Passes {
                self.metrics.sightings_aggregated.add(1);
                let is_too_many = u64::from(met == windows::WindowOutcome::TooMany);
                self.metrics.sightings_suppressed.add(is_too_many);
                return;
            }
        }
        self.send_off(indicator, context, facts, is_event);
    }

    /// Counts a match, and the delay of a live one.
    fn count(
        &self,
        indicator: &Indicator,
        context: &Context<'_>,
        match_type: MatchType,
        time: Option<EventTime>,
    ) {
        let metrics = &self.metrics;
        self.settings.delivery.found(metrics);
        metrics.sighting_kinds.count(indicator.kind());
        metrics.sightings.come(1, Instant::now());
        metrics.last_sighting.now();
        if match_type == MatchType::Live {
            metrics.sightings_live.add(1);
            if let Some(time) = time.or_else(|| context.time()) {
                let delay = OffsetDateTime::now_utc() - time.utc();
                metrics.live_delay.record(delay.as_seconds_f64().max(0.0));
            }
        }
    }

    /// The context with the other events of its instance, if there are any.
    fn with_others(
        &self,
        indicator: &Indicator,
        met: &MatchedEvents<'_>,
    ) -> Option<Context<'static>> {
        if met.others.is_empty() {
            return None;
        }
        let others = met.others.iter().map(|one| {
            let event = Context::already_checked(&one.event);
            self.changed(indicator, &event)
                .unwrap_or(event)
                .into_owned()
        });
        let others: Vec<Context<'static>> = others.collect();
        let others: Vec<&str> = others.iter().map(Context::as_str).collect();
        let list = format!("[{}]", others.join(","));
        met.context.with_member(OBSERVATIONS, &list).ok()
    }

    /// The event as it is sent, if that differs from what was printed.
    fn changed<'e>(&self, indicator: &Indicator, event: &Context<'e>) -> Option<Context<'e>> {
        let mut changed: Option<Context<'e>> = None;
        if indicator.protocol == Protocol::Legacy {
            changed = Some(event.clone().with_plain_ports());
        }
        if self.settings.unflatten {
            changed = Some(changed.unwrap_or_else(|| event.clone()).unflattened());
        }
        changed
    }

    /// Sends the aggregated sightings whose time is over.
    pub fn send_due(&mut self) {
        let settings = self.settings.clone();
        let due = settings
            .noise
            .as_ref()
            .map(|noise| noise.due(Instant::now()));
        self.send_aggregated(due.unwrap_or_default());
        self.flush();
    }

    /// Sends everything held back, at the end.
    pub fn send_rest(&mut self) {
        let settings = self.settings.clone();
        let rest = settings.noise.as_ref().map(|noise| noise.rest());
        self.send_aggregated(rest.unwrap_or_default());
        self.flush();
    }

    /// Sends sightings that stand for several. Once they are safe, their entries in the
    /// journal are closed.
    pub fn send_aggregated(&mut self, all: Vec<HeldSighting>) {
        if all.is_empty() {
            return;
        }
        let mut tickets = Vec::new();
        for kept in all {
            self.metrics.sightings_of_several.add(1);
            self.metrics.sightings.come(1, Instant::now());
            self.send_off(&kept.indicator, &kept.event, kept.facts, false);
            tickets.extend(kept.ticket);
        }
        if !tickets.is_empty() {
            self.flush();
            for ticket in tickets {
                self.packer.finish(Some(ticket));
            }
            self.packer.hand_over();
        }
    }

    /// Whether all addresses of a network that the event holds are allowed, or the
    /// indicator has become allowed since it was added.
    fn is_allowed(&mut self, indicator: &Indicator, event: &Context<'_>) -> bool {
        let allow = self.settings.allow.now();
        if self.settings.allow.has_changed() && allow.of(indicator).is_some() {
            return true;
        }
        let is_network = |one: &Observable| matches!(one, Observable::Network(_));
        allow.has_addresses()
            && indicator.observables.iter().any(is_network)
            && self
                .locator
                .all_addresses(indicator, event.as_str(), |address| {
                    allow.has_address(address)
                })
    }

    /// Makes the context to be sent, and sends it.
    fn send_off(
        &mut self,
        indicator: &Indicator,
        event: &Context<'_>,
        facts: Facts,
        is_event: bool,
    ) {
        let settings = self.settings.clone();
        // The event is sent unchanged unless something changes it.
        let changed = self.changed(indicator, event);
        let context = changed.as_ref().unwrap_or(event);
        match &settings.transform {
            Transform::None => self.packer.pack(indicator, context, &facts),
            Transform::Each(template) => {
                let match_type = facts.match_type;
                let output = transform(template, context, ioc(indicator), match_type, &self.stop);
                self.transformed(indicator, event, context, &facts, output);
                // The next one may take its 30 s.
                self.packer.hand_over();
            }
            Transform::Lines(pool) => {
                let is_enough = pool.gather(context.as_str().len());
                let is_wanted = is_event && settings.reported.is_some();
                let one = GatheredSighting::new(is_wanted.then_some(event), context, facts);
                if self.gathering.push(indicator, one) || is_enough {
                    self.flush();
                }
            }
        }
    }

    /// Runs the waiting sightings through the command.
    fn transform_gathered(&mut self) {
        let settings = self.settings.clone();
        let Transform::Lines(pool) = &settings.transform else {
            return;
        };
        if self.gathering.is_empty() {
            return;
        }
        let gathered = self.gathering.take();
        let input =
            |(indicator, one): &(Arc<Indicator>, GatheredSighting)| one.input(ioc(indicator));
        let outputs = pool.transform(gathered.iter().map(input).collect());
        for ((indicator, one), output) in gathered.into_iter().zip(outputs) {
            let event = one.event.as_ref().unwrap_or(&one.context);
            self.transformed(&indicator, event, &one.context, &one.facts, output);
        }
    }

    /// Processes the result of a transformation.
    fn transformed(
        &mut self,
        indicator: &Indicator,
        event: &Context<'_>,
        context: &Context<'_>,
        facts: &Facts,
        output: Result<Context<'static>, TransformError>,
    ) {
        match output {
            Ok(transformed) => self.packer.pack(indicator, &transformed, facts),
            Err(reason) => {
                self.untransformed(indicator, context, facts, &reason);
                if let (Some(reported), false) =
                    (&self.settings.reported, self.settings.is_for_bus())
                {
                    let known_as = facts.instance.as_deref().unwrap_or(event.as_str());
                    reported.forget(&self.settings.reported_id(indicator), known_as);
                }
            }
        }
    }

    fn event_time(&self, indicator: &Indicator, context: &Context<'_>) -> EventTime {
        context.time().unwrap_or_else(|| {
            self.metrics.events_without_time.add(1);
            warn!(
                "indicator {}: the matched event has no time that can be read in `ts`, \
                 `timestamp` or `@timestamp`; its sighting carries the present time",
                printable(&indicator.id, 200)
            );
            EventTime::now()
        })
    }

    /// The bus gets the original event; a sink, which only gets the context, gets
    /// nothing.
    fn untransformed(
        &mut self,
        indicator: &Indicator,
        context: &Context<'_>,
        facts: &Facts,
        reason: &TransformError,
    ) {
        self.metrics.transforms_failed.add(1);
        let id = printable(&indicator.id, 200);
        if self.settings.is_for_bus() {
            warn!(
                indicator:% = id, kind = indicator.kind(), reason:% = reason;
                "indicator {id}: --transform-context failed: {reason}; \
                 the sighting keeps its original context"
            );
            self.packer.pack(indicator, context, facts);
        } else {
            let delivery = &self.settings.delivery;
            delivery.miss(Undelivered::Withheld, 1, &self.metrics);
            error!(
                indicator:% = id, kind = indicator.kind(), reason:% = reason;
                "indicator {id}: --transform-context failed: {reason}; \
                 the sink does not get this sighting"
            );
        }
    }

    /// Sends what is collected. Called whenever no more output waits to be read, so that
    /// sightings are not delayed.
    pub fn flush(&mut self) {
        self.transform_gathered();
        self.packer.hand_over();
    }

    /// The indicator is answered: its entry in the journal is closed once its sightings
    /// are safe.
    pub fn finish(&mut self, ticket: Option<Ticket>) {
        self.packer.finish(ticket);
    }
}

/// The value of `%ioc`, as the bus wrote it.
pub(super) fn ioc(indicator: &Indicator) -> &str {
    indicator.ioc.first().map_or("", String::as_str)
}
