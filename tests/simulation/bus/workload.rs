//! What the bridge and the other apps do: sightings and indicators.

use crate::bridge;
use crate::broker::Message;

use super::{Event, Indicator, Sighting, World};

impl World {
    /// A worker finds a sighting.
    pub(super) fn find(&mut self) {
        let now = self.instant();
        let room = self.room();
        let Some(bridge) = &mut self.bridge else {
            return;
        };
        if bridge.stopped_at.is_some() || !bridge.outbox.has_room() {
            return;
        }
        let number = u32::try_from(self.sightings.len()).expect("few");
        self.sightings.push(Sighting::default());
        if bridge.sends_at_once(number, now, room) {
            self.put_on_wire(&[number]);
        } else {
            let pushed = bridge.outbox.push(vec![bridge::frame(number)]);
            assert_eq!(pushed.ok(), Some(0), "the disk is well");
        }
    }

    /// Another app publishes an indicator.
    pub(super) fn publish(&mut self) {
        if !self.broker.answers() {
            return;
        }
        let session = self.bridge.as_ref();
        let is_excused = session
            .is_none_or(|bridge| bridge.subscribed_at.is_none() || bridge.stopped_at.is_some());
        if self.random.one_in(8) && !self.indicators.is_empty() {
            let number = self.random.below(self.indicators.len());
            let again = &mut self.indicators[number];
            again.published += u32::from(!is_excused);
            again.was_repeated = true;
            let number = u32::try_from(number).expect("few");
            self.broker.take(Message::Indicator(number, false));
            self.note(Event::Published(number));
            return;
        }
        let number = u32::try_from(self.indicators.len()).expect("few");
        self.indicators.push(Indicator {
            at: self.instant(),
            was_delivered: false,
            published: 1,
            was_repeated: false,
            taken: 0,
            is_excused,
        });
        self.broker.take(Message::Indicator(number, false));
        self.note(Event::Published(number));
    }

    pub(super) fn foreign_burst(&mut self) {
        if !self.broker.answers() {
            return;
        }
        let count = [5, 200, 3_000][self.random.below(3)];
        for _ in 0..count {
            self.foreign += 1;
            self.broker.take(Message::Foreign(self.foreign));
        }
        self.note(Event::ForeignBurst(count));
    }
}
