//! Prints the results of an export, with the faults that a test configures.

use std::fs::OpenOptions;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::cli::Export;
use crate::config::{Faults, Flood};
use crate::ending::Ending;
use crate::flatten::flatten;
use crate::output::Output;
use crate::query::Query;
use crate::session::Session;

/// What the flood of a query that matches nothing consists of.
const FLOOD_LINE: &[u8] = br#"{"ts": "2024-03-01T12:00:00.000000000", "uid": "flood"}"#;

/// Prints events as far as limits and faults allow.
pub struct Printer<'a> {
    session: &'a Session,
    /// The faults that apply to this query.
    faults: Option<&'a Faults>,
    output: Output,
    limit: Option<u64>,
    flatten: bool,
    hangs: bool,
    shipped: u64,
    /// The last line, kept back while only half of it may be printed.
    kept: Option<Vec<u8>>,
}

impl<'a> Printer<'a> {
    /// A printer for a query.
    ///
    /// # Errors
    /// When the query holds a value that is to be refused, or the output
    /// cannot be opened.
    pub fn new(session: &'a Session, export: &Export, query: &Query) -> Result<Self, Ending> {
        let output = Output::new(export.write.as_deref(), session.log.clone())?;
        let faults = applicable(&session.config.faults, query);
        let holds = |values: &[String]| holds_one(query, values);
        if faults.is_some_and(|faults| holds(&faults.refuse_values)) {
            session.shut_down()?;
            return Err(Ending::error("parse_error"));
        }
        let limit = match export.max_events {
            Some(0) if !session.config.zero_means_none => None,
            limit => limit,
        };
        Ok(Self {
            session,
            faults,
            output,
            limit,
            flatten: export.flatten,
            hangs: faults.is_some_and(|faults| holds(&faults.hang_on)),
            shipped: 0,
            kept: None,
        })
    }

    /// The output before the first event.
    ///
    /// # Errors
    /// How the call ends.
    pub fn begin(&mut self) -> Result<(), Ending> {
        let Some(faults) = self.faults else {
            return Ok(());
        };
        self.session.pause(faults.delay_seconds)?;
        if let Some(line) = &faults.bad_line {
            self.output.line(line.as_bytes())?;
        }
        while faults.flood == Some(Flood::OneLine) {
            self.output.piece(&[b'x'; 64 * 1024])?;
        }
        if faults.die_after_lines == Some(0) || faults.exit_zero_after_lines == Some(0) {
            return self.die_if_due(faults);
        }
        Ok(())
    }

    /// How many events were printed.
    pub fn shipped(&self) -> u64 {
        self.shipped
    }

    /// Prints an event; breaks when the limit is reached.
    ///
    /// # Errors
    /// How the call ends.
    pub fn event(&mut self, line: &[u8]) -> Result<ControlFlow<()>, Ending> {
        if self.limit == Some(self.shipped) {
            return Ok(ControlFlow::Break(()));
        }
        let flat = self.flatten.then(|| flatten(line)).flatten();
        let line = flat.as_deref().unwrap_or(line);
        self.shipped += 1;
        match self.faults {
            None => self.output.line(line)?,
            Some(faults) => self.faulty(faults, line)?,
        }
        Ok(match self.limit {
            Some(limit) if self.shipped >= limit => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
    }

    fn faulty(&mut self, faults: &Faults, line: &[u8]) -> Result<(), Ending> {
        if faults.delay_per_line_seconds > 0.0 {
            self.output.flush()?;
            self.session.pause(faults.delay_per_line_seconds)?;
        }
        if faults.half_line {
            if let Some(kept) = self.kept.replace(line.to_vec()) {
                self.output.line(&kept)?;
            }
            return Ok(());
        }
        self.output.line(line)?;
        self.die_if_due(faults)
    }

    fn die_if_due(&mut self, faults: &Faults) -> Result<(), Ending> {
        let due = |lines: Option<u64>| lines.is_some_and(|lines| self.shipped >= lines);
        let ending = if due(faults.exit_zero_after_lines) {
            Ending::silent(0)
        } else if due(faults.die_after_lines) {
            match faults.die_signal {
                Some(signal) => Ending::Signal(signal),
                None => Ending::silent(faults.die_exit.unwrap_or(1)),
            }
        } else {
            return Ok(());
        };
        self.output.flush()?;
        Err(ending)
    }

    /// Whether the events are to be printed again; `before` were printed before the last
    /// pass.
    ///
    /// # Errors
    /// How the call ends.
    pub fn again(&mut self, before: u64) -> Result<bool, Ending> {
        let floods = self.faults.and_then(|faults| faults.flood) == Some(Flood::Lines);
        let full = self.limit.is_some_and(|limit| self.shipped >= limit);
        if floods && !full && self.shipped == before {
            self.output.line(FLOOD_LINE)?;
        }
        Ok(floods && !full)
    }

    /// Hands everything to the reader.
    ///
    /// # Errors
    /// How the call ends.
    pub fn flush(&mut self) -> Result<(), Ending> {
        Ok(self.output.flush()?)
    }

    /// The output after the last event.
    ///
    /// # Errors
    /// How the call ends, where it does not end well.
    pub fn end(&mut self, candidates: u64, took: Duration) -> Result<(), Ending> {
        self.output.flush()?;
        if let Some(faults) = self.faults {
            self.end_badly(faults)?;
        }
        let shipped = self.shipped;
        match self.limit {
            Some(limit) if shipped >= limit => {
                crate::complain(&format!("json-writer reached limit of {limit} events"))
            }
            _ => crate::complain(&format!(
                "exporter processed {candidates} candidates in {:.2}ms and shipped {shipped} results",
                took.as_secs_f64() * 1000.0
            )),
        }
        self.session.shut_down()
    }

    fn end_badly(&mut self, faults: &Faults) -> Result<(), Ending> {
        if let Some(kept) = self.kept.take() {
            self.output.piece(&kept[..kept.len() / 2])?;
            return Err(Ending::silent(1));
        }
        if self.hangs {
            return Err(self.session.node.hang());
        }
        if faults.close_stdout_and_stay {
            let null = OpenOptions::new().write(true).open("/dev/null")?;
            rustix::stdio::dup2_stdout(&null).map_err(std::io::Error::from)?;
            return Err(self.session.node.hang());
        }
        let mut noise = faults.stderr_bytes;
        while noise > 0 {
            let length = noise.min(80);
            crate::complain_raw(&"#".repeat(length as usize - 1));
            noise -= length;
        }
        Ok(())
    }
}

/// The faults, if they apply to a query (and have not yet, where they happen
/// once).
fn applicable<'a>(faults: &'a Faults, query: &Query) -> Option<&'a Faults> {
    if !faults.only_values.is_empty() && !holds_one(query, &faults.only_values) {
        return None;
    }
    match &faults.once_file {
        Some(file) => OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(file)
            .is_ok()
            .then_some(faults),
        None => Some(faults),
    }
}

fn holds_one(query: &Query, values: &[String]) -> bool {
    if values.is_empty() {
        return false;
    }
    let iocs = query.iocs();
    values.iter().any(|value| iocs.contains(value))
}
