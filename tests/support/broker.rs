//! Real Threat Bus brokers, of each kind in use.

use std::collections::HashSet;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use vast_threatbus::indicator::Protocol;

use super::Scratch;
use super::paths;
use super::process::Group;

/// How long a broker may take to serve: many times the longest that it took on an
/// idle machine, since a busy one has been seen to need more than 20 s.
const START_LIMIT: Duration = Duration::from_secs(90);

/// The beginning of the reason if another process has a port.
const PORT_TAKEN: &str = "a port is taken";

/// The ZeroMQ context of a test process. It is never terminated, so that a socket with
/// unsent messages to a dead broker blocks nothing.
pub static ZMQ: LazyLock<zmq::Context> = LazyLock::new(zmq::Context::new);

/// The kinds of broker, by their protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// 2020.11.26: legacy messages, replies with endpoints.
    Legacy,
    /// 2021.6.24: STIX-2 messages, replies with endpoints.
    Endpoints,
    /// 2022.5.16: STIX-2 messages, replies with ports.
    Ports,
}

impl BrokerKind {
    /// All kinds.
    pub const ALL: [BrokerKind; 3] = [Self::Legacy, Self::Endpoints, Self::Ports];

    /// The release of Threat Bus.
    pub fn version(self) -> &'static str {
        match self {
            Self::Legacy => "2020.11.26",
            Self::Endpoints => "2021.6.24",
            Self::Ports => "2022.5.16",
        }
    }

    /// The generation of its messages.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Legacy => Protocol::Legacy,
            Self::Endpoints | Self::Ports => Protocol::Stix2,
        }
    }

    /// The topic that indicators are published on.
    pub fn indicator_topic(self) -> &'static str {
        match self.protocol() {
            Protocol::Legacy => "threatbus/intel",
            Protocol::Stix2 => "stix2/indicator",
        }
    }

    /// The suffix of a subscriber's own topic in messages with indicators.
    pub fn indicator_suffix(self) -> &'static str {
        match self.protocol() {
            Protocol::Legacy => "intel",
            Protocol::Stix2 => "indicator",
        }
    }

    /// The topic that sightings are published on.
    pub fn sighting_topic(self) -> &'static str {
        match self.protocol() {
            Protocol::Legacy => "threatbus/sighting",
            Protocol::Stix2 => "stix2/sighting",
        }
    }

    /// The topics that the broker itself subscribes to on its sub port.
    pub fn own_subscriptions(self) -> &'static [&'static str] {
        match self.protocol() {
            Protocol::Legacy => &[
                "threatbus/intel",
                "threatbus/sighting",
                "threatbus/snapshotenvelope",
            ],
            Protocol::Stix2 => &["stix2/", "threatbus/snapshotenvelope"],
        }
    }

    /// The name of the ZeroMQ plugin in the broker's configuration.
    fn plugin(self) -> &'static str {
        match self {
            Self::Legacy | Self::Endpoints => "zmq-app",
            Self::Ports => "zmq",
        }
    }
}

/// The three ports of a broker, all on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Management: REQ/REP.
    pub manage: u16,
    /// Where the broker publishes.
    pub publish: u16,
    /// Where the broker receives messages.
    pub subscribe: u16,
}

impl Ports {
    /// Three ports that were free just now.
    pub fn free() -> Self {
        let [manage, publish, subscribe] = free_ports();
        Self {
            manage,
            publish,
            subscribe,
        }
    }

    /// The management endpoint, `HOST:PORT`.
    pub fn endpoint(self) -> String {
        format!("127.0.0.1:{}", self.manage)
    }
}

/// Free ports of 127.0.0.1, chosen by the system; a test process never gets the same one
/// twice.
pub fn free_ports<const N: usize>() -> [u16; N] {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    // Held until all are chosen, so that they differ.
    let mut listeners = Vec::new();
    std::array::from_fn(|_| {
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .expect("the system has a free port on 127.0.0.1");
            let port = listener
                .local_addr()
                .expect("a bound socket has an address")
                .port();
            listeners.push(listener);
            if given.insert(port) {
                return port;
            }
        }
    })
}

/// Reserves a free port, so that the system does not use it for connections of other tests,
/// nor for a connection to this port itself. A socket with the same option, like those of
/// ZeroMQ, can still listen on it. `None` if it cannot be reserved.
fn keep(port: u16) -> Option<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
    let (family, flags) = (AddressFamily::INET, SocketFlags::CLOEXEC);
    let kept = socket_with(family, SocketType::STREAM, flags, None).ok()?;
    sockopt::set_socket_reuseaddr(&kept, true).ok()?;
    bind(&kept, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).ok()?;
    Some(kept)
}

/// A running broker, with its own home directory.
pub struct Broker {
    kind: BrokerKind,
    ports: Ports,
    /// Reserves the ports while the broker is away.
    _kept: [Option<OwnedFd>; 3],
    scratch: Scratch,
    process: Option<Group>,
}

impl Broker {
    /// Starts a broker on free ports and waits until it serves.
    pub fn start(kind: BrokerKind) -> Self {
        // A port that was free may be taken by the time the broker binds it.
        let mut log = String::new();
        for _ in 0..3 {
            let mut broker = Self::new(kind, Ports::free());
            match broker.launch() {
                Ok(()) => return broker,
                Err(reason) => log = reason,
            }
        }
        panic!("broker {}: {log}", kind.version());
    }

    /// Starts a broker on these ports, to which peers may be connecting already.
    pub fn start_on(kind: BrokerKind, ports: Ports) -> Self {
        let mut broker = Self::new(kind, ports);
        broker.restart();
        broker
    }

    fn new(kind: BrokerKind, ports: Ports) -> Self {
        Self {
            kind,
            ports,
            _kept: [ports.manage, ports.publish, ports.subscribe].map(keep),
            scratch: Scratch::new(),
            process: None,
        }
    }

    /// The kind of the broker.
    pub fn kind(&self) -> BrokerKind {
        self.kind
    }

    /// Its ports.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// The management endpoint, `HOST:PORT`.
    pub fn endpoint(&self) -> String {
        self.ports.endpoint()
    }

    /// Kills the broker, like a crash.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Restarts it on the same ports; kills it first if it is running.
    pub fn restart(&mut self) {
        let mut reason = String::new();
        // Another process may have a port for a moment.
        for _ in 0..10 {
            self.kill();
            match self.launch() {
                Ok(()) => return,
                Err(error) => reason = error,
            }
            if !reason.starts_with(PORT_TAKEN) {
                break;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        panic!("broker {}: {reason}", self.kind.version());
    }

    /// Freezes the broker: it neither answers nor closes a connection.
    pub fn stop(&mut self) {
        self.running().freeze();
    }

    /// Undoes [`Broker::stop`].
    pub fn cont(&mut self) {
        self.running().signal(Signal::CONT);
    }

    /// The broker's output since its last start.
    pub fn log(&self) -> String {
        std::fs::read(self.log_file())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Sends a request to the management endpoint; `None` without an answer within `limit`.
    pub fn manage(&self, request: &Value, limit: Duration) -> Option<Value> {
        manage(&self.endpoint(), request, limit)
    }

    fn running(&mut self) -> &mut Group {
        self.process.as_mut().expect("the broker is running")
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.path().join("broker.log")
    }

    /// Starts the broker once; returns the reason if it does not serve.
    fn launch(&mut self) -> Result<(), String> {
        let config = self.scratch.write("broker.yaml", self.config());
        let log = File::create(self.log_file()).expect("the broker's log can be written");
        let venv = paths::venv(&format!("broker-{}", self.kind.version()));
        let mut command = paths::clean_command(venv.join("bin/threatbus"), self.scratch.path());
        command
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        let process = Group::spawn(&mut command).expect("the broker's program can be run");
        self.process = Some(process);

        let deadline = Instant::now() + START_LIMIT;
        let probe = json!({"action": "heartbeat", "topic": "x"});
        loop {
            if let Some(status) = self.running().wait(Duration::ZERO) {
                return Err(format!("ended with {status}:\n{}", self.log()));
            }
            let answer = self.manage(&probe, Duration::from_millis(250));
            // Without the port, the broker continues without that thread.
            if self.log().contains("Address already in use") {
                return Err(format!("{PORT_TAKEN}:\n{}", self.log()));
            }
            if answer == Some(json!({"status": "error"})) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let seconds = START_LIMIT.as_secs();
                return Err(format!("does not serve after {seconds} s:\n{}", self.log()));
            }
        }
    }

    fn config(&self) -> String {
        let Ports {
            manage,
            publish,
            subscribe,
        } = self.ports;
        let plugin = self.kind.plugin();
        let config = json!({
            "logging": {
                "console": true, "console_verbosity": "INFO",
                "file": false, "file_verbosity": "INFO", "filename": "threatbus.log",
            },
            "plugins": {
                "backbones": {"inmem": {}},
                "apps": {plugin: {
                    "host": "127.0.0.1", "manage": manage, "pub": publish, "sub": subscribe,
                }},
            },
        });
        // JSON is YAML.
        format!("{config:#}\n")
    }
}

/// Sends a request to a management endpoint (`HOST:PORT`) on a new socket; `None` without a
/// JSON answer within `limit`.
pub fn manage(endpoint: &str, request: &Value, limit: Duration) -> Option<Value> {
    let reply = manage_raw(endpoint, request.to_string().as_bytes(), limit)?;
    serde_json::from_slice(&reply).ok()
}

/// The same as [`manage`], with raw bytes.
pub fn manage_raw(endpoint: &str, request: &[u8], limit: Duration) -> Option<Vec<u8>> {
    let socket = ZMQ.socket(zmq::REQ).expect("a socket can be made");
    socket.set_linger(0).expect("a socket takes a linger time");
    socket
        .connect(&format!("tcp://{endpoint}"))
        .expect("an endpoint HOST:PORT can be connected to");
    socket.send(request, 0).expect("a new REQ socket can send");
    let milliseconds = i64::try_from(limit.as_millis()).expect("a short time");
    match socket.poll(zmq::POLLIN, milliseconds) {
        Ok(1..) => socket.recv_bytes(0).ok(),
        _ => None,
    }
}
