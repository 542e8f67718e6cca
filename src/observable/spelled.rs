//! Texts in canonical form that keep their original spelling.

use std::fmt;
use std::ops::Deref;

/// A text in canonical form, which is what it is compared by and what it dereferences to,
/// together with its original spelling if that differs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spelled {
    canonical: Box<str>,
    written: Option<Box<str>>,
}

impl Spelled {
    /// Makes one of a canonical form and the text it came from.
    pub fn new(canonical: String, written: &str) -> Self {
        let written = (canonical != written).then(|| written.into());
        let canonical = canonical.into_boxed_str();
        Spelled { canonical, written }
    }

    /// The canonical form.
    pub fn as_str(&self) -> &str {
        &self.canonical
    }

    /// The original spelling, refanged.
    pub fn as_written(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.canonical)
    }
}

impl Deref for Spelled {
    type Target = str;

    fn deref(&self) -> &str {
        &self.canonical
    }
}

/// A text whose spelling is canonical.
impl From<String> for Spelled {
    fn from(canonical: String) -> Self {
        Spelled {
            canonical: canonical.into_boxed_str(),
            written: None,
        }
    }
}

/// Likewise.
impl From<&str> for Spelled {
    fn from(canonical: &str) -> Self {
        canonical.to_owned().into()
    }
}

impl fmt::Display for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_there() {
        let spelled = Spelled::new("evil.example".to_owned(), "EVIL.example");
        assert_eq!(
            (&*spelled, spelled.as_written()),
            ("evil.example", "EVIL.example")
        );
        let plain = Spelled::new("evil.example".to_owned(), "evil.example");
        assert_eq!(plain, "evil.example".into());
        assert_eq!(plain.as_written(), plain.as_str());
    }
}
