//! The writer for sinks other than the bus: the one thread that writes sightings.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use log::{debug, error};
use rustix::event::{PollFd, PollFlags};

use crate::observe::metrics::Metrics;
use crate::process::command::CommandTemplate;
use crate::process::stop::Stop;
use crate::sighting::command::Command;
use crate::sighting::delivery::{Delivery, Undelivered};
use crate::sighting::line_sink::LineSink;
use crate::sighting::message::WriterMessage;
use crate::sighting::untaken::Untaken;
use crate::state::journal::Ticket;
use crate::state::spool::Spool;

/// How much the sink has accepted when the writer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkResult {
    /// Everything, except for the sightings counted as lost.
    Complete,
    /// As much as its reader wanted: the reader of standard output closed it.
    ReaderLeft,
    /// Less than there was: at the end of the program it did not accept the rest.
    Abandoned,
    /// Writing failed.
    Failed,
}

/// A receiver of sightings.
trait Sink {
    /// Delivers a message; returns the number of sightings delivered.
    fn deliver(&mut self, message: WriterMessage) -> u64;

    /// Why nothing more can be delivered, if that is the case.
    fn gone(&self) -> Option<SinkResult> {
        None
    }
}

/// A sink other than the bus, with its settings.
pub enum SinkKind {
    /// Standard output.
    Stdout,
    /// A command, one process per sighting, and the spool for what it does not accept.
    Command(CommandTemplate, Option<Spool>),
    /// A command that gets a sighting per line, and the spool.
    Lines(CommandTemplate, Option<Spool>),
}

/// The writer's work, done in its own thread.
pub type Work = Box<dyn FnOnce(&Receiver<WriterMessage>) -> SinkResult + Send>;

/// The writer's thread: delivers until the workers are gone.
///
/// # Errors
/// Standard output is closed from the start.
pub fn writer(
    choice: SinkKind,
    delivery: Arc<Delivery>,
    metrics: Arc<Metrics>,
    stop: Stop,
) -> io::Result<Work> {
    let sink: Box<dyn Sink + Send> = match choice {
        SinkKind::Stdout => Box::new(StdoutSink {
            stdout: File::from(io::stdout().as_fd().try_clone_to_owned()?),
            gone: None,
            stop,
            delivery,
            metrics: metrics.clone(),
        }),
        SinkKind::Command(template, spool) => {
            let untaken = Untaken::new(spool, delivery, metrics.clone());
            let command = Command::new(template, untaken, metrics, stop);
            return Ok(Box::new(move |messages| command.run(messages)));
        }
        SinkKind::Lines(template, spool) => {
            let untaken = Untaken::new(spool, delivery, metrics.clone());
            let sink = LineSink::new(template, untaken, metrics, stop);
            return Ok(Box::new(move |messages| sink.run(messages)));
        }
    };
    Ok(Box::new(move |messages| {
        write_all(sink, messages, &metrics)
    }))
}

fn write_all(
    mut sink: Box<dyn Sink + Send>,
    messages: &Receiver<WriterMessage>,
    metrics: &Metrics,
) -> SinkResult {
    for message in messages {
        if let WriterMessage::Finished(tickets) = message {
            tickets.into_iter().for_each(Ticket::finish);
            continue;
        }
        let count = sink.deliver(message);
        metrics.sightings_sent.add(count);
        if let Some(ended) = sink.gone() {
            return ended;
        }
    }
    SinkResult::Complete
}

/// Contexts on standard output, one per line.
struct StdoutSink {
    stdout: File,
    gone: Option<SinkResult>,
    stop: Stop,
    delivery: Arc<Delivery>,
    metrics: Arc<Metrics>,
}

impl Sink for StdoutSink {
    fn deliver(&mut self, message: WriterMessage) -> u64 {
        let WriterMessage::Lines { bytes, count } = message else {
            return 0;
        };
        match write_patiently(&mut self.stdout, &bytes) {
            Ok(()) => count,
            Err(error) => {
                self.delivery.miss(Undelivered::Lost, count, &self.metrics);
                self.gone = Some(if error.kind() == io::ErrorKind::BrokenPipe {
                    // `| head -1` has what it needs: success.
                    debug!("the reader of standard output is gone");
                    self.stop.unwanted();
                    SinkResult::ReaderLeft
                } else {
                    error!("standard output cannot be written: {error}; stopping");
                    SinkResult::Failed
                });
                self.stop.now();
                0
            }
        }
    }

    fn gone(&self) -> Option<SinkResult> {
        self.gone
    }
}

/// Writes everything, even if another process has made standard output non-blocking.
fn write_patiently(stdout: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stdout.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(stdout, PollFlags::OUT)];
                    // After an interrupted poll the loop just runs once more.
                    let _ = rustix::event::poll(&mut fds, None);
                }
                _ => return Err(error),
            },
        }
    }
    Ok(())
}
