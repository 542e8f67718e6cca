//! The last step before the writer: formats a sighting for its destination, and combines
//! several.

use std::sync::Arc;

use crossbeam_channel::{Sender, TrySendError, select};
use log::{debug, error};

use super::delivery::Undelivered;
use super::message::{BusMessage, CommandRun, WriterMessage};
use super::report::{Destination, Output, ReportSettings, ioc};
use crate::indicator::{Indicator, Protocol};
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::protocol::{Context, Facts, facts, legacy, stix};
use crate::state::journal::Ticket;

/// The bytes of output that are collected before they are sent to the writer.
const FULL: usize = 64 * 1024;

/// The output of one thread for the writer.
pub(super) struct Packer {
    settings: Arc<ReportSettings>,
    metrics: Arc<Metrics>,
    writer: Sender<WriterMessage>,
    stop: Stop,
    lines: Vec<u8>,
    line_count: u64,
    messages: Vec<BusMessage>,
    message_bytes: usize,
    finished: Vec<Ticket>,
}

impl Packer {
    pub(super) fn new(
        settings: Arc<ReportSettings>,
        metrics: Arc<Metrics>,
        writer: Sender<WriterMessage>,
        stop: Stop,
    ) -> Self {
        Packer {
            settings,
            metrics,
            writer,
            stop,
            lines: Vec::new(),
            line_count: 0,
            messages: Vec::new(),
            message_bytes: 0,
            finished: Vec::new(),
        }
    }

    /// Adds a sighting.
    pub(super) fn pack(&mut self, indicator: &Indicator, context: &Context<'_>, facts: &Facts) {
        let packed = match self.settings.destination {
            Destination::Bus => self.message(indicator, context, facts),
            Destination::Stdout => self.line(indicator, context, facts),
            Destination::Command => self.command(indicator, context, facts),
        };
        if let Err(error) = packed {
            self.miss(Undelivered::Failed, 1);
            error!(
                "indicator {}: its sighting cannot be written as JSON: {error}",
                printable(&indicator.id, 200)
            );
        }
    }

    /// The text for a sink.
    fn text(
        &self,
        indicator: &Indicator,
        context: &Context<'_>,
        facts: &Facts,
    ) -> serde_json::Result<Context<'static>> {
        match self.settings.output {
            Output::Context => facts::with_counts(context, facts),
            Output::Sighting => {
                let json = facts::write(indicator, facts, context)?;
                Ok(Context::already_checked(&json).into_owned())
            }
        }
    }

    fn line(
        &mut self,
        indicator: &Indicator,
        context: &Context<'_>,
        facts: &Facts,
    ) -> serde_json::Result<()> {
        if self.settings.output == Output::Context && facts.several().is_none() {
            // Avoids a second copy in the common case.
            self.lines.extend_from_slice(context.as_str().as_bytes());
        } else {
            let text = self.text(indicator, context, facts)?;
            self.lines.extend_from_slice(text.as_str().as_bytes());
        }
        self.lines.push(b'\n');
        self.line_count += 1;
        if self.lines.len() >= FULL {
            self.hand_over();
        }
        Ok(())
    }

    fn command(
        &mut self,
        indicator: &Indicator,
        context: &Context<'_>,
        facts: &Facts,
    ) -> serde_json::Result<()> {
        let context = self.text(indicator, context, facts)?;
        self.send(WriterMessage::Command(CommandRun {
            ioc: ioc(indicator).to_owned(),
            match_type: facts.match_type,
            context,
            indicator: indicator.id.clone(),
        }));
        Ok(())
    }

    fn message(
        &mut self,
        indicator: &Indicator,
        context: &Context<'_>,
        facts: &Facts,
    ) -> serde_json::Result<()> {
        let (topic, json) = match indicator.protocol {
            Protocol::Legacy => (
                legacy::SIGHTING_TOPIC,
                legacy::write(indicator, facts, context)?,
            ),
            Protocol::Stix2 => (
                stix::message::SIGHTING_TOPIC,
                stix::message::write(indicator, facts, context)?,
            ),
        };
        let frame = format!("{topic} {json}");
        let id = printable(&indicator.id, 200);
        debug!(
            indicator:% = id, kind = indicator.kind();
            "sighting of indicator {id} ({} bytes)",
            frame.len()
        );
        self.message_bytes += frame.len();
        self.messages.push(BusMessage { frame });
        if self.message_bytes >= FULL {
            self.hand_over();
        }
        Ok(())
    }

    /// Sends what is ready.
    pub(super) fn hand_over(&mut self) {
        if !self.lines.is_empty() {
            let bytes = std::mem::take(&mut self.lines);
            let count = std::mem::take(&mut self.line_count);
            self.send(WriterMessage::Lines { bytes, count });
        }
        if !self.messages.is_empty() {
            self.message_bytes = 0;
            let messages = std::mem::take(&mut self.messages);
            self.send(WriterMessage::Messages(messages));
        }
        if !self.finished.is_empty() {
            let finished = std::mem::take(&mut self.finished);
            self.send(WriterMessage::Finished(finished));
        }
    }

    /// Closes this entry of the journal once everything packed before is safe.
    pub(super) fn finish(&mut self, ticket: Option<Ticket>) {
        self.finished.extend(ticket);
    }

    fn miss(&self, why: Undelivered, count: u64) {
        self.settings.delivery.miss(why, count, &self.metrics);
    }

    /// Waits for the writer as long as necessary, but not beyond the end.
    fn send(&self, message: WriterMessage) {
        let count = message.count();
        // A free place is used even at the very end, where `select!` would choose at
        // random.
        let undelivered = match self.writer.try_send(message) {
            Ok(()) => None,
            Err(TrySendError::Disconnected(message)) => Some(message),
            Err(TrySendError::Full(message)) => select! {
                send(self.writer, message) -> sent => sent.err().map(|error| error.0),
                recv(self.stop.now_channel()) -> _ => {
                    return self.miss(Undelivered::Lost, count);
                }
            },
        };
        if let Some(message) = undelivered {
            self.miss(Undelivered::Lost, count);
            // There is no writer that would know whether everything before it is safe.
            if let WriterMessage::Finished(tickets) = message {
                tickets.into_iter().for_each(Ticket::keep);
            }
        }
    }
}
