//! What is found in a feed, on its way out, and how much of it.

use std::collections::BTreeMap;

use super::Error;
use super::record::Record;
use crate::indicator::{Message, Rejection};

/// What a reader finds.
#[derive(Debug)]
pub enum Found {
    /// An indicator, one that is withdrawn, or one that cannot be asked for.
    Message(Message),
    /// What is no indicator, and on which line of the feed, from 1.
    Rejected(u64, Rejection),
}

/// So many rejections are kept with their reason.
const KEPT: usize = 3;

/// So many different things that are left out are told apart.
const LEFT_OUT: usize = 50;

/// After so many that are nothing, with nothing understood, it is no feed.
const HOPELESS: u64 = 1000;

/// What a feed was and what came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// The form, and what is taken of it, for a person.
    pub form: String,
    /// Its first bytes, for a message.
    pub beginning: String,
    /// Indicators that were understood.
    pub usable: u64,
    /// Those that this program cannot look for.
    pub unsupported: u64,
    /// What is none.
    pub rejected: u64,
    /// The first of them: the line, and why.
    pub rejections: Vec<(u64, String)>,
    /// What belongs there and is no indicator, by what it is.
    pub left_out: BTreeMap<String, u64>,
}

impl Report {
    /// Whether it holds something, of which nothing can be used.
    pub fn is_useless(&self) -> bool {
        self.usable == 0 && self.unsupported + self.rejected + self.left_out_total() > 0
    }

    /// Whether there is nothing in it at all.
    pub fn is_empty(&self) -> bool {
        self.usable + self.unsupported + self.rejected + self.left_out_total() == 0
    }

    fn left_out_total(&self) -> u64 {
        self.left_out.values().sum()
    }

    /// What came of it in words: `12 usable, 1 rejected; left out: identity 1`.
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

/// Where readers put what they find.
pub struct Out<'f> {
    each: &'f mut dyn FnMut(Found),
    report: Report,
}

impl<'f> Out<'f> {
    /// That shows each to this function.
    pub fn new(each: &'f mut dyn FnMut(Found)) -> Self {
        Out {
            each,
            report: Report::default(),
        }
    }

    /// What came of it.
    pub fn report(self) -> Report {
        self.report
    }

    /// Says what the feed is, and what is taken of it.
    pub fn set_form(&mut self, form: impl Into<String>) {
        self.report.form = form.into();
    }

    /// Notes the first bytes.
    pub fn set_beginning(&mut self, head: &[u8]) {
        self.report.beginning = super::shown(head);
    }

    /// A value that a feed names.
    pub fn record(&mut self, record: Record<'_>) {
        let line = record.line;
        self.message(line, record.into_message());
    }

    /// What was read of an object of its own.
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

    /// What is no indicator.
    pub fn rejected(&mut self, line: u64, rejection: Rejection) {
        self.report.rejected += 1;
        if self.report.rejections.len() < KEPT {
            self.report
                .rejections
                .push((line, rejection.reason.clone()));
        }
        (self.each)(Found::Rejected(line, rejection));
    }

    /// What belongs to a feed and is not looked for.
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

    /// Whether it is worth going on.
    ///
    /// # Errors
    /// So much of it was nothing, and nothing something, that it is no feed, unless its
    /// form `is_given`.
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
