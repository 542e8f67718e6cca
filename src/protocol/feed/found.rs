//! The findings of a feed reader, and their counts.

use std::collections::BTreeMap;

use super::Error;
use super::record::Record;
use crate::indicator::{Message, Rejection};

/// A finding.
#[derive(Debug)]
pub enum Found {
    /// An indicator, a withdrawn one, or one that cannot be searched for.
    Message(Message),
    /// Something that is not an indicator, and its line in the feed, from 1.
    Rejected(u64, Rejection),
}

/// The number of rejections that are stored with their reason.
const REASONS_KEPT: usize = 3;

/// The most kinds of left-out things that are distinguished.
const LEFT_OUT: usize = 50;

/// After this many rejections without a usable value, the input is not a feed.
const HOPELESS: u64 = 1000;

/// What a feed was, and what was found in it.
#[derive(Debug, Default)]
pub struct Report {
    /// The format, and what is read from it; human-readable.
    pub format: String,
    /// Its first bytes, for a message.
    pub beginning: String,
    /// Indicators that were understood.
    pub usable: u64,
    /// Indicators that this program cannot search for.
    pub unsupported: u64,
    /// Values that are not indicators.
    pub rejected: u64,
    /// The first rejections: line and reason.
    pub rejections: Vec<(u64, String)>,
    /// Valid things that are not indicators, by kind.
    pub left_out: BTreeMap<String, u64>,
    /// Whether it ends inside a value, so that more was to come.
    pub is_cut_off: bool,
    /// The number of URLs that could as well be rows of a table.
    pub doubtful: u64,
    /// The first of them: line and text.
    pub first_doubtful: Option<(u64, String)>,
}

impl Report {
    /// Whether the feed has content, but nothing usable.
    pub fn is_useless(&self) -> bool {
        self.usable == 0 && self.unsupported + self.rejected + self.left_out_total() > 0
    }

    /// What is doubtful in a list, in words; `None` if nothing is.
    pub fn doubt(&self) -> Option<String> {
        let (line, text) = self.first_doubtful.as_ref()?;
        Some(format!(
            "{} URL(s) with a delimiter in them are searched as they are, but may be rows of a \
             table (line {line}: {text:?}): --indicators-format list or csv says which",
            self.doubtful
        ))
    }

    /// Whether the feed is empty.
    pub fn is_empty(&self) -> bool {
        self.usable + self.unsupported + self.rejected + self.left_out_total() == 0
    }

    fn left_out_total(&self) -> u64 {
        self.left_out.values().sum()
    }

    /// The counts in words: `12 usable, 1 rejected; left out: identity 1`.
    pub fn counts(&self) -> String {
        let mut text = format!("{} usable", self.usable);
        for (count, what) in [
            (self.rejected, "rejected"),
            (self.unsupported, "unsupported"),
        ] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        if !self.left_out.is_empty() {
            let each = self.left_out.iter();
            let each: Vec<String> = each
                .map(|(what, count)| format!("{what} {count}"))
                .collect();
            text += &format!("; left out: {}", each.join(", "));
        }
        text
    }
}

/// Collects the findings of a reader.
pub struct Out<'f> {
    each: &'f mut dyn FnMut(Found),
    report: Report,
}

impl<'f> Out<'f> {
    /// Passes each finding to this function.
    pub fn new(each: &'f mut dyn FnMut(Found)) -> Self {
        Out {
            each,
            report: Report::default(),
        }
    }

    /// The final report.
    pub fn report(self) -> Report {
        self.report
    }

    /// Sets the format and what is read from it.
    pub fn set_format(&mut self, format: impl Into<String>) {
        self.report.format = format.into();
    }

    /// Records the first bytes.
    pub fn set_beginning(&mut self, head: &[u8]) {
        self.report.beginning = super::shown(head);
    }

    /// Notes that the feed ends inside a value.
    pub fn cut_off(&mut self) {
        self.report.is_cut_off = true;
    }

    /// Notes a URL that could as well be a row of a table.
    pub fn doubtful(&mut self, line: u64, text: &str) {
        self.report.doubtful += 1;
        let shown = || (line, text.chars().take(200).collect());
        self.report.first_doubtful.get_or_insert_with(shown);
    }

    /// Adds a value.
    pub fn record(&mut self, record: Record<'_>) {
        let line = record.line;
        self.message(line, record.into_message());
    }

    /// Adds the result of reading an object.
    pub fn message(&mut self, line: u64, message: Result<Message, Rejection>) {
        match message {
            Ok(message) => {
                match &message {
                    Message::Unsupported { .. } => self.report.unsupported += 1,
                    Message::Match { .. } | Message::Withdraw(_) => self.report.usable += 1,
                }
                (self.each)(Found::Message(message));
            }
            Err(rejection) => self.rejected(line, rejection),
        }
    }

    /// Adds a rejection.
    pub fn rejected(&mut self, line: u64, rejection: Rejection) {
        self.report.rejected += 1;
        if self.report.rejections.len() < REASONS_KEPT {
            self.report
                .rejections
                .push((line, rejection.reason.clone()));
        }
        (self.each)(Found::Rejected(line, rejection));
    }

    /// Counts a valid thing that is not searched for.
    pub fn left_out(&mut self, what: &str) {
        let left_out = &mut self.report.left_out;
        let is_known = left_out.contains_key(what) || left_out.len() < LEFT_OUT;
        let what: String = if is_known {
            what.chars().take(60).collect()
        } else {
            "others".to_owned()
        };
        *left_out.entry(what).or_default() += 1;
    }

    /// Checks whether it makes sense to continue.
    ///
    /// # Errors
    /// There were so many rejections, and nothing usable, that the input is not a feed,
    /// unless its format `is_given`.
    pub fn check(&self, is_given: bool) -> Result<(), Error> {
        let report = &self.report;
        let understood = report.usable + report.unsupported + report.left_out_total();
        if understood > 0 || report.rejected < HOPELESS || is_given {
            return Ok(());
        }
        let (line, reason) = &report.rejections[0];
        let why =
            format!("of its first {HOPELESS} lines none is an indicator; line {line}: {reason}");
        Err(Error::NoFeed(why))
    }
}
