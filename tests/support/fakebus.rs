//! A fake bus: it sends arbitrary bytes, and shows the bytes that the bridge sends. Real
//! brokers parse and rewrite messages.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::broker::ZMQ;
use super::manager::{FakeManager, Reply};

/// A management endpoint and the two sockets of a broker.
pub struct FakeBus {
    manager: FakeManager,
    publish: zmq::Socket,
    received: Receiver<Vec<u8>>,
    stop: Arc<AtomicBool>,
    receiver: Option<JoinHandle<()>>,
    heard: BTreeSet<Vec<u8>>,
}

impl FakeBus {
    /// A bus that subscribes to these prefixes and answers like a broker of 2022.5.16:
    /// every subscription gets its own topic.
    pub fn start(subscriptions: &[&str]) -> Self {
        Self::replying(subscriptions, |_, usual| usual)
    }

    /// The same as [`FakeBus::start`]; `reply` gets each request and the usual reply, and
    /// returns the reply to send.
    pub fn replying(
        subscriptions: &[&str],
        mut reply: impl FnMut(&Value, Reply) -> Reply + Send + 'static,
    ) -> Self {
        let (publish, publish_port) = bind(zmq::XPUB);
        let (subscribe, subscribe_port) = bind(zmq::SUB);
        for prefix in subscriptions {
            let prefix = prefix.as_bytes();
            subscribe.set_subscribe(prefix).expect("SUB subscribes");
        }
        let mut number = 0;
        let manager = FakeManager::start(move |request| {
            let usual = if request["action"] == "subscribe" {
                number += 1;
                Reply::subscribed(&own_topic(number), publish_port, subscribe_port)
            } else {
                Reply::success()
            };
            reply(request, usual)
        });
        let (sender, received) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let receiver = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || forward(&subscribe, &sender, &stop)
        });
        Self {
            manager,
            publish,
            received,
            stop,
            receiver: Some(receiver),
            heard: BTreeSet::new(),
        }
    }

    /// The subscriptions of the STIX-2 brokers.
    pub fn stix() -> Self {
        Self::start(&["stix2/", "threatbus/snapshotenvelope"])
    }

    /// The management endpoint.
    pub fn endpoint(&self) -> &str {
        self.manager.endpoint()
    }

    /// The management requests so far.
    pub fn requests(&self) -> Vec<Value> {
        self.manager.requests()
    }

    /// The management requests with this action so far.
    pub fn requests_to(&self, action: &str) -> Vec<Value> {
        let mut requests = self.requests();
        requests.retain(|request| request["action"] == action);
        requests
    }

    /// The topics that were assigned and not unsubscribed.
    pub fn leaked(&self) -> Vec<String> {
        let given_up: BTreeSet<String> = self
            .requests_to("unsubscribe")
            .iter()
            .map(|request| request["topic"].as_str().expect("a topic").to_owned())
            .collect();
        (1..=self.requests_to("subscribe").len())
            .map(own_topic)
            .filter(|topic| !given_up.contains(topic))
            .collect()
    }

    /// Publishes these bytes after own topic number `n`, once the bridge has subscribed to
    /// it.
    pub fn send(&mut self, n: usize, rest: &[u8]) {
        let topic = own_topic(n).into_bytes();
        let deadline = Instant::now() + super::bed::LIMIT;
        while !self.heard.contains(&topic) {
            assert!(poll(&self.publish, deadline), "nobody listens to {n}");
            let frame = self.publish.recv_bytes(0).expect("a message is there");
            if let Some((1, prefix)) = frame.split_first() {
                self.heard.insert(prefix.to_vec());
            }
        }
        let frame = [&topic, rest].concat();
        self.publish.send(frame, 0).expect("a PUB socket sends");
    }

    /// The next frame that the bridge sent.
    pub fn receive(&self, limit: Duration) -> Option<Vec<u8>> {
        self.received.recv_timeout(limit).ok()
    }

    /// The next frame that the bridge sent, as topic and JSON text.
    ///
    /// # Panics
    ///
    /// If none arrives.
    pub fn receive_text(&self) -> (String, String) {
        let frame = self.receive(super::bed::LIMIT).expect("a sighting");
        let text = String::from_utf8(frame).expect("the bridge sends UTF-8");
        let (topic, json) = text.split_once(' ').expect("a topic, a space, a text");
        (topic.to_owned(), json.to_owned())
    }
}

impl Drop for FakeBus {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(receiver) = self.receiver.take() {
            let ended = receiver.join();
            assert!(ended.is_ok() || std::thread::panicking(), "no receiver");
        }
    }
}

/// Receives all the time: a SUB socket sends its subscriptions to a new peer only while it
/// is being polled.
fn forward(socket: &zmq::Socket, sender: &Sender<Vec<u8>>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if poll(socket, Instant::now() + Duration::from_millis(20)) {
            let frame = socket.recv_bytes(0).expect("a message is there");
            // The test may have stopped receiving.
            let _ = sender.send(frame);
        }
    }
}

/// The topic of subscription number `n`, from 1.
pub fn own_topic(n: usize) -> String {
    format!("owntopic{n:04}x")
}

/// A reply with endpoints, like those until 2021.6.24, instead of ports.
pub fn with_endpoints(reply: Reply, host: &str) -> Reply {
    match reply {
        Reply::Json(value) if value["pub_port"].is_number() => Reply::Json(json!({
            "topic": value["topic"],
            "pub_endpoint": format!("{host}:{}", value["pub_port"]),
            "sub_endpoint": format!("{host}:{}", value["sub_port"]),
            "status": "success",
        })),
        other => other,
    }
}

fn bind(kind: zmq::SocketType) -> (zmq::Socket, u16) {
    let socket = ZMQ.socket(kind).expect("a socket can be made");
    socket.set_linger(0).expect("a socket takes a linger time");
    socket.set_sndhwm(0).expect("a socket takes a limit");
    socket.set_rcvhwm(0).expect("a socket takes a limit");
    socket
        .bind("tcp://127.0.0.1:*")
        .expect("the system has a free port");
    let endpoint = socket
        .get_last_endpoint()
        .expect("a bound socket has an endpoint")
        .expect("an endpoint is text");
    let (_, port) = endpoint.rsplit_once(':').expect("HOST:PORT");
    (socket, port.parse().expect("a port"))
}

fn poll(socket: &zmq::Socket, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let milliseconds = i64::try_from(left.as_micros().div_ceil(1_000)).expect("a short time");
    matches!(socket.poll(zmq::POLLIN, milliseconds), Ok(1..))
}
