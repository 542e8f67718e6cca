//! A fake management endpoint with arbitrary answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::broker::ZMQ;

/// What a fake management endpoint does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answers with a JSON value.
    Json(Value),
    /// Answers with these bytes.
    Raw(Vec<u8>),
    /// Does not answer.
    Silence,
}

impl Reply {
    /// The answer of a 2022.5.16 broker to a subscription.
    pub fn subscribed(topic: &str, publish: u16, subscribe: u16) -> Self {
        Self::Json(json!({
            "topic": topic, "pub_port": publish, "sub_port": subscribe, "status": "success",
        }))
    }

    /// The answer of every broker to a heartbeat for a topic that it knows.
    pub fn success() -> Self {
        Self::Json(json!({"status": "success"}))
    }
}

/// A management endpoint on its own port. It accepts requests in any order.
pub struct FakeManager {
    endpoint: String,
    requests: Arc<Mutex<Vec<Value>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeManager {
    /// Starts it; `answer` gets each request (`null` if it is not JSON).
    pub fn start(answer: impl FnMut(&Value) -> Reply + Send + 'static) -> Self {
        // Not REP, which has to answer every request.
        let socket = ZMQ.socket(zmq::ROUTER).expect("a socket can be made");
        socket.set_linger(0).expect("a socket takes a linger time");
        socket
            .bind("tcp://127.0.0.1:*")
            .expect("the system has a free port");
        let endpoint = socket
            .get_last_endpoint()
            .expect("a bound socket has an endpoint")
            .expect("an endpoint is text");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (stop, requests) = (Arc::clone(&stop), Arc::clone(&requests));
            move || serve(&socket, answer, &stop, &requests)
        });
        Self {
            endpoint: endpoint.trim_start_matches("tcp://").to_owned(),
            requests,
            stop,
            thread: Some(thread),
        }
    }

    /// Starts it with a list of replies, the last of which is repeated.
    pub fn scripted(replies: Vec<Reply>) -> Self {
        let mut replies = replies.into_iter().peekable();
        let mut last = Reply::Silence;
        Self::start(move |_| {
            if let Some(reply) = replies.next() {
                last = reply;
            }
            last.clone()
        })
    }

    /// `HOST:PORT`, as in the bridge's option.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The requests received so far.
    pub fn requests(&self) -> Vec<Value> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for FakeManager {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if matches!(ended, Some(Err(_))) && !std::thread::panicking() {
            panic!("the fake management endpoint panicked");
        }
    }
}

fn serve(
    socket: &zmq::Socket,
    mut answer: impl FnMut(&Value) -> Reply,
    stop: &AtomicBool,
    requests: &Mutex<Vec<Value>>,
) {
    let look_again = i64::try_from(Duration::from_millis(20).as_millis()).expect("a short time");
    while !stop.load(Ordering::Relaxed) {
        if !matches!(socket.poll(zmq::POLLIN, look_again), Ok(1..)) {
            continue;
        }
        // The peer, an empty frame, the request.
        let mut frames = socket.recv_multipart(0).expect("a message is there");
        let request = frames.pop().expect("a message has a frame");
        let request = serde_json::from_slice(&request).unwrap_or(Value::Null);
        let reply = answer(&request);
        requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
        let reply = match reply {
            Reply::Json(value) => value.to_string().into_bytes(),
            Reply::Raw(bytes) => bytes,
            Reply::Silence => continue,
        };
        frames.push(reply);
        // The peer may be gone.
        let _ = socket.send_multipart(frames, 0);
    }
}
