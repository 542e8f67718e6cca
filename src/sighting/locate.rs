//! Finds where in an event an indicator matched.

use std::net::IpAddr;

use crate::indicator::Indicator;
use crate::matching::{Fields, Matcher, Scratch, Slot};
use crate::observable::{Observable, address};
use crate::protocol::MatchedField;

/// The number of indicators that are kept prepared: sightings of few arrive together.
const MOST_PREPARED: usize = 64;

/// Finds an indicator's values in events.
#[derive(Debug, Default)]
pub(super) struct Locator {
    ready: Vec<(Vec<Observable>, Matcher)>,
    scratch: Scratch,
    slots: Vec<Slot>,
}

impl Locator {
    /// The first place where the event holds a value of the indicator; `None` if it has
    /// no value, or was not matched by its meaning.
    pub(super) fn first(&mut self, indicator: &Indicator, event: &str) -> Option<MatchedField> {
        self.look(indicator, event)?;
        let holding = self.scratch.holdings().next()?;
        Some(MatchedField {
            path: holding.path,
            value: holding.text.to_owned(),
        })
    }

    /// Whether the event holds addresses of the indicator, and this is true for all of
    /// them.
    pub(super) fn all_addresses(
        &mut self,
        indicator: &Indicator,
        event: &str,
        is: impl Fn(IpAddr) -> bool,
    ) -> bool {
        if self.look(indicator, event).is_none() {
            return false;
        }
        let mut addresses = self
            .scratch
            .holdings()
            .map(|one| address::read(one.text))
            .peekable();
        addresses.peek().is_some() && addresses.all(|address| address.is_some_and(&is))
    }

    fn look(&mut self, indicator: &Indicator, event: &str) -> Option<()> {
        let observables = &indicator.observables;
        if observables.is_empty() {
            return None;
        }
        let known = self
            .ready
            .iter()
            .position(|(known, _)| known == observables);
        let number = known.unwrap_or_else(|| {
            if self.ready.len() == MOST_PREPARED {
                self.ready.clear();
            }
            let mut matcher = Matcher::new(Fields::OfAnyName, true);
            for observable in observables {
                matcher.insert(observable);
            }
            self.ready.push((observables.clone(), matcher));
            self.ready.len() - 1
        });
        let (_, matcher) = &self.ready[number];
        matcher
            .matches(event, &mut self.scratch, &mut self.slots)
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicator::Protocol;

    fn indicator(values: &[&str]) -> Indicator {
        let value = |text: &&str| crate::observable::of_line(text).expect("a value");
        Indicator::new(
            "1".into(),
            Protocol::Legacy,
            values.iter().flat_map(value).collect(),
        )
    }

    const EVENT: &str = r#"{"event_type":"http","src_ip":"192.0.2.10","dest_ip":"198.51.100.7",
        "http":{"hostname":"EVIL.example","url":"/x"}}"#;

    #[test]
    fn a_value_is_found_with_its_path() {
        let mut locator = Locator::default();
        for _ in 0..2 {
            for (values, path, value) in [
                (&["evil.example"][..], "http.hostname", "EVIL.example"),
                (&["198.51.100.0/24"], "dest_ip", "198.51.100.7"),
                (&["203.0.113.1", "192.0.2.10"], "src_ip", "192.0.2.10"),
            ] {
                let matched = locator
                    .first(&indicator(values), EVENT)
                    .expect("it is there");
                assert_eq!((&*matched.path, &*matched.value), (path, value));
            }
        }
        assert_eq!(locator.first(&indicator(&["203.0.113.1"]), EVENT), None);
        assert_eq!(locator.first(&indicator(&[]), EVENT), None);
        assert_eq!(locator.first(&indicator(&["192.0.2.10"]), "no JSON"), None);
    }

    #[test]
    fn more_indicators_than_are_kept_ready_are_found_too() {
        let mut locator = Locator::default();
        for number in 0..3 * MOST_PREPARED {
            let own = format!("203.0.113.{}", number % 250);
            assert!(
                locator
                    .first(&indicator(&[&own, "192.0.2.10"]), EVENT)
                    .is_some()
            );
        }
    }

    #[test]
    fn all_addresses_of_a_network_are_asked_about() {
        let mut locator = Locator::default();
        let both = indicator(&["192.0.2.0/24", "198.51.100.0/24"]);
        let is_source = |address: IpAddr| address.to_string() == "192.0.2.10";
        assert!(!locator.all_addresses(&both, EVENT, is_source));
        assert!(locator.all_addresses(&indicator(&["192.0.2.0/24"]), EVENT, is_source));
        assert!(!locator.all_addresses(&indicator(&["evil.example"]), EVENT, |_| true));
        assert!(!locator.all_addresses(&indicator(&["203.0.113.0/24"]), EVENT, |_| true));
    }

    proptest::proptest! {
        /// An event is allowed if all its addresses in the network are allowed, and it has
        /// at least one.
        #[test]
        fn every_address_in_the_network_counts(
            addresses in proptest::collection::vec((0..4_u8, 0..6_u8), 1..6),
            allowed in 0..6_u8,
        ) {
            let text = |(net, host): &(u8, u8)| format!("192.0.{net}.{host}");
            let all: Vec<String> = addresses.iter().map(text).collect();
            let event = serde_json::json!({"src_ip": all[0], "ips": {"dest_ip": all[1..]}});
            let in_network = addresses.iter().filter(|(net, _)| *net == 2);
            let hosts: Vec<u8> = in_network.map(|(_, host)| *host).collect();
            let expected = !hosts.is_empty() && hosts.iter().all(|host| *host < allowed);
            let is_allowed = |address: IpAddr| match address {
                IpAddr::V4(address) => address.octets()[3] < allowed,
                IpAddr::V6(_) => false,
            };
            let found = Locator::default().all_addresses(
                &indicator(&["192.0.2.0/24"]),
                &event.to_string(),
                is_allowed,
            );
            proptest::prop_assert_eq!(found, expected, "{}", event);
        }
    }
}
