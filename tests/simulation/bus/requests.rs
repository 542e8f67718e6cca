//! The session of the bridge, and the responses of the broker to its requests.

use std::time::Duration;

use vast_threatbus::bus::management::{ManageError, Subscription};

use crate::bridge::{self, Act, Waits};
use crate::broker::{Kind, Owner};
use crate::machines::alive::ClockTimes;
use crate::machines::subscription::{Input, PROBE_TOPIC, Request};

use super::World;

/// How long the library takes at the most to notice a dead connection by its heartbeat.
const SILENT: Duration = Duration::from_secs(65);

/// One answer in so many comes a moment later.
const ANSWERS_LATER: usize = 6;

impl World {
    /// The session goes on, if something is there that it waits for.
    pub(super) fn run_session(&mut self) {
        if self
            .silent_since
            .take_if(|since| self.now - *since >= SILENT)
            .is_some()
        {
            self.was_cut = true;
        }
        for _ in 0..30 {
            let moment = self.moment();
            let Some(bridge) = &self.bridge else {
                return;
            };
            let input = match &bridge.waits {
                Waits::Ended => return,
                Waits::Until(_) if bridge.stopped_at.is_some() && !bridge.session.is_closing() => {
                    Input::Stop
                }
                Waits::Until(_) if std::mem::take(&mut self.was_cut) => {
                    Input::Cut(bridge::refused())
                }
                Waits::Until(until) if moment.monotonic >= *until => Input::Time,
                Waits::Until(_) => return,
                Waits::Answer(request, until) => {
                    let (request, until) = (request.clone(), *until);
                    // It went out, and nobody waits for what comes of it.
                    if bridge.stopped_at.is_some() {
                        if self.broker.answers() && self.random.one_in(2) {
                            self.orphan(&request);
                        }
                        self.step_session(moment, Input::Answer(Err(stopped())));
                        continue;
                    }
                    // Between two requests anything may happen.
                    if self.broker.answers() && self.random.one_in(ANSWERS_LATER) {
                        return;
                    }
                    if self.broker.answers() {
                        Input::Answer(self.answer(&request))
                    } else if moment.monotonic >= until {
                        if self.broker.is_frozen && self.random.one_in(2) {
                            self.late_requests.push(request);
                        }
                        Input::Answer(Err(bridge::no_answer(Duration::from_secs(5))))
                    } else {
                        return;
                    }
                }
            };
            self.step_session(moment, input);
        }
    }

    pub(super) fn step_session(&mut self, moment: ClockTimes, input: Input) {
        let mut acts = std::mem::take(&mut self.acts);
        if let Some(bridge) = &mut self.bridge {
            bridge.step(moment, input, &mut acts);
            // A new socket has no past.
            if bridge.sockets() != self.sockets {
                self.sockets = bridge.sockets();
                self.was_cut = false;
                self.silent_since = None;
                self.deaf_until = None;
            }
        }
        for act in acts.drain(..) {
            match act {
                Act::Held(topics) => self.held_on_disk = topics,
                Act::Listen(topic) => self.broker.listen(topic, self.now),
            }
        }
        self.acts = acts;
    }

    pub(super) fn answer(
        &mut self,
        request: &Request,
    ) -> Result<Option<Subscription>, ManageError> {
        match request {
            Request::Heartbeat(topic) => {
                if topic != PROBE_TOPIC && self.broker.knows(bridge::name(topic)) {
                    Ok(None)
                } else {
                    Err(bridge::refused())
                }
            }
            Request::Unsubscribe(topic) => {
                if self.broker.unsubscribe(bridge::name(topic)) {
                    Ok(None)
                } else {
                    Err(bridge::refused())
                }
            }
            Request::Subscribe(topic, days) => {
                let kind = kind_of(topic);
                let name = self.broker.subscribe(kind, Owner::Bridge, &mut self.random);
                if *days > 0 {
                    let all = 0..u32::try_from(self.indicators.len()).expect("few");
                    self.broker.snapshot(name, all, self.now);
                }
                Ok(Some(bridge::subscription(name)))
            }
        }
    }

    /// A request whose answer nobody is there to hear.
    pub(super) fn orphan(&mut self, request: &Request) {
        if let Ok(Some(made)) = self.answer(request) {
            self.broker.orphans.push(bridge::name(&made.topic));
        }
    }
}

fn kind_of(topic: &str) -> Kind {
    match topic {
        "stix2/indicator" => Kind::Indicators,
        "stix2/sighting" => Kind::Sightings,
        _ => Kind::Nothing,
    }
}

pub(super) fn stopped() -> ManageError {
    ManageError::Stopped
}
