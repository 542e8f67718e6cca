//! What a look at something says, for `--check`.

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, but not as somebody might expect.
    Warning,
    /// A run would end, or do nothing.
    Bad,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a few words.
    pub subject: &'static str,
    /// How good it is.
    pub verdict: Verdict,
    /// What was seen; it may hold text from outside.
    pub detail: String,
}

impl Finding {
    /// As it should be.
    pub fn good(subject: &'static str, detail: impl Into<String>) -> Self {
        Self::new(subject, Verdict::Good, detail)
    }

    /// Worth a look.
    pub fn warning(subject: &'static str, detail: impl Into<String>) -> Self {
        Self::new(subject, Verdict::Warning, detail)
    }

    /// In the way of a run.
    pub fn bad(subject: &'static str, detail: impl Into<String>) -> Self {
        Self::new(subject, Verdict::Bad, detail)
    }

    fn new(subject: &'static str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Finding {
            subject,
            verdict,
            detail: detail.into(),
        }
    }
}
