//! The findings of `--check`.

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Good,
    /// It works, but may be unexpected.
    Warning,
    /// A run would fail, or do nothing.
    Bad,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked, in a few words.
    pub subject: &'static str,
    /// The severity.
    pub severity: Severity,
    /// The result; may contain external text.
    pub detail: String,
}

impl Finding {
    /// As it should be.
    pub fn good(subject: &'static str, detail: impl Into<String>) -> Self {
        Self::new(subject, Severity::Good, detail)
    }

    /// Makes a warning.
    pub fn warning(subject: &'static str, detail: impl Into<String>) -> Self {
        Self::new(subject, Severity::Warning, detail)
    }

    /// Makes a finding that prevents a run.
    pub fn bad(subject: &'static str, detail: impl Into<String>) -> Self {
        Self::new(subject, Severity::Bad, detail)
    }

    fn new(subject: &'static str, severity: Severity, detail: impl Into<String>) -> Self {
        Finding {
            subject,
            severity,
            detail: detail.into(),
        }
    }
}
