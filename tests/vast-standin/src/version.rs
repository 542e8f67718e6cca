//! Releases of the engine and what differs between them.

use crate::query::Dialect;

/// A release: `2020.12.16`, later `v2.4.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    text: String,
    /// Year, month and day, or 10,000 plus the major version, minor and patch:
    /// in the order of the releases.
    order: (u32, u32, u32),
}

impl Version {
    /// Reads a release, with or without what a build adds after a dash.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, offset) = match text.strip_prefix('v') {
            Some(digits) => (digits, 10_000),
            None => (text, 0),
        };
        let numbers = digits.split('-').next()?;
        let mut parts = numbers.split('.').map(|part| part.parse::<u32>().ok());
        let mut next = || parts.next().flatten();
        let order = (next()?.checked_add(offset)?, next()?, next()?);
        parts.next().is_none().then(|| Self {
            text: text.to_string(),
            order,
        })
    }

    /// `export --low-priority`.
    pub fn has_low_priority(&self) -> bool {
        self.order >= (2021, 9, 0)
    }

    /// `export json --flatten`: the releases that print nested objects.
    pub fn has_flatten(&self) -> bool {
        self.order >= (2021, 1, 28)
    }

    /// The extractors of this release. `:timestamp` is documented for the
    /// releases after the measured ones; `#timestamp` ends with the dated ones.
    pub fn dialect(&self) -> Dialect {
        let since_three = self.order >= (10_003, 0, 0);
        let mut time_extractors = Vec::new();
        if self.order < (10_000, 0, 0) {
            time_extractors.push("#timestamp".to_string());
        }
        if self.order >= (2021, 2, 0) {
            time_extractors.push(":timestamp".to_string());
        }
        Dialect {
            address_extractor: if since_three { ":ip" } else { ":addr" }.to_string(),
            time_extractors,
        }
    }

    /// The key of the matched value in the sightings of `matcher start`.
    pub fn matcher_value_key(&self) -> &'static str {
        if self.order >= (2021, 4, 0) {
            "value"
        } else {
            "ioc"
        }
    }

    /// What `vast version` prints.
    pub fn report(&self) -> String {
        let build = if self.text.contains('-') {
            self.text.clone()
        } else {
            format!("{}-0-g1380a1b73", self.text)
        };
        format!("{{\n  \"VAST\": \"{build}\",\n  \"CAF\": \"0.17.6\"\n}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_an_order() {
        let version = |text| Version::parse(text).expect(text);
        assert!(!version("2020.12.16").has_flatten());
        assert!(version("2021.01.28").has_flatten());
        assert!(!version("2021.08.26").has_low_priority());
        assert!(version("2021.09.30-0-gabc").has_low_priority());
        assert!(version("v1.0.0").has_low_priority());
        assert_eq!(version("v2.4.0").dialect().address_extractor, ":addr");
        assert_eq!(version("v3.0.0").dialect().address_extractor, ":ip");
        assert_eq!(
            version("2021.01.28").dialect().time_extractors,
            ["#timestamp"]
        );
        assert!(version("v2.0.0").report().contains("\"v2.0.0-0-g"));
        for bad in [
            "",
            "v",
            "2021",
            "2021.1",
            "a.b.c",
            "1.2.3.4",
            "v4294967295.0.0",
        ] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }
}
