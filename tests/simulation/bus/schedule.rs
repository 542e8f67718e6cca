//! The steps of a schedule, and its end.

use std::time::Duration;

use super::{Event, Plan, TICK, World};

/// After this time, a connection to a stalled broker is given up.
const GIVEN_UP: Duration = Duration::from_secs(65);

/// How long everything may take to recover at the end.
const LONGEST_HEALING: Duration = Duration::from_secs(1_200);

impl World {
    pub(super) fn run(&mut self, steps: usize) -> Result<(), String> {
        for step in 0..steps {
            self.at = step;
            self.act();
            let time = match self.random.below(40) {
                0 => self.random.below(40_000),
                1 | 2 => self.random.below(12_000),
                3..=9 => self.random.below(1_500),
                _ => self.random.below(100),
            };
            self.pass(Duration::from_millis(time as u64))?;
            if self.inside() == 0 {
                self.none_inside_at = self.now;
            }
            self.check()?;
        }
        self.heal()?;
        self.finish()
    }

    /// One thing that happens.
    fn act(&mut self) {
        let faults = match self.plan {
            Plan {
                is_healthy: true, ..
            } => 0,
            Plan { forgets: true, .. } => 13,
            _ => 12,
        };
        match self.random.below(20 + faults) {
            0..=9 => {
                let count = 1 + self.random.below(self.plan.burst);
                self.note(Event::Found(self.sightings.len(), count));
                (0..count).for_each(|_| self.find());
            }
            10..=13 => self.publish(),
            14 | 15 => self.foreign_burst(),
            16 => {
                let pace = [100, 600, 1_700, 5_500][self.random.below(4)];
                self.broker.pace = pace;
                self.paces.push((self.now, pace));
                self.note(Event::Pace(pace));
            }
            17..=19 => {}
            fault => self.fail(fault - 20),
        }
    }

    /// Time passes.
    fn pass(&mut self, time: Duration) -> Result<(), String> {
        let mut left = time;
        loop {
            let tick = left.min(TICK);
            self.tick(tick);
            self.check_end()?;
            left -= tick;
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    pub(super) fn tick(&mut self, tick: Duration) {
        self.now += tick;
        self.wall += tick;
        if self.broker.is_frozen {
            self.ended_at = self.ended_at.map(|at| at + tick);
        }
        if self.frozen_at.is_some_and(|at| self.now >= at + GIVEN_UP) {
            if self.is_wired {
                self.lose_wire();
                self.failures += 1;
            }
            if self.deaf_until.is_none() {
                self.was_cut = true;
                self.failures += 1;
            }
            self.deaf_until = Some(self.now + TICK);
        }
        self.run_apps();
        self.run_wire();
        self.run_broker(tick);
        self.run_session();
        self.send();
        self.run_wire();
        self.run_end();
    }

    /// Everything is well from now on, until nothing is left to do.
    fn heal(&mut self) -> Result<(), String> {
        self.at += 1;
        self.note(Event::Healed);
        self.revive_broker();
        self.revive_broker();
        self.broker.is_mute = false;
        self.broker.late = Duration::ZERO;
        self.broker.pace = self.broker.pace.max(600);
        self.paces.push((self.now, self.broker.pace));
        while self
            .bridge
            .as_ref()
            .is_some_and(|one| one.stopped_at.is_some())
        {
            self.tick(TICK);
            self.check_end()?;
        }
        if self.bridge.is_none() {
            self.start_bridge();
        }
        let began = self.now;
        let mut is_well = 0;
        while is_well < 40 {
            self.tick(TICK);
            is_well = if self.is_well() { is_well + 1 } else { 0 };
            if self.now - began > LONGEST_HEALING {
                return Err(format!("it does not recover: {}", self.ills()));
            }
        }
        self.check()?;
        self.check_arrivals()
    }

    fn is_well(&self) -> bool {
        let Some(bridge) = &self.bridge else {
            return false;
        };
        self.broker.is_idle()
            && self.wire.is_empty()
            && bridge.outbox.is_empty()
            // Subscribed again, which is when a gap is reported.
            && bridge.session.is_serving()
            && self.apps.iter().all(|app| self.broker.knows(app.topic))
    }

    fn ills(&self) -> String {
        let Some(bridge) = &self.bridge else {
            return "no bridge".to_owned();
        };
        format!(
            "broker idle {}, {} on the wire, outbox empty {}, subscribed {}, {:?}",
            self.broker.is_idle(),
            self.wire.len(),
            bridge.outbox.is_empty(),
            bridge.session.is_serving(),
            bridge.session
        )
    }

    /// The bridge gets the signal to end, with a broker that works.
    fn finish(&mut self) -> Result<(), String> {
        self.at += 1;
        self.stop_bridge();
        while self.bridge.is_some() {
            self.tick(Duration::from_millis(100));
            self.check_end()?;
        }
        self.check_nothing_is_left()
    }
}
