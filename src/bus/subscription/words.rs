//! The inputs and outputs of the subscription's state machine.

use std::time::{Duration, Instant};

use crate::bus::management::{ManageError, Subscription};
use crate::config::ProtocolChoice;
use crate::indicator::Protocol;
use crate::process::endpoint::Endpoint;
use crate::protocol::{legacy, stix};

/// The settings of a subscription.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// The generation to use.
    pub protocol: ProtocolChoice,
    /// The days of snapshot to request; 0 for none.
    pub snapshot_days: u32,
    /// The time limit of the first connection; `None` for no limit.
    pub connect_timeout: Option<Duration>,
    /// Whether to subscribe to sightings as well.
    pub confirms: bool,
}

/// A management request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Keeps this topic alive, and checks that the broker knows it.
    Heartbeat(String),
    /// Subscribes to a bus topic, with this many days of snapshot.
    Subscribe(String, u32),
    /// Gives up this topic.
    Unsubscribe(String),
}

/// An event.
#[derive(Debug)]
pub enum Input {
    /// The response to a request; with the new subscription, if that was requested.
    Answer(Result<Option<Subscription>, ManageError>),
    /// The generation that the broker's subscriptions reveal, if any.
    Generation(Result<Option<Protocol>, ManageError>),
    /// The connection to the broker's publisher was made.
    Connected(Result<(), ManageError>),
    /// Time has passed.
    Time,
    /// The connection to the broker's publisher ended.
    Cut(ManageError),
    /// No more indicators are expected.
    Idle,
    /// The program stops.
    Stop,
    /// No more echoes are needed.
    Finished,
}

/// What to do next. Its result is the next input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this request, and wait this long for the response.
    Ask(Request, Duration),
    /// Detect the generation of the broker at this endpoint.
    Detect(Endpoint),
    /// Connect a new socket to the broker's publisher.
    Connect(Endpoint),
    /// Wait for an event, at most until this time.
    Wait(Instant),
    /// The session is over.
    End,
}

/// What to do in addition.
#[derive(Debug)]
pub enum Output {
    /// Subscribe to this topic with the new socket.
    Listen(String),
    /// Use the new socket from now on, with these topics of indicators and sightings. The
    /// previous one is read until [`Output::CloseFormer`].
    Use(String, Option<String>),
    /// Close the previous subscription.
    CloseFormer,
    /// The subscription is lost, and a new one is about to replace it.
    HandOver,
    /// The broker does not respond, or does not know the subscription.
    Away,
    /// Accept no more indicators.
    CloseIntake,
    /// The topics that are held now.
    Held(Vec<String>),
    /// Sightings can be sent to this endpoint; the broker was restarted after this moment.
    Listening(Endpoint, Option<Instant>),
    /// The broker knew the subscription at this moment.
    Alive(Instant),
    /// Log this.
    Log(Notice),
}

/// A log message.
#[derive(Debug)]
pub enum Notice {
    /// There is no subscription yet.
    NotReady(ManageError),
    /// The subscription was lost, and there is no new one yet.
    StillAway(ManageError),
    /// The subscription was lost.
    Lost(ManageError),
    /// The broker at this endpoint does not reveal its generation.
    NoGeneration(Endpoint),
    /// There is a subscription, with this many days of snapshot.
    Subscribed(Protocol, u32),
    /// There is a subscription again, after this time, with this many days of snapshot.
    SubscribedAgain(Duration, Option<u32>),
    /// A topic could not be given up.
    NotGivenUp(String, ManageError),
    /// The subscription was lost while the last sightings were being delivered.
    LostAtEnd(ManageError),
}

/// The broker was not reached in time.
#[derive(Debug)]
pub struct GaveUp {
    /// The duration of the tries.
    pub tried_for: Duration,
    /// The error of the last try.
    pub last: ManageError,
}

/// The bus topic of indicators.
pub fn bus_topic(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Legacy => legacy::INTEL_TOPIC,
        Protocol::Stix2 => stix::message::INDICATOR_TOPIC,
    }
}

/// The bus topic of sightings.
pub fn sighting_topic(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Legacy => legacy::SIGHTING_TOPIC,
        Protocol::Stix2 => stix::message::SIGHTING_TOPIC,
    }
}
