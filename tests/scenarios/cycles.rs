//! Opens and closes everything repeatedly in this process: nothing grows.

use std::time::Duration;

use vast_threatbus::bus::management::ManagementClient;
use vast_threatbus::bus::publish::{Publisher, Sent, detect};
use vast_threatbus::process::child;
use vast_threatbus::process::endpoint::Endpoint;
use vast_threatbus::process::stop::Stop;
use vast_threatbus::state::StateDir;
use vast_threatbus::state::journal::Journal;
use vast_threatbus::state::spool::Spool;

use super::Outcome;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::{Scratch, eventually, process};

/// Opens and closes a subscription, both sockets, a query's child and the state
/// directory, `times`.
pub fn opened_and_closed(kind: BrokerKind, times: u64) -> Outcome {
    let broker = Broker::start(kind);
    let scratch = Scratch::new();
    let warm_up = (times / 10).clamp(20, 500);
    for _ in 0..warm_up {
        cycle(&broker, &scratch);
    }
    let before = Figures::now();
    for _ in 0..times {
        cycle(&broker, &scratch);
    }
    // ZeroMQ closes sockets on its own threads, a moment later.
    let settled = eventually(Duration::from_secs(20), || {
        let now = Figures::now();
        now.descriptors <= before.descriptors && now.threads <= before.threads
    });
    let after = Figures::now();
    assert!(settled, "{before:?} → {after:?}");
    assert!(
        after.resident < before.resident + (4 << 20),
        "{before:?} → {after:?}"
    );
    Outcome {
        times,
        note: format!(
            "{} → {} descriptors, {} → {} threads, {} → {} KiB",
            before.descriptors,
            after.descriptors,
            before.threads,
            after.threads,
            before.resident >> 10,
            after.resident >> 10
        ),
        ..Outcome::default()
    }
}

fn cycle(broker: &Broker, scratch: &Scratch) {
    let stop = Stop::new().expect("pipes");
    let context = zmq::Context::new();
    let endpoint = |port: u16| Endpoint::new("127.0.0.1", port.try_into().expect("a port"));
    let manage = endpoint(broker.ports().manage).expect("an endpoint");
    let listens = endpoint(broker.ports().subscribe).expect("an endpoint");
    let limit = Duration::from_secs(20);
    let manager = ManagementClient::new(&context, manage, Some(&stop));
    let subscription = manager.subscribe("cycle", 0, limit).expect("subscribed");
    let generation = detect(&context, &listens, &stop).expect("a socket");
    assert_eq!(generation, Some(broker.kind().protocol()));
    let mut publisher = Publisher::new(stop.clone(), false);
    publisher.connect(&listens, false).expect("connected");
    // The broker forwards this type of message to nobody.
    let frame = format!("{} {{}}", broker.kind().sighting_topic());
    assert!(eventually(limit, || {
        matches!(publisher.send(frame.as_bytes()), Ok(Sent::Yes))
    }));
    publisher.close(Duration::from_secs(5));
    manager
        .unsubscribe(&subscription.topic, limit)
        .expect("given up");
    let limits = child::Limits {
        time: Some(limit),
        stop: &stop,
    };
    let mut query = child::command(std::path::Path::new("/bin/cat"));
    let ended = child::run_to_end(&mut query, &b"query"[..], limits, 100).expect("started");
    assert_eq!(ended.1, b"query");
    let directory = StateDir::open(&scratch.path().join("state")).expect("free");
    let (mut spool, _) = Spool::open(&directory.join("spool"), 1 << 20).expect("opened");
    spool.push([frame.as_bytes()]).expect("written");
    let read = spool.read(spool.delivered()).expect("read");
    spool
        .set_delivered(read.expect("a record").1)
        .expect("written");
    let (journal, _, _) = Journal::open(&directory.join("journal"), &stop).expect("opened");
    journal.begin(frame.as_bytes()).finish();
}

#[derive(Debug)]
struct Figures {
    descriptors: usize,
    threads: usize,
    resident: u64,
}

impl Figures {
    fn now() -> Self {
        let count = |path: &str| std::fs::read_dir(path).expect("/proc").count();
        Self {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            resident: process::memory(std::process::id(), "VmRSS").expect("itself"),
        }
    }
}
