//! The incoming side: a SUB socket that receives without limit.

use std::time::Duration;

use log::warn;

use super::management::poll_milliseconds;
use super::receive;
use crate::process::endpoint::Endpoint;

/// How long a SUB socket may take to connect; after that, the subscription is made anyway.
const HANDSHAKE_TIME: Duration = Duration::from_secs(1);

/// The prefix of every topic.
const EVERY_TOPIC: &[u8] = b"";

/// A connected SUB socket.
pub struct Sub {
    /// The socket.
    pub socket: zmq::Socket,
    /// The receiving end of the socket's monitor: readable when the connection has ended.
    /// It stays open as long as the socket: an event without a receiver would block the
    /// library's I/O thread forever (seen when a broker restarted). Fields are dropped in
    /// this order.
    pub events: zmq::Socket,
}

impl Sub {
    /// A connected socket, so that the broker knows it before anything is published.
    /// `number` distinguishes it from other sockets of the context.
    ///
    /// # Errors
    /// The ZeroMQ library fails.
    pub fn connect(context: &zmq::Context, endpoint: &Endpoint, number: u64) -> zmq::Result<Self> {
        let socket = context.socket(zmq::SUB)?;
        socket.set_ipv6(true)?;
        socket.set_linger(0)?;
        // Everything is received at once: a broker drops the messages of a slow subscriber.
        socket.set_rcvhwm(0)?;
        // Longer messages are rejected with a warning, much longer ones by the library.
        socket.set_maxmsgsize(4 * receive::LONGEST_MESSAGE as i64)?;
        socket.set_heartbeat_ivl(5_000)?;
        // A stalled broker keeps its messages for this subscriber as long as the connection
        // exists.
        socket.set_heartbeat_timeout(60_000)?;
        let events = context.socket(zmq::PAIR)?;
        let address = format!("inproc://sub-events-{number}");
        let watched = zmq::SocketEvent::HANDSHAKE_SUCCEEDED.to_raw()
            | zmq::SocketEvent::DISCONNECTED.to_raw();
        socket.monitor(&address, watched.into())?;
        events.set_rcvhwm(0)?;
        events.connect(&address)?;
        socket.connect(&endpoint.as_tcp())?;
        if events.poll(zmq::POLLIN, poll_milliseconds(HANDSHAKE_TIME))? == 0 {
            warn!("the broker's pub port {endpoint} does not answer yet; messages may be missed");
        }
        // The broker must know this when the topic is requested. Otherwise it would drop
        // what it publishes until it knows.
        socket.set_subscribe(EVERY_TOPIC)?;
        Ok(Sub { socket, events })
    }

    /// Receives only the topics that it has subscribed to by now.
    ///
    /// # Errors
    /// The ZeroMQ library fails.
    pub fn narrow(&self) -> zmq::Result<()> {
        self.socket.set_unsubscribe(EVERY_TOPIC)
    }

    /// Whether the connection ended since the last call. If so, later messages were missed.
    pub fn was_cut(&self) -> bool {
        let mut was_cut = false;
        while let Ok(event) = self.events.recv_multipart(zmq::DONTWAIT) {
            let number = event.first().and_then(|frame| frame.first_chunk());
            let disconnected = zmq::SocketEvent::DISCONNECTED.to_raw();
            was_cut |= number.is_some_and(|number| u16::from_ne_bytes(*number) == disconnected);
        }
        was_cut
    }
}
