//! The outgoing side: an XPUB socket, on which the broker's subscriptions arrive as
//! messages. So it is known when the broker listens, and nothing is dropped. The state
//! machine in `gate.rs` decides when sightings may be sent.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::flight::{QUEUE, RISK};
use super::gate::{Gate, MaySend, SETTLING};
use super::management::poll_milliseconds;
use crate::indicator::Protocol;
use crate::process::endpoint::Endpoint;
use crate::process::stop::Stop;

/// How long to wait for the subscriptions that reveal the broker's generation. They arrive
/// within 6 ms (measured, all three kinds of broker).
const DETECTION_TIME: Duration = Duration::from_secs(1);

/// How often to check the other inputs while waiting for the broker.
const RECHECK: Duration = Duration::from_millis(250);

/// The pause after a full queue. ZeroMQ calls a full XPUB socket writable, so waiting for
/// that would be a busy loop. With [`QUEUE`] this allows about 30,000 messages a second;
/// brokers accept 600 to 5,500.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// The size of the kernel's buffer, besides [`QUEUE`] messages in the library. Its content
/// is lost when a broker dies, so it is small.
const KERNEL_BUFFER: i32 = 64 << 10;

/// How often to check a new connection until the broker subscribes: this time tells whether
/// the broker responded at once.
const HEARING: Duration = Duration::from_millis(50);

/// An XPUB socket that is connected to a broker's sub port, with the broker's subscriptions
/// that have been read.
struct Xpub {
    socket: zmq::Socket,
    endpoint: Endpoint,
    gate: Gate,
}

impl Xpub {
    fn connect(context: &zmq::Context, endpoint: &Endpoint, may_be_new: bool) -> zmq::Result<Self> {
        let mut socket = context.socket(zmq::XPUB)?;
        set_nodrop(&mut socket)?;
        socket.set_ipv6(true)?;
        // If the connection ends, so do the subscriptions, which shows that the broker is
        // gone.
        socket.set_immediate(true)?;
        socket.set_sndhwm(i32::try_from(QUEUE).expect("a small number"))?;
        socket.set_sndbuf(KERNEL_BUFFER)?;
        // A broker whose machine is gone does not close its connection. A broker that is
        // only stalled for a while still gets what is on its way.
        socket.set_heartbeat_ivl(5_000)?;
        socket.set_heartbeat_timeout(60_000)?;
        socket.connect(&endpoint.as_tcp())?;
        Ok(Xpub {
            socket,
            endpoint: endpoint.clone(),
            gate: Gate::new(may_be_new, Instant::now()),
        })
    }

    /// Reads the broker's subscriptions and cancellations that have arrived.
    fn read_subscriptions(&mut self) -> zmq::Result<()> {
        loop {
            match self.socket.recv_bytes(zmq::DONTWAIT) {
                Ok(message) => {
                    if self.gate.heard(&message, Instant::now()) {
                        info!(
                            "the broker listens again; sending resumes in {} s, when its other \
                             apps have reconnected",
                            SETTLING.as_secs()
                        );
                    }
                }
                Err(zmq::Error::EAGAIN) => return Ok(()),
                Err(zmq::Error::EINTR) => {}
                Err(error) => return Err(error),
            }
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

/// A frame's topic: everything before the first space.
fn topic_of(frame: &[u8]) -> &[u8] {
    memchr::memchr(b' ', frame).map_or(frame, |space| &frame[..space])
}

/// Turns a full queue into an error (`EAGAIN`) instead of a loss.
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
        // This only fails for a socket that is not an XPUB socket.
        Err(zmq::Error::EINVAL)
    }
}

/// Detects a broker's generation: connects to its sub port and reads its subscriptions.
/// `None` if they do not arrive in time.
///
/// # Errors
/// The ZeroMQ library fails.
pub fn detect(
    context: &zmq::Context,
    endpoint: &Endpoint,
    stop: &Stop,
) -> zmq::Result<Option<Protocol>> {
    let mut xpub = Xpub::connect(context, endpoint, false)?;
    xpub.socket.set_linger(0)?;
    let until = Instant::now() + DETECTION_TIME;
    loop {
        xpub.read_subscriptions()?;
        let left = until.saturating_duration_since(Instant::now());
        if let Some(generation) = xpub.gate.generation() {
            return Ok(Some(generation));
        }
        if left.is_zero() || stop.is_draining() {
            return Ok(None);
        }
        xpub.wait(zmq::POLLIN, stop.drain_fd().as_raw_fd(), left)?;
    }
}

/// Sends sightings to the current broker.
pub struct Publisher {
    context: zmq::Context,
    xpub: Option<Xpub>,
    stop: Stop,
    /// Waiting sightings are on disk, so that the next run can send them.
    is_patient: bool,
    /// Whether the current outage has been logged.
    said_unheard: bool,
    /// When the last message was sent.
    sent_at: Option<Instant>,
    /// The subscription is lost, so this connection may be too.
    is_suspect: bool,
}

/// The result of sending a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The message was passed to ZeroMQ.
    Yes,
    /// It was not sent yet: check the other inputs and try again.
    NotYet,
    /// The broker only subscribes to the sightings of the other generation, so it never
    /// gets this one.
    Never,
}

impl Publisher {
    /// A publisher with its own ZeroMQ context, so that its end only waits for its own
    /// messages. `is_patient`: waiting sightings are on disk, so that the next run can send
    /// them.
    pub fn new(stop: Stop, is_patient: bool) -> Self {
        Publisher {
            is_patient,
            context: zmq::Context::new(),
            xpub: None,
            stop,
            said_unheard: false,
            sent_at: None,
            is_suspect: false,
        }
    }

    /// Sends to the broker's sub port at `endpoint` from now on. `may_be_new`: it may have
    /// just been started, without its apps.
    ///
    /// # Errors
    /// The ZeroMQ library fails.
    pub fn connect(&mut self, endpoint: &Endpoint, may_be_new: bool) -> zmq::Result<()> {
        let same = self.xpub.as_mut().filter(|xpub| xpub.endpoint == *endpoint);
        if let Some(xpub) = same {
            // The socket reconnects by itself.
            if may_be_new {
                xpub.gate.may_be_new();
            }
            return Ok(());
        }
        self.xpub = Some(Xpub::connect(&self.context, endpoint, may_be_new)?);
        Ok(())
    }

    /// Tries to send one message, waiting a moment if the broker does not accept it at
    /// once.
    ///
    /// # Errors
    /// The ZeroMQ library fails.
    pub fn send(&mut self, frame: &[u8]) -> zmq::Result<Sent> {
        let topic = topic_of(frame);
        let Some(xpub) = &mut self.xpub else {
            let _ = self.stop.now_channel().recv_timeout(RECHECK);
            return Ok(Sent::NotYet);
        };
        xpub.read_subscriptions()?;
        let now_or_never = self.stop.is_draining() && !self.is_patient;
        match xpub.gate.may_send(topic, Instant::now(), now_or_never) {
            MaySend::Yes => self.said_unheard = false,
            MaySend::Never => return Ok(Sent::Never),
            MaySend::Settling(left) => {
                let _ = self.stop.drain_channel().recv_timeout(left.min(RECHECK));
                return Ok(Sent::NotYet);
            }
            MaySend::Unheard => {
                if !std::mem::replace(&mut self.said_unheard, true) {
                    info!(
                        "sightings wait for the broker at {} to listen to {}",
                        xpub.endpoint,
                        String::from_utf8_lossy(topic)
                    );
                }
                let now = self.stop.now_fd().as_raw_fd();
                xpub.wait(zmq::POLLIN, now, RECHECK)?;
                return Ok(Sent::NotYet);
            }
        }
        match xpub.socket.send(frame, zmq::DONTWAIT) {
            Ok(()) => {
                self.sent_at = Some(Instant::now());
                Ok(Sent::Yes)
            }
            Err(zmq::Error::EAGAIN) => {
                let _ = self.stop.now_channel().recv_timeout(FULL_PAUSE);
                Ok(Sent::NotYet)
            }
            Err(zmq::Error::EINTR) => Ok(Sent::NotYet),
            Err(error) => Err(error),
        }
    }

    /// The subscription is lost (`true`) or there is a new one: until then the connection is
    /// checked. Once it is made again, ZeroMQ does not tell that it had ended.
    pub fn suspect(&mut self, is_suspect: bool) {
        self.is_suspect = is_suspect;
    }

    /// Checks whether the connection of the last message still exists; returns the time
    /// after which to check again, while that is in doubt.
    ///
    /// # Errors
    /// The ZeroMQ library fails.
    pub fn look(&mut self) -> zmq::Result<Option<Duration>> {
        let Some(xpub) = &mut self.xpub else {
            return Ok(None);
        };
        if xpub.gate.is_young(Instant::now()) {
            xpub.read_subscriptions()?;
            return Ok(Some(HEARING));
        }
        let is_long_ago = self.sent_at.is_none_or(|sent_at| sent_at.elapsed() > RISK);
        if is_long_ago && !self.is_suspect {
            return Ok(None);
        }
        xpub.read_subscriptions()?;
        Ok(Some(RECHECK))
    }

    /// Whether sightings wait for the other apps of a broker that has come back.
    pub fn is_settling(&self) -> bool {
        let gate = self.xpub.as_ref().map(|xpub| &xpub.gate);
        gate.is_some_and(|gate| gate.is_settling(Instant::now()))
    }

    /// Whether the connection was lost since the last call.
    pub fn take_loss(&mut self) -> bool {
        self.xpub.as_mut().is_some_and(|xpub| xpub.gate.take_loss())
    }

    /// Closes the socket, and waits at most `time` for the broker to receive what was sent.
    pub fn close(self, time: Duration) {
        if let Some(xpub) = &self.xpub {
            let milliseconds = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
            if let Err(error) = xpub.socket.set_linger(milliseconds) {
                warn!("sightings may be lost at the end: {error}");
            }
        }
        // Dropping the context waits that long for the socket's queue.
        drop(self.xpub);
        drop(self.context);
    }
}
