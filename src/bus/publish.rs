//! The outgoing side: an XPUB socket, on which the broker's own subscriptions
//! arrive as messages. It knows when the broker listens, and it drops nothing. When it
//! may send is decided by the machine in `gate.rs`.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::flight::{QUEUE, RISK};
use super::gate::{Gate, SETTLING, Verdict};
use super::management::poll_milliseconds;
use crate::indicator::Protocol;
use crate::process::endpoint::Endpoint;
use crate::process::stop::Stop;

/// How long the broker's subscriptions may take to tell its generation. They
/// come within 6 ms (measured, all three kinds of broker).
const DETECTION_TIME: Duration = Duration::from_secs(1);

/// How often a writer that waits for the broker looks at its other inputs.
const RECHECK: Duration = Duration::from_millis(250);

/// How long a full queue is left alone. ZeroMQ calls a full XPUB socket writable,
/// so waiting for that would be a busy loop. With [`QUEUE`] this allows some 30,000
/// messages a second; brokers take 600 to 5,500.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// How many bytes wait in the kernel, beside [`QUEUE`] messages in the library: what
/// stands there when a broker dies is lost, so it is little.
const KERNEL_BUFFER: i32 = 64 << 10;

/// So often a new connection is looked at until the broker is heard: when that was tells
/// whether it was there at once.
const HEARING: Duration = Duration::from_millis(50);

/// An XPUB socket that is connected to a broker's sub port, with the broker's
/// subscriptions as far as they have been read.
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
        // The end of the connection ends the subscriptions, which tells that the broker
        // is gone.
        socket.set_immediate(true)?;
        socket.set_sndhwm(i32::try_from(QUEUE).expect("a small number"))?;
        socket.set_sndbuf(KERNEL_BUFFER)?;
        // A broker whose machine is gone says no goodbye; one that only stands
        // still for a while gets what is on its way to it.
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
                            "the broker listens again; sightings go on in {} s, when its other \
                             apps do",
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

/// Sends sightings to whichever broker is there.
pub struct Publisher {
    context: zmq::Context,
    xpub: Option<Xpub>,
    stop: Stop,
    /// What waits is on disk, and goes with the next run if it does not with this.
    is_patient: bool,
    /// Said once an outage that the broker does not listen.
    said_unheard: bool,
    /// When a message was sent last.
    sent_at: Option<Instant>,
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
    /// its own messages only. `is_patient` where what waits is on disk, and goes with the
    /// next run if it does not with this.
    pub fn new(stop: Stop, is_patient: bool) -> Self {
        Publisher {
            is_patient,
            context: zmq::Context::new(),
            xpub: None,
            stop,
            said_unheard: false,
            sent_at: None,
        }
    }

    /// Sends to the broker's sub port at `endpoint` from now on; `may_be_new` where that
    /// may have been started a moment ago, without its apps.
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

    /// Tries to send one message, waiting a moment where the broker does not
    /// take it at once.
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
        match xpub.gate.verdict(topic, Instant::now(), now_or_never) {
            Verdict::Yes => self.said_unheard = false,
            Verdict::Never => return Ok(Sent::Never),
            Verdict::Settling(left) => {
                let _ = self.stop.drain_channel().recv_timeout(left.min(RECHECK));
                return Ok(Sent::NotYet);
            }
            Verdict::Unheard => {
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

    /// Looks whether the connection still stands with which the last message was sent;
    /// gives the time after which to look again, as long as that is in doubt.
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
        if self.sent_at.is_none_or(|sent_at| sent_at.elapsed() > RISK) {
            return Ok(None);
        }
        xpub.read_subscriptions()?;
        Ok(Some(RECHECK))
    }

    /// Whether sightings wait for the other apps of a broker that is back.
    pub fn is_settling(&self) -> bool {
        let gate = self.xpub.as_ref().map(|xpub| &xpub.gate);
        gate.is_some_and(|gate| gate.is_settling(Instant::now()))
    }

    /// Whether the connection was lost since this was asked last.
    pub fn take_loss(&mut self) -> bool {
        self.xpub.as_mut().is_some_and(|xpub| xpub.gate.take_loss())
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
