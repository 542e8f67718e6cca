//! Plain ZeroMQ apps on the bus that lose no messages.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::broker::{Broker, BrokerKind, Ports, ZMQ, manage};
use super::messages;

/// The time limit for an answer that a broker gives within milliseconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Makes a peer's socket without a queue limit, since a full queue drops messages.
fn socket(context: &zmq::Context, kind: zmq::SocketType) -> zmq::Socket {
    let socket = context.socket(kind).expect("a socket can be made");
    socket.set_rcvhwm(0).expect("a socket takes a limit");
    socket.set_sndhwm(0).expect("a socket takes a limit");
    socket.set_linger(5_000).expect("a socket takes a time");
    socket
}

/// Waits for a frame, at most until `deadline`.
fn receive(socket: &zmq::Socket, deadline: Instant) -> Option<Vec<u8>> {
    let left = deadline.saturating_duration_since(Instant::now());
    // Rounded up to avoid a busy loop in the last millisecond.
    let milliseconds = i64::try_from(left.as_micros().div_ceil(1_000)).expect("a short time");
    match socket.poll(zmq::POLLIN, milliseconds) {
        Ok(1..) => Some(socket.recv_bytes(0).expect("a message is there")),
        _ => None,
    }
}

/// An app that is subscribed to a topic; it unsubscribes when it is dropped.
pub struct Subscriber {
    kind: BrokerKind,
    ports: Ports,
    topic: String,
    snapshot: u32,
    own_topic: String,
    socket: zmq::Socket,
}

impl Subscriber {
    /// Subscribes to `topic`, and requests the snapshot of `snapshot` days.
    ///
    /// The connection is ready, and receives everything, before the request is sent, so
    /// that nothing of an immediate snapshot is lost.
    pub fn subscribe(broker: &Broker, topic: &str, snapshot: u32) -> Self {
        Self::try_subscribe(broker.kind(), broker.ports(), topic, snapshot).unwrap_or_else(|| {
            panic!("no subscription to {topic}:\n{}", broker.log());
        })
    }

    /// The same as [`Subscriber::subscribe`]; `None` if the broker is not there.
    fn try_subscribe(kind: BrokerKind, ports: Ports, topic: &str, snapshot: u32) -> Option<Self> {
        let context = context_of_subscribers();
        let socket = socket(&context, zmq::SUB);
        socket.set_subscribe(b"").expect("a SUB socket subscribes");
        connect_and_wait(&context, &socket, ports.publish)?;

        let request = json!({"action": "subscribe", "topic": topic, "snapshot": snapshot});
        let reply = manage(&ports.endpoint(), &request, ANSWER_LIMIT)?;
        let own_topic = check_reply(kind, ports, &reply);
        socket
            .set_subscribe(own_topic.as_bytes())
            .expect("a SUB socket subscribes");
        socket
            .set_unsubscribe(b"")
            .expect("a SUB socket unsubscribes");
        Some(Self {
            kind,
            ports,
            topic: topic.to_owned(),
            snapshot,
            own_topic,
            socket,
        })
    }

    /// Subscribes to the topic of sightings.
    pub fn sightings(broker: &Broker) -> Self {
        Self::subscribe(broker, broker.kind().sighting_topic(), 0)
    }

    /// Subscribes to the topic of indicators.
    pub fn indicators(broker: &Broker) -> Self {
        Self::subscribe(broker, broker.kind().indicator_topic(), 0)
    }

    /// The point-to-point topic that the broker assigned.
    pub fn own_topic(&self) -> &str {
        &self.own_topic
    }

    /// The next message as `(suffix, JSON text)`, if it arrives within `limit`.
    ///
    /// A broker rereads its list of subscribers once a second, so the first message after
    /// the handshake may take that long.
    pub fn recv_text(&self, limit: Duration) -> Option<(String, String)> {
        let deadline = Instant::now() + limit;
        loop {
            let message = receive(&self.socket, deadline)?;
            let message = String::from_utf8(message).expect("a broker sends UTF-8");
            // Messages for others arrived before the prefix was known.
            if let Some(rest) = message.strip_prefix(&self.own_topic) {
                let (suffix, text) = rest.split_once(' ').expect("a topic, a space, a text");
                return Some((suffix.to_owned(), text.to_owned()));
            }
        }
    }

    /// The next message as `(suffix, JSON)`, if it arrives within `limit`.
    pub fn recv(&self, limit: Duration) -> Option<(String, Value)> {
        let (suffix, text) = self.recv_text(limit)?;
        let value = serde_json::from_str(&text).expect("a broker sends JSON");
        Some((suffix, value))
    }

    /// `count` messages with this suffix, ignoring others; fewer if `limit` is over first.
    pub fn collect(&self, suffix: &str, count: usize, limit: Duration) -> Vec<Value> {
        let deadline = Instant::now() + limit;
        let mut messages = Vec::new();
        while messages.len() < count {
            match self.recv(deadline.saturating_duration_since(Instant::now())) {
                Some((kind, message)) if kind == suffix => messages.push(message),
                Some(_) => {}
                None => break,
            }
        }
        messages
    }

    /// `count` sightings; fewer if `limit` is over first.
    pub fn collect_sightings(&self, count: usize, limit: Duration) -> Vec<Value> {
        self.collect("sighting", count, limit)
    }

    /// Everything that arrives until nothing arrives for `quiet`.
    pub fn drain(&self, quiet: Duration) -> Vec<(String, Value)> {
        std::iter::from_fn(|| self.recv(quiet)).collect()
    }

    /// Whether the broker still knows the subscription; `None` without an answer.
    pub fn heartbeat(&self) -> Option<bool> {
        let request = json!({"action": "heartbeat", "topic": self.own_topic});
        let reply = manage(&self.ports.endpoint(), &request, Duration::from_secs(1))?;
        Some(reply["status"] == "success")
    }

    /// Subscribes again, as needed after a restart of the broker; returns whether the
    /// broker was there.
    pub fn renew(&mut self) -> bool {
        let new = Self::try_subscribe(self.kind, self.ports, &self.topic, self.snapshot);
        let there = new.is_some();
        if let Some(new) = new {
            *self = new;
        }
        there
    }

    /// Unsubscribes; returns whether the broker knew the subscription.
    pub fn unsubscribe(&self) -> Option<bool> {
        let request = json!({"action": "unsubscribe", "topic": self.own_topic});
        let reply = manage(&self.ports.endpoint(), &request, Duration::from_secs(1))?;
        Some(reply["status"] == "success")
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // A broker that is gone has forgotten the subscription anyway.
        let _ = self.unsubscribe();
    }
}

/// The topic in a reply to a subscription. Checks that the reply has the format of this
/// kind of broker, since the bridge has to read each.
fn check_reply(kind: BrokerKind, ports: Ports, reply: &Value) -> String {
    let topic = reply["topic"].as_str().unwrap_or_default();
    let expected = match kind {
        BrokerKind::Legacy | BrokerKind::Endpoints => json!({
            "topic": topic,
            "pub_endpoint": format!("127.0.0.1:{}", ports.publish),
            "sub_endpoint": format!("127.0.0.1:{}", ports.subscribe),
            "status": "success",
        }),
        BrokerKind::Ports => json!({
            "topic": topic,
            "pub_port": ports.publish,
            "sub_port": ports.subscribe,
            "status": "success",
        }),
    };
    assert_eq!(*reply, expected);
    assert!(!topic.is_empty(), "{reply}");
    topic.to_owned()
}

/// A context for one more subscriber. The monitor of its socket is never closed, and a
/// context has at most 1,023 sockets.
fn context_of_subscribers() -> zmq::Context {
    const SUBSCRIBERS: usize = 400;
    static CONTEXT: Mutex<Option<(zmq::Context, usize)>> = Mutex::new(None);
    let mut context = CONTEXT.lock().unwrap_or_else(PoisonError::into_inner);
    let (now, used) = context
        .take()
        .filter(|(_, used)| *used < SUBSCRIBERS)
        .unwrap_or_else(|| (zmq::Context::new(), 0));
    *context = Some((now.clone(), used + 1));
    now
}

/// Connects to a port of the broker and waits for the end of the handshake; `None` if it
/// does not end.
fn connect_and_wait(context: &zmq::Context, socket: &zmq::Socket, port: u16) -> Option<()> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    // An event of a monitor without a receiver blocks ZeroMQ's own thread for ever, so the
    // receiving ends are never closed.
    static LISTENING: Mutex<Vec<zmq::Socket>> = Mutex::new(Vec::new());
    let name = format!(
        "inproc://connected-{}",
        NUMBER.fetch_add(1, Ordering::Relaxed)
    );
    let done = zmq::SocketEvent::HANDSHAKE_SUCCEEDED;
    socket
        .monitor(&name, done.to_raw().into())
        .expect("a socket can be observed");
    let events = self::socket(context, zmq::PAIR);
    events.connect(&name).expect("the monitor listens");
    socket
        .connect(&format!("tcp://127.0.0.1:{port}"))
        .expect("a port can be connected to");
    let connected = receive(&events, Instant::now() + ANSWER_LIMIT).map(drop);
    LISTENING
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(events);
    connected
}

/// An app that publishes: it sends nothing before the broker listens, and drops nothing.
pub struct Publisher {
    kind: BrokerKind,
    socket: zmq::Socket,
    subscriptions: BTreeSet<String>,
}

impl Publisher {
    /// Connects to the broker and waits until it listens.
    pub fn connect(broker: &Broker) -> Self {
        let socket = socket(&ZMQ, zmq::XPUB);
        socket
            .connect(&format!("tcp://127.0.0.1:{}", broker.ports().subscribe))
            .expect("a port can be connected to");
        let mut publisher = Self {
            kind: broker.kind(),
            socket,
            subscriptions: BTreeSet::new(),
        };
        publisher.wait_until_heard();
        publisher
    }

    /// The kind of its broker.
    pub fn kind(&self) -> BrokerKind {
        self.kind
    }

    /// The broker's current subscriptions.
    pub fn subscriptions(&mut self) -> &BTreeSet<String> {
        self.read_subscriptions(Instant::now());
        &self.subscriptions
    }

    /// Waits until the broker's own subscriptions have arrived, which takes a while after a
    /// restart.
    ///
    /// # Panics
    ///
    /// If they do not arrive.
    pub fn wait_until_heard(&mut self) {
        let deadline = Instant::now() + ANSWER_LIMIT;
        self.read_subscriptions(Instant::now());
        while !self.is_heard() {
            assert!(
                self.read_subscriptions(deadline),
                "the broker subscribes to {:?} only",
                self.subscriptions
            );
        }
    }

    fn is_heard(&self) -> bool {
        self.kind
            .own_subscriptions()
            .iter()
            .all(|topic| self.subscriptions.contains(*topic))
    }

    /// Reads changes of subscriptions, waiting for the first until `deadline`; returns
    /// whether there were any.
    fn read_subscriptions(&mut self, deadline: Instant) -> bool {
        let mut wait = deadline;
        let mut any = false;
        while let Some(frame) = receive(&self.socket, wait) {
            let (&switch, topic) = frame.split_first().expect("an XPUB frame has a first byte");
            let topic = String::from_utf8_lossy(topic).into_owned();
            match switch {
                1 => self.subscriptions.insert(topic),
                _ => self.subscriptions.remove(&topic),
            };
            any = true;
            wait = Instant::now();
        }
        any
    }

    /// Publishes a JSON value.
    pub fn send(&mut self, topic: &str, message: &Value) {
        self.send_raw(format!("{topic} {message}").as_bytes());
    }

    /// Publishes raw bytes, including the topic.
    pub fn send_raw(&mut self, message: &[u8]) {
        self.wait_until_heard();
        self.socket
            .send(message, 0)
            .expect("a socket without a limit takes a message");
    }

    /// Publishes an indicator on its topic.
    pub fn send_indicator(&mut self, indicator: &Value) {
        self.send(self.kind.indicator_topic(), indicator);
    }

    /// Publishes indicator number `n` for this kind of broker, and returns its id.
    pub fn publish_indicator(&mut self, n: u64, ioc: messages::Ioc) -> String {
        self.send_indicator(&messages::indicator(self.kind, n, ioc));
        messages::indicator_id(self.kind, n)
    }
}

/// An app that answers every request for a snapshot with the same indicators, on its own
/// thread. It notices a restart of the broker within half a second, and subscribes again.
pub struct SnapshotServer {
    stop: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<Value>>>,
    thread: Option<JoinHandle<()>>,
}

impl SnapshotServer {
    /// Starts it; it has subscribed when this returns.
    pub fn start(broker: &Broker, indicators: Vec<Value>) -> Self {
        // A topic that nobody publishes on: it only receives requests.
        let subscriber = Subscriber::subscribe(broker, "snapshots/only", 0);
        let publisher = Publisher::connect(broker);
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let thread = std::thread::spawn({
            let (stop, requests) = (Arc::clone(&stop), Arc::clone(&requests));
            move || serve(subscriber, publisher, &indicators, &stop, &requests)
        });
        Self {
            stop,
            requests,
            thread: Some(thread),
        }
    }

    /// The requests received so far.
    pub fn requests(&self) -> Vec<Value> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for SnapshotServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if matches!(ended, Some(Err(_))) && !std::thread::panicking() {
            panic!("the snapshot server panicked");
        }
    }
}

fn serve(
    mut subscriber: Subscriber,
    mut publisher: Publisher,
    indicators: &[Value],
    stop: &AtomicBool,
    requests: &Mutex<Vec<Value>>,
) {
    let mut checked = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if checked.elapsed() > Duration::from_millis(250) {
            if subscriber.heartbeat() == Some(false) {
                subscriber.renew();
            }
            checked = Instant::now();
        }
        let Some((suffix, request)) = subscriber.recv(Duration::from_millis(50)) else {
            continue;
        };
        if suffix != "snapshotrequest" {
            continue;
        }
        for indicator in indicators {
            let envelope = messages::snapshot_envelope(publisher.kind(), &request, indicator);
            publisher.send("threatbus/snapshotenvelope", &envelope);
        }
        requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
    }
}
