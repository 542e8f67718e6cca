//! The outgoing side: an XPUB socket, on which the broker's own subscriptions
//! arrive as messages. It knows when the broker listens, and it drops nothing.

use std::collections::HashSet;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::manage::poll_milliseconds;
use crate::endpoint::Endpoint;
use crate::indicator::Protocol;
use crate::stop::Stop;
use crate::{legacy, stix};

/// How long the broker's subscriptions may take to tell its generation. They
/// come within 6 ms (measured, all three kinds of broker).
const DETECTION_TIME: Duration = Duration::from_secs(1);

/// How often a writer that waits for the broker looks at its other inputs.
const RECHECK: Duration = Duration::from_millis(250);

/// An XPUB socket that is connected to a broker's sub port, with the broker's
/// subscriptions as far as they have been read.
struct Xpub {
    socket: zmq::Socket,
    endpoint: Endpoint,
    subscriptions: HashSet<Vec<u8>>,
}

impl Xpub {
    fn connect(context: &zmq::Context, endpoint: &Endpoint) -> zmq::Result<Self> {
        let mut socket = context.socket(zmq::XPUB)?;
        set_nodrop(&mut socket)?;
        socket.set_ipv6(true)?;
        // A broker whose machine is gone says no goodbye.
        socket.set_heartbeat_ivl(5_000)?;
        socket.set_heartbeat_timeout(15_000)?;
        socket.connect(&endpoint.as_tcp())?;
        Ok(Xpub {
            socket,
            endpoint: endpoint.clone(),
            subscriptions: HashSet::new(),
        })
    }

    /// Reads the broker's subscriptions and cancellations that have arrived.
    fn read_subscriptions(&mut self) -> zmq::Result<()> {
        loop {
            match self.socket.recv_bytes(zmq::DONTWAIT) {
                Ok(message) => match message.split_first() {
                    Some((1, topic)) => {
                        self.subscriptions.insert(topic.to_vec());
                    }
                    Some((0, topic)) => {
                        self.subscriptions.remove(topic);
                    }
                    _ => {}
                },
                Err(zmq::Error::EAGAIN) => return Ok(()),
                Err(zmq::Error::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Does the broker listen to this topic?
    fn is_heard(&self, topic: &[u8]) -> bool {
        self.subscriptions
            .iter()
            .any(|prefix| topic.starts_with(prefix))
    }

    /// The broker's generation, as its subscriptions tell it.
    fn generation(&self) -> Option<Protocol> {
        // The legacy broker subscribes to each topic, the STIX-2 broker to the
        // root; both to the snapshot envelopes.
        if self.is_heard(stix::message::SIGHTING_TOPIC.as_bytes()) {
            Some(Protocol::Stix2)
        } else if self.is_heard(legacy::SIGHTING_TOPIC.as_bytes()) {
            Some(Protocol::Legacy)
        } else {
            None
        }
    }

    /// Waits for one of `events`, the stop or the end of `time`.
    fn wait(&self, events: zmq::PollEvents, stop: i32, time: Duration) -> zmq::Result<()> {
        let mut items = [
            self.socket.as_poll_item(events),
            zmq::PollItem::from_fd(stop, zmq::POLLIN),
        ];
        match zmq::poll(&mut items, poll_milliseconds(time)) {
            Ok(_) | Err(zmq::Error::EINTR) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A frame's topic: what stands before the first space.
fn topic_of(frame: &[u8]) -> &[u8] {
    memchr::memchr(b' ', frame).map_or(frame, |space| &frame[..space])
}

/// Makes a full queue an error (`EAGAIN`) instead of a loss.
#[allow(unsafe_code)] // The zmq crate has no setter for this option; see SAFETY.
fn set_nodrop(socket: &mut zmq::Socket) -> zmq::Result<()> {
    let on: std::ffi::c_int = 1;
    // SAFETY: the socket is valid for the call, which the exclusive borrow
    // ensures; the option takes an int, and gets one with its size.
    let result = unsafe {
        zmq_sys::zmq_setsockopt(
            socket.as_mut_ptr(),
            zmq_sys::ZMQ_XPUB_NODROP as std::ffi::c_int,
            (&raw const on).cast(),
            size_of_val(&on),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        // The only way to fail is a socket that is no XPUB.
        Err(zmq::Error::EINVAL)
    }
}

/// Asks a broker for its generation: connects to its sub port and reads what it
/// subscribes to. `None` where it does not tell in time.
///
/// # Errors
/// The ZeroMQ library fails.
pub fn detect(
    context: &zmq::Context,
    endpoint: &Endpoint,
    stop: &Stop,
) -> zmq::Result<Option<Protocol>> {
    let mut xpub = Xpub::connect(context, endpoint)?;
    xpub.socket.set_linger(0)?;
    let until = Instant::now() + DETECTION_TIME;
    loop {
        xpub.read_subscriptions()?;
        let left = until.saturating_duration_since(Instant::now());
        if let Some(generation) = xpub.generation() {
            return Ok(Some(generation));
        }
        if left.is_zero() || stop.is_draining() {
            return Ok(None);
        }
        xpub.wait(zmq::POLLIN, stop.drain_fd().as_raw_fd(), left)?;
    }
}

/// Sends sightings to whichever broker is there.
pub struct Publisher {
    context: zmq::Context,
    xpub: Option<Xpub>,
    stop: Stop,
    /// Said once an outage that the broker does not listen.
    said_unheard: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is in ZeroMQ's hands.
    Yes,
    /// Not yet: look at other inputs and come again.
    NotYet,
    /// The broker listens to the sightings of the other generation only, so it
    /// never takes this one.
    Never,
}

impl Publisher {
    /// A publisher with a ZeroMQ context of its own, so that its end waits for
    /// its own messages only.
    pub fn new(stop: Stop) -> Self {
        Publisher {
            context: zmq::Context::new(),
            xpub: None,
            stop,
            said_unheard: false,
        }
    }

    /// Sends to the broker's sub port at `endpoint` from now on.
    ///
    /// # Errors
    /// The ZeroMQ library fails.
    pub fn connect(&mut self, endpoint: &Endpoint) -> zmq::Result<()> {
        if self
            .xpub
            .as_ref()
            .is_some_and(|xpub| xpub.endpoint == *endpoint)
        {
            // The socket reconnects by itself.
            return Ok(());
        }
        self.xpub = Some(Xpub::connect(&self.context, endpoint)?);
        Ok(())
    }

    /// Tries to send one message, waiting a moment where the broker does not
    /// take it at once.
    ///
    /// # Errors
    /// The ZeroMQ library fails.
    pub fn send(&mut self, frame: &[u8]) -> zmq::Result<Sent> {
        let topic = topic_of(frame);
        let Some(xpub) = &mut self.xpub else {
            self.stop_aware_pause();
            return Ok(Sent::NotYet);
        };
        xpub.read_subscriptions()?;
        let now = self.stop.now_fd().as_raw_fd();
        if !xpub.is_heard(topic) {
            if xpub.generation().is_some() {
                return Ok(Sent::Never);
            }
            if !std::mem::replace(&mut self.said_unheard, true) {
                info!(
                    "sightings wait for the broker at {} to listen to {}",
                    xpub.endpoint,
                    String::from_utf8_lossy(topic)
                );
            }
            xpub.wait(zmq::POLLIN, now, RECHECK)?;
            return Ok(Sent::NotYet);
        }
        self.said_unheard = false;
        match xpub.socket.send(frame, zmq::DONTWAIT) {
            Ok(()) => Ok(Sent::Yes),
            Err(zmq::Error::EAGAIN) => {
                xpub.wait(zmq::POLLOUT, now, RECHECK)?;
                Ok(Sent::NotYet)
            }
            Err(zmq::Error::EINTR) => Ok(Sent::NotYet),
            Err(error) => Err(error),
        }
    }

    fn stop_aware_pause(&self) {
        let _ = self.stop.now_channel().recv_timeout(RECHECK);
    }

    /// Closes the socket and waits until the broker has what was sent, for at
    /// most `time`.
    pub fn close(self, time: Duration) {
        if let Some(xpub) = &self.xpub {
            let milliseconds = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
            if let Err(error) = xpub.socket.set_linger(milliseconds) {
                warn!("sightings may be lost at the end: {error}");
            }
        }
        // Dropping the context waits for the socket's queue, that long.
        drop(self.xpub);
        drop(self.context);
    }
}
