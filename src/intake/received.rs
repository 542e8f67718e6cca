//! What a run takes in: the exit status is decided from these numbers, among others. The
//! metrics count the same, and only show it.

use crate::indicator::Indicator;
use crate::observe::metrics::Metrics;

/// What arrived from the bus, or in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Indicators to match.
    pub new: u64,
    /// Indicators that were known already.
    pub repeated: u64,
    /// Indicators that are withdrawn.
    pub withdrawn: u64,
    /// New ones that are allowed, and not searched.
    pub allowed: u64,
    /// Files of indicators that could not be used.
    pub files_failed: u64,
    /// Whether some of a file were not read.
    pub is_unread: bool,
}

impl Received {
    /// One more indicator is to be matched.
    pub fn count_new(&mut self, indicator: &Indicator, metrics: &Metrics) {
        self.new += 1;
        metrics.indicators_received.add(1);
        metrics.kinds.count(indicator.kind());
        metrics.last_indicator.now();
    }

    /// One more is known already.
    pub fn count_repeated(&mut self, metrics: &Metrics) {
        self.repeated += 1;
        metrics.indicators_repeated.add(1);
    }

    /// One more is withdrawn.
    pub fn count_withdrawn(&mut self, metrics: &Metrics) {
        self.withdrawn += 1;
        metrics.indicators_withdrawn.add(1);
    }

    /// One of the new ones is allowed. The metrics have counted it where it was left out.
    pub fn count_allowed(&mut self) {
        self.allowed += 1;
    }

    /// One more file cannot be used.
    pub fn count_failed_file(&mut self, metrics: &Metrics) {
        self.files_failed += 1;
        metrics.files_failed.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::Protocol;
    use crate::observable::Observable;

    #[test]
    fn each_number_counts_by_itself_and_the_metrics_show_it() {
        let (mut received, metrics) = (Received::default(), Metrics::default());
        let values = vec![Observable::domain("a.example")];
        let indicator = Indicator::new("1".into(), Protocol::Legacy, values);
        received.count_new(&indicator, &metrics);
        (0..2).for_each(|_| received.count_repeated(&metrics));
        (0..3).for_each(|_| received.count_withdrawn(&metrics));
        received.count_allowed();
        (0..4).for_each(|_| received.count_failed_file(&metrics));
        let expected = Received {
            new: 1,
            repeated: 2,
            withdrawn: 3,
            allowed: 1,
            files_failed: 4,
            is_unread: false,
        };
        assert_eq!(received, expected);
        let shown = [
            &metrics.indicators_received,
            &metrics.indicators_repeated,
            &metrics.indicators_withdrawn,
            &metrics.files_failed,
        ];
        assert_eq!(shown.map(|number| number.get()), [1, 2, 3, 4]);
        assert_eq!(metrics.kinds.get().get("domain"), Some(&1));
    }
}
