//! What a schedule came to.

/// The counts of one schedule, or the sum of those of many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub schedules: u64,
    pub steps: u64,
    pub deaths: u64,
    pub freezes: u64,
    pub cuts: u64,
    pub kills: u64,
    pub ends: u64,
    pub sightings: u64,
    pub sendings: u64,
    pub excused: u64,
    pub indicators: u64,
    pub mutes: u64,
    /// Times that the broker lost its list of subscriptions.
    pub forgotten: u64,
    /// Indicators that a broker dropped before its socket knew the prefix.
    pub dropped_early: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.deaths += other.deaths;
        self.freezes += other.freezes;
        self.cuts += other.cuts;
        self.kills += other.kills;
        self.ends += other.ends;
        self.sightings += other.sightings;
        self.sendings += other.sendings;
        self.excused += other.excused;
        self.indicators += other.indicators;
        self.mutes += other.mutes;
        self.forgotten += other.forgotten;
        self.dropped_early += other.dropped_early;
    }

    /// Panics where so many schedules hold no fault that they are no test.
    pub fn is_not_idle(&self) {
        let least = [self.deaths, self.freezes, self.cuts, self.kills, self.ends];
        let is_idle = least.iter().any(|count| *count < self.schedules / 2);
        assert!(self.schedules < 100 || !is_idle, "{self:?}");
        assert!(self.sightings > 10 * self.schedules, "{self:?}");
    }
}
