//! The management protocol: one JSON frame in each direction over REQ.

use std::num::NonZeroU16;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use serde::Deserialize;
use thiserror::Error;

use crate::observe::logging::printable;
use crate::process::endpoint::Endpoint;
use crate::process::stop::Stop;

/// How long the broker may take to respond. Ten times what a busy one was seen to take.
pub const ANSWER_TIME: Duration = Duration::from_secs(5);

/// The endpoints for a subscription, and its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The point-to-point topic: the prefix of every message to this app.
    pub topic: String,
    /// Where the broker publishes (connect SUB).
    pub pub_endpoint: Endpoint,
    /// Where the broker listens (connect XPUB).
    pub sub_endpoint: Endpoint,
}

/// Why there is no usable response.
#[derive(Debug, Error)]
pub enum ManageError {
    /// No response within this time.
    #[error("no answer in {:.1} s", .0.as_secs_f64())]
    NoAnswer(Duration),
    /// A response that does not answer this request.
    #[error(
        "an answer that {reason}: {}",
        printable(&String::from_utf8_lossy(reply), 200)
    )]
    Unusable {
        /// What is wrong with it.
        reason: String,
        /// The response.
        reply: Vec<u8>,
    },
    /// The broker refused, with this `status`.
    #[error("the broker answered with status \"{}\"", printable(.0, 50))]
    Refused(String),
    /// The ZeroMQ library failed.
    #[error(transparent)]
    Socket(#[from] zmq::Error),
    /// The connection to the broker's publisher ended.
    #[error("its connection ended")]
    Cut,
    /// The program stops.
    #[error("the program stops")]
    Stopped,
}

/// Management requests to one broker.
pub struct ManagementClient<'a> {
    context: &'a zmq::Context,
    endpoint: Endpoint,
    /// Ends the wait for a response; `None` at the very end of the program, when the
    /// topics are given up.
    stop: Option<&'a Stop>,
}

impl<'a> ManagementClient<'a> {
    /// Requests to the broker at `endpoint`.
    pub fn new(context: &'a zmq::Context, endpoint: Endpoint, stop: Option<&'a Stop>) -> Self {
        ManagementClient {
            context,
            endpoint,
            stop,
        }
    }

    /// Subscribes to a bus topic.
    ///
    /// # Errors
    /// See [`ManageError`].
    pub fn subscribe(
        &self,
        topic: &str,
        snapshot_days: u32,
        time: Duration,
    ) -> Result<Subscription, ManageError> {
        let request = serde_json::json!({
            "action": "subscribe", "topic": topic, "snapshot": snapshot_days,
        });
        let reply = self.ask(&request, time)?;
        read_subscription(&reply, self.endpoint.host())
    }

    /// Keeps a subscription alive; also the cheapest request to find out whether a broker
    /// responds.
    ///
    /// # Errors
    /// [`ManageError::Refused`] if the broker does not know the topic; see
    /// [`ManageError`].
    pub fn heartbeat(&self, topic: &str, time: Duration) -> Result<(), ManageError> {
        self.ask_status("heartbeat", topic, time)
    }

    /// Gives up a subscription.
    ///
    /// # Errors
    /// The same as for [`ManagementClient::heartbeat`].
    pub fn unsubscribe(&self, topic: &str, time: Duration) -> Result<(), ManageError> {
        self.ask_status("unsubscribe", topic, time)
    }

    fn ask_status(&self, action: &str, topic: &str, time: Duration) -> Result<(), ManageError> {
        let request = serde_json::json!({"action": action, "topic": topic});
        read_reply(&self.ask(&request, time)?).map(|_| ())
    }

    /// One request and one response on a new socket: a REQ socket that has waited in vain
    /// cannot be used again. Exactly one frame is sent, since a second one kills the
    /// broker's management thread.
    fn ask(&self, request: &serde_json::Value, time: Duration) -> Result<Vec<u8>, ManageError> {
        let socket = self.context.socket(zmq::REQ)?;
        socket.set_linger(0)?;
        socket.set_ipv6(true)?;
        socket.set_maxmsgsize(LONGEST_REPLY)?;
        socket.connect(&self.endpoint.as_tcp())?;
        socket.send(request.to_string().as_bytes(), 0)?;
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut items = vec![socket.as_poll_item(zmq::POLLIN)];
            if let Some(stop) = self.stop {
                items.push(zmq::PollItem::from_fd(
                    stop.drain_fd().as_raw_fd(),
                    zmq::POLLIN,
                ));
            }
            match zmq::poll(&mut items, poll_milliseconds(left)) {
                Ok(_) | Err(zmq::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            if items[0].is_readable() {
                return Ok(socket.recv_bytes(zmq::DONTWAIT)?);
            }
            if self.stop.is_some_and(Stop::is_draining) {
                return Err(ManageError::Stopped);
            }
            if left.is_zero() {
                return Err(ManageError::NoAnswer(time));
            }
        }
    }
}

/// A reply has about 140 bytes; this limits what a wrong peer can send.
const LONGEST_REPLY: i64 = 64 * 1024;

/// A duration for `zmq_poll`, rounded up so that it does not spin at the end.
pub(super) fn poll_milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX - 1)
        .saturating_add(i64::from(duration.subsec_nanos() % 1_000_000 != 0))
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Reply {
    status: String,
    topic: Option<String>,
    pub_port: Option<serde_json::Value>,
    sub_port: Option<serde_json::Value>,
    pub_endpoint: Option<String>,
    sub_endpoint: Option<String>,
}

fn unusable(reason: impl Into<String>, reply: &[u8]) -> ManageError {
    ManageError::Unusable {
        reason: reason.into(),
        reply: reply.to_vec(),
    }
}

/// Reads any reply, whose status must be "success".
fn read_reply(reply: &[u8]) -> Result<Reply, ManageError> {
    let parsed: Reply = serde_json::from_slice(reply)
        .map_err(|error| unusable(format!("is no management reply ({error})"), reply))?;
    match parsed.status.as_str() {
        "success" => Ok(parsed),
        _ => Err(ManageError::Refused(parsed.status)),
    }
}

/// Reads the reply to a subscription. `host` replaces hosts that only the broker itself
/// can use.
///
/// # Errors
/// Not `success`, or an unusable topic or endpoint.
pub fn read_subscription(bytes: &[u8], host: &str) -> Result<Subscription, ManageError> {
    let reply = read_reply(bytes)?;
    let topic = reply
        .topic
        .filter(|topic| is_topic(topic))
        .ok_or_else(|| unusable("names no topic of 1 to 255 letters or digits", bytes))?;
    let endpoint = |name: &str, endpoint: Option<String>, port: Option<serde_json::Value>| {
        let found = match (endpoint, port) {
            (Some(endpoint), _) => advertised(&endpoint, host),
            (None, Some(port)) => {
                port_number(&port).and_then(|port| Endpoint::new(host, port).ok())
            }
            (None, None) => None,
        };
        found.ok_or_else(|| {
            unusable(
                format!("has no valid {name}_endpoint (HOST:PORT) or {name}_port (1 to 65535)"),
                bytes,
            )
        })
    };
    Ok(Subscription {
        topic,
        pub_endpoint: endpoint("pub", reply.pub_endpoint, reply.pub_port)?,
        sub_endpoint: endpoint("sub", reply.sub_endpoint, reply.sub_port)?,
    })
}

/// Topics are 32 letters. Anything that could end a frame's topic, or have a meaning in a
/// log, is rejected.
fn is_topic(topic: &str) -> bool {
    (1..=255).contains(&topic.len()) && topic.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The port of a reply, as a number or as a text of digits.
fn port_number(port: &serde_json::Value) -> Option<NonZeroU16> {
    match port {
        serde_json::Value::String(text) => text.parse().ok(),
        number => NonZeroU16::new(u16::try_from(number.as_u64()?).ok()?),
    }
}

/// An endpoint of a reply. It is the address that the broker binds to, so the host may be
/// a wildcard.
fn advertised(text: &str, host: &str) -> Option<Endpoint> {
    let text = text.strip_prefix("tcp://").unwrap_or(text);
    let (host_text, port) = text.rsplit_once(':')?;
    let port: NonZeroU16 = port.parse().ok()?;
    let bare = host_text
        .strip_prefix('[')
        .and_then(|host_text| host_text.strip_suffix(']'));
    let host_text = bare.unwrap_or(host_text);
    let wildcard = ["", "*", "0.0.0.0", "::"].contains(&host_text);
    Endpoint::new(if wildcard { host } else { host_text }, port).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(reply: &str) -> Result<(String, String), String> {
        read_subscription(reply.as_bytes(), "bus.example")
            .map(|found| {
                (
                    found.pub_endpoint.to_string(),
                    found.sub_endpoint.to_string(),
                )
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn both_shapes_of_subscription_replies_are_read() {
        for (reply, expected) in [
            (
                r#"{"topic": "abc", "pub_port": 24371, "sub_port": "24372", "status": "success"}"#,
                ("bus.example:24371", "bus.example:24372"),
            ),
            (
                r#"{"topic": "abc", "pub_endpoint": "10.1.1.1:23371", "sub_endpoint": "tcp://h:23372", "status": "success", "more": 1}"#,
                ("10.1.1.1:23371", "h:23372"),
            ),
            (
                r#"{"topic": "abc", "pub_endpoint": "0.0.0.0:1", "sub_endpoint": "*:2", "status": "success"}"#,
                ("bus.example:1", "bus.example:2"),
            ),
            (
                r#"{"topic": "abc", "pub_endpoint": "[::]:1", "sub_endpoint": "[2001:db8::1]:2", "status": "success"}"#,
                ("bus.example:1", "[2001:db8::1]:2"),
            ),
        ] {
            let (pub_endpoint, sub_endpoint) = endpoints(reply).expect(reply);
            assert_eq!((pub_endpoint.as_str(), sub_endpoint.as_str()), expected);
        }
    }

    #[test]
    fn unusable_replies_say_why() {
        for (reply, words) in [
            ("", "no management reply"),
            ("hello", "no management reply"),
            ("[]", "no management reply"),
            ("{}", "status"),
            (r#"{"status": "error"}"#, "status \"error\""),
            (r#"{"status": "unknown request"}"#, "unknown request"),
            (r#"{"status": "success"}"#, "topic"),
            (
                r#"{"status": "success", "topic": "a b", "pub_port": 1, "sub_port": 2}"#,
                "topic",
            ),
            (r#"{"status": "success", "topic": "a"}"#, "pub_port"),
            (
                r#"{"status": "success", "topic": "a", "pub_port": 70000, "sub_port": 2}"#,
                "pub_port",
            ),
            (
                r#"{"status": "success", "topic": "a", "pub_port": 1, "sub_port": 0}"#,
                "sub_port",
            ),
            (
                r#"{"status": "success", "topic": "a", "pub_port": 1, "sub_port": -2}"#,
                "sub_port",
            ),
            (
                r#"{"status": "success", "topic": "a", "pub_endpoint": "x", "sub_endpoint": "y:1"}"#,
                "pub_endpoint",
            ),
        ] {
            let error = endpoints(reply).expect_err(reply);
            assert!(error.contains(words), "{reply}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_reply_panics(reply in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read_subscription(&reply, "localhost");
        }

        #[test]
        fn no_endpoint_panics(text in ".{0,40}") {
            if let Some(endpoint) = advertised(&text, "localhost") {
                proptest::prop_assert!(!endpoint.as_tcp().contains('\0'));
            }
        }
    }
}
