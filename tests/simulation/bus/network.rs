//! The connections between the bridge, the broker and the apps.

use std::time::Duration;

use crate::bridge;
use crate::broker::{Kind, Message, Owner};

use super::{Event, TICK, World};

/// The number of messages on their way to the broker in the library.
const QUEUE: usize = 64;

/// The number of messages on their way to the broker in the kernel.
pub(super) const KERNEL: usize = 40;

/// How many messages the library takes for a connection that has ended: that many were
/// seen.
const VOID: usize = 86;

/// A broker that answers as soon as that may have been started a moment ago, all the same.
const LATE: Duration = Duration::from_secs(1);

impl World {
    pub(super) fn run_apps(&mut self) {
        for app in 0..self.apps.len() {
            let notices = self.apps[app].notices_at.is_some_and(|at| at <= self.now);
            if notices && self.broker.answers() {
                let owner = Owner::App(app);
                let topic = self
                    .broker
                    .subscribe(Kind::Sightings, owner, &mut self.random);
                let late = std::mem::take(&mut self.broker.late);
                self.broker.listen(topic, self.now);
                self.broker.late = late;
                self.apps[app].topic = topic;
                self.apps[app].notices_at = None;
            }
        }
    }

    pub(super) fn run_wire(&mut self) {
        let is_connected = self
            .bridge
            .as_ref()
            .is_some_and(|one| one.subscribed_at.is_some());
        if self.loss_known_at.is_some_and(|at| at <= self.now) {
            self.loss_known_at = None;
            let now = self.instant();
            if let Some(bridge) = &mut self.bridge {
                bridge.gate.heard(b"\x00stix2/", now);
            }
            if self.broker.answers() && self.wired_at.is_none() {
                self.wired_at = Some(self.now + TICK);
            }
        }
        let may_wire = self.wired_at.is_none_or(|at| at <= self.now);
        if is_connected
            && !self.is_wired
            && self.loss_known_at.is_none()
            && may_wire
            && self.broker.answers()
        {
            self.is_wired = true;
            self.wired_at = None;
            let now = self.instant();
            if let Some(bridge) = &mut self.bridge {
                bridge.gate.heard(b"\x01stix2/", now);
            }
        }
        if self.is_wired && self.broker.answers() {
            for number in self.wire.drain(..) {
                self.broker.take(Message::Sighting(number));
            }
        }
    }

    pub(super) fn room(&self) -> usize {
        if self.is_wired {
            (QUEUE + KERNEL).saturating_sub(self.wire.len())
        } else {
            VOID.saturating_sub(self.in_void)
        }
    }

    pub(super) fn put_on_wire(&mut self, numbers: &[u32]) {
        // A bridge that starts after its broker was restarted, and that has nothing left of
        // an earlier run, cannot know that an app is not there yet.
        let before = LATE + TICK;
        let cannot_know = !self.knows_of_restart
            && self.started_at + before > self.broker_started_at
            && !self.apps.iter().all(|app| self.broker.knows(app.topic));
        // What is in memory goes while there is time, better early than never.
        let is_last = !self.plan.has_state
            && self
                .bridge
                .as_ref()
                .is_some_and(|one| one.stopped_at.is_some());
        for number in numbers {
            self.watch(*number, Event::Sent(*number));
            let sighting = &mut self.sightings[*number as usize];
            sighting.is_excused |= cannot_know || is_last;
            sighting.sendings += 1;
            sighting.sent_at = Some(self.now);
            // What goes into a connection that has just ended is dropped.
            if self.is_wired {
                self.wire.push_back(*number);
            } else {
                self.in_void += 1;
            }
        }
        if !numbers.is_empty() {
            self.most_inside = self.most_inside_now();
        }
    }

    pub(super) fn send(&mut self) {
        let (now, room) = (self.instant(), self.room());
        // A wire to a broker that reads is emptied meanwhile.
        let room = if self.is_wired && self.broker.answers() {
            usize::MAX
        } else {
            room
        };
        let Some(bridge) = &mut self.bridge else {
            return;
        };
        let sent = bridge.send(now, room);
        self.was_mute |= bridge.was_mute;
        self.put_on_wire(&sent);
    }

    pub(super) fn run_broker(&mut self, tick: Duration) {
        let mut out = std::mem::take(&mut self.out);
        self.broker.run(self.now, tick, &mut out);
        for (topic, owner, message) in out.drain(..) {
            match owner {
                Owner::App(app) => self.give_app(app, message),
                Owner::Bridge => self.give_bridge(topic, message),
            }
        }
        self.out = out;
        for number in std::mem::take(&mut self.broker.dropped) {
            self.indicators[number as usize].is_excused = true;
            self.tally.dropped_early += 1;
        }
    }

    fn give_app(&mut self, app: usize, message: Message) {
        if let Message::Sighting(number) = message {
            self.watch(number, Event::Arrived(app, number));
            let got = &mut self.apps[app].got;
            let number = number as usize;
            if got.len() <= number {
                got.resize(number + 1, 0);
            }
            got[number] = got[number].saturating_add(1);
        }
    }

    fn give_bridge(&mut self, topic: u32, message: Message) {
        if self.deaf_until.is_some_and(|until| until > self.now) {
            // What counts for a gap is when the broker passed it on: how far it is behind,
            // nobody knows.
            if let Message::Indicator(number, _) = message {
                self.indicators[number as usize].at = self.instant();
            }
            return;
        }
        self.deaf_until = None;
        let now = self.instant();
        let Some(bridge) = self.bridge.as_mut().filter(|bridge| bridge.hears(topic)) else {
            return;
        };
        let key = match message {
            Message::Sighting(number) => {
                if self.watched == Some(number) {
                    self.events
                        .push_back((self.at, self.now, Event::Echoed(number)));
                }
                bridge::echo_key(number)
            }
            Message::Foreign(number) => Some(u64::from(number) | 1 << 41),
            Message::Indicator(number, _) => {
                let indicator = &mut self.indicators[number as usize];
                indicator.was_delivered = true;
                if bridge.takes(topic, number) {
                    indicator.taken += 1;
                }
                return;
            }
        };
        bridge.warned_of_others += u32::from(bridge.outbox.echo(key, now).is_some());
    }
}
