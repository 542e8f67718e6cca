//! How a subscription is made and begins to be used: *probing* to *sightings* in the table,
//! and *rechecking*.

use std::time::Duration;

use super::{After, Next, Notice, Output, PROBE_TOPIC, Request, Subscriber, SubscriptionState};
use super::{bus_topic, sighting_topic};
use crate::bus::alive::ClockTimes;
use crate::bus::management::{ManageError, Subscription};
use crate::config::ProtocolChoice;
use crate::indicator::Protocol;
use crate::process::stop::Backoff;

/// If the first subscription takes longer, the broker may have just been started.
const LATE_SUBSCRIPTION: Duration = Duration::from_secs(1);

/// A subscription in preparation.
#[derive(Debug)]
pub(super) struct Making {
    ports: Subscription,
    protocol: Protocol,
    topic: String,
    echo_topic: Option<String>,
    days: u32,
    /// When its indicators were requested.
    since: ClockTimes,
}

impl Subscriber {
    pub(super) fn probed(
        &mut self,
        now: ClockTimes,
        answer: Result<Option<Subscription>, ManageError>,
        outputs: &mut Vec<Output>,
    ) -> Next {
        match answer {
            // The broker was only stalled, and has lost nothing.
            Ok(_) => self.was_restarted = false,
            Err(ManageError::Refused(_)) => {
                self.was_restarted |= self.link.is_some() || !self.held.is_empty();
            }
            Err(error) => return self.failed(now, error, outputs),
        }
        self.state = SubscriptionState::Ports;
        let time = self.answer_time(now);
        self.ask(now, Request::Subscribe(PROBE_TOPIC.to_owned(), 0), time)
    }

    pub(super) fn found(&mut self, ports: Subscription, outputs: &mut Vec<Output>) -> Next {
        self.hold(&ports.topic, outputs);
        let (protocol, is_known) = match self.wishes.protocol {
            ProtocolChoice::Legacy => (Protocol::Legacy, true),
            ProtocolChoice::Stix2 => (Protocol::Stix2, true),
            ProtocolChoice::Auto => (Protocol::Stix2, false),
        };
        let (publishes, listens) = (ports.pub_endpoint.clone(), ports.sub_endpoint.clone());
        self.making = Some(Making {
            ports,
            protocol,
            topic: String::new(),
            echo_topic: None,
            days: 0,
            since: self.requested_at,
        });
        if is_known {
            self.state = SubscriptionState::Connecting;
            return Next::Connect(publishes);
        }
        self.state = SubscriptionState::Detecting;
        Next::Detect(listens)
    }

    pub(super) fn detected(
        &mut self,
        now: ClockTimes,
        found: Result<Option<Protocol>, ManageError>,
        outputs: &mut Vec<Output>,
    ) -> Next {
        let Some(making) = &mut self.making else {
            return Next::End;
        };
        match found {
            Ok(Some(protocol)) => making.protocol = protocol,
            Ok(None) => {
                let endpoint = making.ports.sub_endpoint.clone();
                outputs.push(Output::Log(Notice::NoGeneration(endpoint)));
            }
            Err(error) => return self.failed(now, error, outputs),
        }
        self.state = SubscriptionState::Connecting;
        Next::Connect(making.ports.pub_endpoint.clone())
    }

    pub(super) fn connected(
        &mut self,
        now: ClockTimes,
        made: Result<(), ManageError>,
        outputs: &mut Vec<Output>,
    ) -> Next {
        let time = self.answer_time(now);
        let days = self.days(now);
        let Some(making) = &mut self.making else {
            return Next::End;
        };
        if let Err(error) = made {
            return self.failed(now, error, outputs);
        }
        making.days = days;
        let topic = bus_topic(making.protocol).to_owned();
        self.state = SubscriptionState::Indicators;
        self.ask(now, Request::Subscribe(topic, days), time)
    }

    /// The days of snapshot to request. After a loss, the snapshot covers the time since
    /// then.
    fn days(&self, now: ClockTimes) -> u32 {
        match (self.wishes.snapshot_days, self.link.is_some()) {
            (0, _) => 0,
            (_, true) => self.alive.days_ago(now),
            (days, false) => days,
        }
    }

    pub(super) fn listens(
        &mut self,
        now: ClockTimes,
        topic: String,
        outputs: &mut Vec<Output>,
    ) -> Next {
        self.hold(&topic, outputs);
        outputs.push(Output::Listen(topic.clone()));
        let time = self.answer_time(now);
        let Some(making) = &mut self.making else {
            return Next::End;
        };
        making.topic = topic;
        making.since = self.requested_at;
        if !self.wishes.confirms {
            return self.made(now, outputs);
        }
        let bus_topic = sighting_topic(making.protocol).to_owned();
        self.state = SubscriptionState::Sightings;
        self.ask(now, Request::Subscribe(bus_topic, 0), time)
    }

    pub(super) fn listens_to_echoes(
        &mut self,
        now: ClockTimes,
        topic: String,
        outputs: &mut Vec<Output>,
    ) -> Next {
        self.hold(&topic, outputs);
        outputs.push(Output::Listen(topic.clone()));
        if let Some(making) = &mut self.making {
            making.echo_topic = Some(topic);
        }
        self.made(now, outputs)
    }

    /// All subscriptions are made; the topic that came with the ports is not needed.
    fn made(&mut self, now: ClockTimes, outputs: &mut Vec<Output>) -> Next {
        self.new.clear();
        let ports = self
            .making
            .as_ref()
            .map(|making| making.ports.topic.clone());
        self.give_up(now, ports.into_iter().collect(), After::Use, outputs)
    }

    /// If the broker was restarted after the probe, it responds to all later requests as
    /// usual. Only the previous topic shows the restart.
    pub(super) fn recheck(&mut self, now: ClockTimes, outputs: &mut Vec<Output>) -> Next {
        match &self.link {
            Some((topic, _)) if !self.was_restarted => {
                let topic = topic.clone();
                self.state = SubscriptionState::Rechecking;
                let time = self.answer_time(now);
                self.ask(now, Request::Heartbeat(topic), time)
            }
            _ => self.use_it(now, outputs),
        }
    }

    /// Replaces the previous subscription by the new one.
    pub(super) fn use_it(&mut self, now: ClockTimes, outputs: &mut Vec<Output>) -> Next {
        let Some(making) = self.making.take() else {
            return Next::End;
        };
        let took = now.monotonic.saturating_duration_since(self.started);
        self.was_restarted |= self.link.is_none() && took > LATE_SUBSCRIPTION;
        let restarted = self.was_restarted.then_some(self.alive.monotonic);
        let gap = self.alive.ago(now);
        let topics = (making.topic, making.echo_topic);
        outputs.push(Output::Use(topics.0.clone(), topics.1.clone()));
        // Not before, so that no echo is missed.
        outputs.push(Output::Listening(making.ports.sub_endpoint, restarted));
        outputs.push(Output::Log(Notice::Subscribed(
            making.protocol,
            making.days,
        )));
        self.former = self.link.replace(topics);
        let is_first = self.former.is_none();
        self.was_restarted = false;
        // The broker may have died during later requests.
        self.alive = making.since;
        self.backoff = Backoff::new();
        if !is_first {
            let days = (self.wishes.snapshot_days > 0).then_some(making.days);
            outputs.push(Output::Log(Notice::SubscribedAgain(gap, days)));
        }
        // Not only after a heartbeat: where the connection ends again before each, the broker
        // would hold more and more of them.
        let others = self.others();
        self.give_up(now, others, After::Serve, outputs)
    }
}
