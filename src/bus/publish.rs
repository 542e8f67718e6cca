//! The outgoing side: an XPUB socket, on which the broker's own subscriptions
//! arrive as messages. It knows when the broker listens, and it drops nothing.

use std::collections::{HashSet, VecDeque};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use log::{info, warn};

use super::manage::poll_milliseconds;
use crate::indicator::Protocol;
use crate::process::endpoint::Endpoint;
use crate::process::stop::Stop;
use crate::protocol::{legacy, stix};

/// How long the broker's subscriptions may take to tell its generation. They
/// come within 6 ms (measured, all three kinds of broker).
const DETECTION_TIME: Duration = Duration::from_secs(1);

/// How often a writer that waits for the broker looks at its other inputs.
const RECHECK: Duration = Duration::from_millis(250);

/// How long a full queue is left alone. ZeroMQ calls a full XPUB socket writable,
/// so waiting for that would be a busy loop. With [`QUEUE`] this allows some 30,000
/// messages a second; brokers take 600 to 5,500.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// How many messages wait in the library, and how many bytes in the kernel: what
/// stands there when a broker dies is lost, so it is little.
const QUEUE: i32 = 64;
const KERNEL_BUFFER: i32 = 64 << 10;

/// What was sent so shortly before the connection was lost goes once more. The library
/// takes messages for a connection that has just ended, for as long as its own threads
/// need to tell each other (up to 86 of them were seen), and drops them.
const DOUBT: Duration = Duration::from_secs(2);

/// How long after the queue was full what stood in it is in doubt, however old it is: a
/// broker may stand still before it dies.
const FULL_DOUBT: Duration = Duration::from_secs(60);

/// The most that is kept for a case of doubt, in bytes.
const DOUBT_BYTES: usize = 4 << 20;

/// How long sightings wait for the other apps when the broker was away. A
/// restarted broker knows no subscriber, and passes on nothing until they have
/// noticed: 4 to 9 s (measured on the originals).
const SETTLING: Duration = Duration::from_secs(10);

/// An XPUB socket that is connected to a broker's sub port, with the broker's
/// subscriptions as far as they have been read.
struct Xpub {
    socket: zmq::Socket,
    endpoint: Endpoint,
    subscriptions: HashSet<Vec<u8>>,
    /// It has listened, and stopped to.
    was_away: bool,
}

impl Xpub {
    fn connect(context: &zmq::Context, endpoint: &Endpoint) -> zmq::Result<Self> {
        let mut socket = context.socket(zmq::XPUB)?;
        set_nodrop(&mut socket)?;
        socket.set_ipv6(true)?;
        // The end of the connection ends the subscriptions, which tells that the broker
        // is gone.
        socket.set_immediate(true)?;
        socket.set_sndhwm(QUEUE)?;
        socket.set_sndbuf(KERNEL_BUFFER)?;
        // A broker whose machine is gone says no goodbye; one that only stands
        // still for a while gets what is on its way to it.
        socket.set_heartbeat_ivl(5_000)?;
        socket.set_heartbeat_timeout(60_000)?;
        socket.connect(&endpoint.as_tcp())?;
        Ok(Xpub {
            socket,
            endpoint: endpoint.clone(),
            subscriptions: HashSet::new(),
            was_away: false,
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
                        self.was_away = true;
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

/// Whether the broker is back, and its apps may not be. Waits a moment then.
fn settles(settled_at: &mut Option<Instant>, stop: &Stop) -> bool {
    let left = settled_at.map_or(Duration::ZERO, |until| {
        until.saturating_duration_since(Instant::now())
    });
    // At the end, better early than never.
    if left.is_zero() || stop.is_draining() {
        *settled_at = None;
        return false;
    }
    let _ = stop.drain_channel().recv_timeout(left.min(RECHECK));
    true
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
    /// The connection was lost, and the broker does not listen yet.
    is_away: bool,
    /// Until when the apps of a broker that was away may subscribe anew.
    settled_at: Option<Instant>,
    /// The last messages that were sent: as many as the queue holds, and what is in
    /// doubt if the connection ends now.
    recent: VecDeque<(Instant, Vec<u8>)>,
    recent_bytes: usize,
    /// When the queue was full last.
    full_at: Option<Instant>,
    /// Messages that may have stood in the queue when the connection was lost.
    doubtful: Vec<Vec<u8>>,
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
            is_away: false,
            settled_at: None,
            recent: VecDeque::new(),
            recent_bytes: 0,
            full_at: None,
            doubtful: Vec::new(),
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
        if std::mem::take(&mut xpub.was_away) {
            self.note_loss();
            return Ok(Sent::NotYet);
        }
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
        if std::mem::take(&mut self.is_away) {
            let seconds = SETTLING.as_secs();
            info!(
                "the broker listens again; sightings go on in {seconds} s, when its other apps do"
            );
            self.settled_at = Some(Instant::now() + SETTLING);
        }
        if settles(&mut self.settled_at, &self.stop) {
            return Ok(Sent::NotYet);
        }
        match xpub.socket.send(frame, zmq::DONTWAIT) {
            Ok(()) => {
                self.remember(frame);
                Ok(Sent::Yes)
            }
            Err(zmq::Error::EAGAIN) => {
                self.full_at = Some(Instant::now());
                let _ = self.stop.now_channel().recv_timeout(FULL_PAUSE);
                Ok(Sent::NotYet)
            }
            Err(zmq::Error::EINTR) => Ok(Sent::NotYet),
            Err(error) => Err(error),
        }
    }

    fn remember(&mut self, frame: &[u8]) {
        let now = Instant::now();
        self.recent_bytes += frame.len();
        self.recent.push_back((now, frame.to_vec()));
        while let Some((at, first)) = self.recent.front() {
            let is_old = now.saturating_duration_since(*at) > DOUBT;
            let spare = self.recent.len() > QUEUE as usize;
            if !(spare && is_old || self.recent_bytes > DOUBT_BYTES) {
                break;
            }
            self.recent_bytes -= first.len();
            self.recent.pop_front();
        }
    }

    /// The connection is lost: what may have been on its way goes once more.
    fn note_loss(&mut self) {
        self.is_away = true;
        let was_full = self.full_at.is_some_and(|at| at.elapsed() < FULL_DOUBT);
        let certain = match was_full {
            true => self.recent.len().saturating_sub(QUEUE as usize),
            false => self.recent.len(),
        };
        self.recent_bytes = 0;
        let recent = self.recent.drain(..).enumerate();
        let doubtful = recent.filter(|(place, (at, _))| *place >= certain || at.elapsed() <= DOUBT);
        self.doubtful.extend(doubtful.map(|(_, (_, frame))| frame));
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
        let Some((last, _)) = self.recent.back() else {
            return Ok(None);
        };
        if last.elapsed() > DOUBT {
            return Ok(None);
        }
        xpub.read_subscriptions()?;
        if std::mem::take(&mut xpub.was_away) {
            self.note_loss();
        }
        Ok(Some(RECHECK))
    }

    /// Takes what was sent and may not have reached the broker before it died.
    pub fn doubtful(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.doubtful)
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
