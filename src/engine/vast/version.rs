//! The version of `vast`, and what its command line supports.

use std::fmt;

/// The version of a `vast` program, and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VastVersion {
    text: String,
    /// Releases before 2022 count years (2021.9.30), later ones do not (2.0.0).
    order: Option<(Era, [u32; 3])>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Era {
    Calendar,
    Semantic,
}

impl VastVersion {
    /// Reads the output of `vast version`: `{"VAST": "2020.12.16-0-g1380a1b73", …}` or
    /// `{"VAST": "v2.0.0-…"}`. `None` if it has no version.
    pub fn read(output: &[u8]) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_slice(output).ok()?;
        let text = value.get("VAST")?.as_str()?;
        Some(Self::parse(text))
    }

    /// The assumption for a program that does not report its version.
    pub fn unknown() -> Self {
        VastVersion {
            text: "of unknown version".to_owned(),
            order: None,
        }
    }

    fn parse(text: &str) -> Self {
        let digits = text.strip_prefix('v').unwrap_or(text);
        let digits = digits.split(['-', '+']).next().unwrap_or_default();
        let numbers: Option<Vec<u32>> = digits.split('.').map(|part| part.parse().ok()).collect();
        let order = match numbers.as_deref() {
            Some(&[major, minor, patch]) if major >= 2000 => {
                Some((Era::Calendar, [major, minor, patch]))
            }
            Some(&[major, minor, patch]) => Some((Era::Semantic, [major, minor, patch])),
            _ => None,
        };
        VastVersion {
            text: text.to_owned(),
            order,
        }
    }

    /// `export --low-priority`: from 2021.09 on. `None` if the version does not tell.
    pub fn has_low_priority(&self) -> Option<bool> {
        self.order
            .map(|order| order >= (Era::Calendar, [2021, 9, 0]))
    }

    /// The extractors for the time of an event, the likelier first: `#timestamp`
    /// parses on both builds of the calendar (measured), `:timestamp` is that of
    /// later releases (documented).
    pub fn time_extractors(&self) -> [&'static str; 2] {
        match self.order {
            Some((Era::Semantic, _)) => [":timestamp", "#timestamp"],
            _ => ["#timestamp", ":timestamp"],
        }
    }

    /// Whether ports have their own type, which does not compare with numbers.
    pub fn has_port_type(&self) -> bool {
        self.order
            .is_some_and(|order| order < (Era::Calendar, [2020, 12, 0]))
    }

    /// The extractor for fields of type address; the type's name changed in 3.0.
    pub fn address_extractor(&self) -> &'static str {
        match self.order {
            Some(order) if order >= (Era::Semantic, [3, 0, 0]) => ":ip",
            _ => ":addr",
        }
    }
}

impl fmt::Display for VastVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", crate::observe::logging::printable(&self.text, 80))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_eras_are_ordered() {
        for (text, low_priority, extractor) in [
            ("2020.12.16-0-g1380a1b73", Some(false), ":addr"),
            ("2021.08.26", Some(false), ":addr"),
            ("2021.09.30-0-gabc", Some(true), ":addr"),
            ("v1.0.0", Some(true), ":addr"),
            ("v2.4.1-12-g0123", Some(true), ":addr"),
            ("v3.0.0", Some(true), ":ip"),
            ("v3.1.0+dirty", Some(true), ":ip"),
            ("unknown", None, ":addr"),
            ("4294967296.1.1", None, ":addr"),
        ] {
            let output = serde_json::json!({"VAST": text, "CAF": "0.17.6"}).to_string();
            let version = VastVersion::read(output.as_bytes()).expect("a version");
            assert_eq!(version.has_low_priority(), low_priority, "{text}");
            assert_eq!(version.address_extractor(), extractor, "{text}");
        }
        let version = |text: &str| VastVersion::parse(text).has_port_type();
        assert!(version("2020.11.30") && !version("2020.12.16") && !version("v1.0.0"));
        assert!(!VastVersion::unknown().has_port_type());
        assert_eq!(VastVersion::read(b"{}"), None);
        assert_eq!(VastVersion::read(b"vast 1.0"), None);
    }
}
