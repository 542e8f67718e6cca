//! Texts in their canonical form that remember how they were written.

use std::fmt;
use std::ops::Deref;

/// A text in its canonical form, which is what it is compared by and what it stands for
/// as a `str`; and as it was written, where that is another text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spelled {
    canonical: Box<str>,
    written: Option<Box<str>>,
}

impl Spelled {
    /// A canonical form and what it was made of.
    pub fn new(canonical: String, written: &str) -> Self {
        let written = (canonical != written).then(|| written.into());
        let canonical = canonical.into_boxed_str();
        Spelled { canonical, written }
    }

    /// The canonical form.
    pub fn as_str(&self) -> &str {
        &self.canonical
    }

    /// As it was written, without what defanged it.
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

/// A text that is written in its canonical form.
impl From<String> for Spelled {
    fn from(canonical: String) -> Self {
        Spelled {
            canonical: canonical.into_boxed_str(),
            written: None,
        }
    }
}

/// The same.
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
