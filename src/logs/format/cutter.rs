//! Cuts a log into blocks of lines, each with the state to read its events.

use std::io::{self, Read};

use super::json_array::Flatten;
use super::zeek_tsv;
use super::{BEGINNING, Detected, LineParser, LogFormat, detect};
use crate::logs::lines::{AtEnd, Block, Fill, Lines};

/// The bytes of the beginning that are kept for messages. Most of them may be blanks.
const BEGINNING_SHOWN: usize = 1024;

/// The bytes that were read to detect the format. They are the first to be cut.
#[derive(Debug, Default)]
struct Beginning {
    bytes: Vec<u8>,
    at: usize,
}

impl Beginning {
    /// Removes a byte order mark: a header is only one at the start of its line.
    fn drop_mark(&mut self) {
        let mark = b"\xef\xbb\xbf";
        let start = self.bytes.iter().position(|byte| *byte == b'#');
        let start = start.unwrap_or_default();
        if self.bytes[..start].ends_with(mark) {
            self.bytes.drain(start - mark.len()..start);
        }
    }
}

/// The result of a call.
#[derive(Debug)]
pub enum Cut {
    /// A block of whole lines, and how to read them.
    Block(LineParser),
    /// No whole line is left before the end.
    Nothing,
    /// The log cannot be read, for this reason.
    Unreadable(&'static str),
}

/// The state between two blocks of one log. A log is read from its start; if only its end
/// is needed, the blocks before it are discarded.
#[derive(Debug)]
pub struct Cutter {
    format: Option<LogFormat>,
    beginning: Beginning,
    begins: Option<Vec<u8>>,
    /// Whether `begins` is complete.
    has_begun: bool,
    flatten: Option<Flatten>,
    parser: LineParser,
    lines: Lines,
    /// The number of the first line of the next block, from 1, if known.
    next_line: Option<u64>,
    /// The number of the first line of the last block.
    first_line: Option<u64>,
}

impl Default for Cutter {
    fn default() -> Self {
        Cutter {
            format: None,
            beginning: Beginning::default(),
            begins: None,
            has_begun: false,
            flatten: None,
            parser: LineParser::default(),
            lines: Lines::default(),
            next_line: Some(1),
            first_line: None,
        }
    }
}

impl Cutter {
    /// Reads the rest of a log with a known format, from the start of a line.
    pub fn behind(format: LogFormat) -> Self {
        let mut cutter = Cutter::default();
        cutter.begin(format);
        cutter.next_line = None;
        cutter
    }

    fn begin(&mut self, format: LogFormat) {
        self.format = Some(format);
        self.flatten = format.flatten();
        if self.flatten.is_some() {
            // The lines that are cut are not those of the file.
            self.next_line = None;
        }
        self.parser = format.parser();
    }

    /// The format, once it is known.
    pub fn format(&self) -> Option<LogFormat> {
        self.format
    }

    /// The beginning of the log. It is returned once, with the first block or at the end.
    pub fn take_beginning(&mut self) -> Option<Vec<u8>> {
        self.begins.take_if(|_| self.has_begun)
    }

    /// The number of the first line of the last block, from 1. It is unknown if the log is
    /// not read from its start, or if its lines are not those of the file.
    pub fn first_line(&self) -> Option<u64> {
        self.first_line
    }

    /// The number of lines that were too long since the last call.
    pub fn take_too_long(&mut self) -> u64 {
        self.lines.take_too_long()
    }

    /// Reads the next block into `block`, replacing its content.
    ///
    /// # Errors
    /// The reader fails. The data read so far is kept for the next call.
    pub fn next(
        &mut self,
        reader: &mut impl Read,
        block: &mut Block,
        fill: Fill,
        at_end: AtEnd,
    ) -> io::Result<Cut> {
        if self.format.is_none() {
            match self.detect(reader, at_end)? {
                Detected::Format(format) => {
                    if format == LogFormat::Zeek {
                        self.beginning.drop_mark();
                    }
                    let shown = self.beginning.bytes.len().min(BEGINNING_SHOWN);
                    self.begins = Some(self.beginning.bytes[..shown].to_vec());
                    self.begin(format);
                }
                Detected::Unreadable(reason) => return Ok(Cut::Unreadable(reason)),
                Detected::More => return Ok(Cut::Nothing),
            }
        }
        let mut whole = Whole {
            beginning: &mut self.beginning,
            reader,
        };
        let more = match &mut self.flatten {
            Some(flatten) => {
                let mut lines = flatten.over(&mut whole, at_end);
                self.lines.next(&mut lines, block, fill, at_end)?
            }
            None => self.lines.next(&mut whole, block, fill, at_end)?,
        };
        if !more {
            self.has_begun |= at_end == AtEnd::Finish;
            return Ok(Cut::Nothing);
        }
        self.show_beginning(block.bytes());
        let mut lines = LinesOfBlock::of(block.bytes());
        let mut header = None;
        if self.is_by_line() {
            header = zeek_tsv::header_in(block.bytes());
            let is_first = |at: &usize| header.is_none_or(|header| *at < header);
            if let Some(at) = lines.lone_bracket.filter(is_first) {
                if self.flatten_from(block, at) {
                    if at == 0 {
                        return self.next(reader, block, fill, at_end);
                    }
                    header = None;
                    lines = LinesOfBlock::of(block.bytes());
                }
            } else if let Some(at) = header.filter(|at| *at > 0) {
                // However the log is divided, what is before the header is no row below it.
                if self.cut_off(block, at) {
                    header = None;
                    lines = LinesOfBlock::of(block.bytes());
                }
            }
        }
        self.count_lines(lines.count);
        Ok(Cut::Block(
            self.parser.next(block.bytes(), header.is_some()),
        ))
    }

    /// Completes what is shown of the beginning with the first block: the first read may be short.
    fn show_beginning(&mut self, block: &[u8]) {
        if let Some(begins) = self.begins.as_mut().filter(|_| !self.has_begun) {
            if begins.len() < block.len().min(BEGINNING_SHOWN) {
                *begins = block[..block.len().min(BEGINNING_SHOWN)].to_vec();
            }
        }
        self.has_begun = true;
    }

    /// Whether each line is read as an object so far.
    fn is_by_line(&self) -> bool {
        self.flatten.is_none() && matches!(self.parser, LineParser::Json)
    }

    /// Reads the log as one of arrays and objects over several lines, from a place in the last block
    /// on; `false` if that is not possible.
    fn flatten_from(&mut self, block: &mut Block, at: usize) -> bool {
        let is_cut = self.cut_off(block, at);
        if is_cut {
            self.flatten = Some(Flatten::default());
        }
        is_cut
    }

    /// Ends the last block at a place in it, so that the rest is read again; `false` if that is not
    /// possible.
    fn cut_off(&mut self, block: &mut Block, at: usize) -> bool {
        let Some(carry) = self.lines.take_carry() else {
            return false;
        };
        let mut bytes = block.cut_off(at);
        bytes.extend(carry);
        bytes.extend_from_slice(&self.beginning.bytes[self.beginning.at..]);
        self.beginning = Beginning { bytes, at: 0 };
        true
    }

    fn count_lines(&mut self, count: u64) {
        self.first_line = self.next_line;
        if self.flatten.is_some() {
            // The lines from here on are not those of the file.
            self.next_line = None;
        }
        if let Some(next) = &mut self.next_line {
            *next += count + self.lines.too_long();
        }
    }

    fn detect(&mut self, reader: &mut impl Read, at_end: AtEnd) -> io::Result<Detected> {
        let bytes = &mut self.beginning.bytes;
        loop {
            let known = bytes.len();
            let detected = detect(bytes, false);
            if detected != Detected::More {
                return Ok(detected);
            }
            bytes.resize(BEGINNING, 0);
            let read = reader.read(&mut bytes[known..]);
            bytes.truncate(known + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) if at_end == AtEnd::Finish => return Ok(detect(bytes, true)),
                Ok(0) => return Ok(Detected::More),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// What one pass over the lines of a block shows.
struct LinesOfBlock {
    count: u64,
    /// Where the first line begins that is only an opening bracket.
    lone_bracket: Option<usize>,
}

impl LinesOfBlock {
    fn of(block: &[u8]) -> Self {
        let (mut count, mut start, mut lone_bracket) = (0, 0, None);
        for end in memchr::memchr_iter(b'\n', block) {
            let is_lone = || matches!(&block[start..end], b"{" | b"[" | b"{\r" | b"[\r");
            if end - start <= 2 && lone_bracket.is_none() && is_lone() {
                lone_bracket = Some(start);
            }
            (count, start) = (count + 1, end + 1);
        }
        LinesOfBlock {
            count,
            lone_bracket,
        }
    }
}

/// The beginning of a log, followed by the rest.
struct Whole<'a, R> {
    beginning: &'a mut Beginning,
    reader: &'a mut R,
}

impl<R: Read> Read for Whole<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Beginning { bytes, at } = &mut *self.beginning;
        if bytes.is_empty() {
            return self.reader.read(buffer);
        }
        let count = buffer.len().min(bytes.len() - *at);
        buffer[..count].copy_from_slice(&bytes[*at..*at + count]);
        *at += count;
        if *at == bytes.len() {
            *self.beginning = Beginning::default();
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{beginnings, text_of};
    use super::*;
    use crate::logs::lines::tests::Pieces;

    fn read(text: &[u8]) -> (Option<LogFormat>, Vec<String>) {
        read_in_pieces(Pieces(text, Vec::new()))
    }

    fn read_in_pieces(mut reader: Pieces<'_>) -> (Option<LogFormat>, Vec<String>) {
        let (mut cutter, mut block) = (Cutter::default(), Block::default());
        let mut events = Vec::new();
        while let Cut::Block(mut parser) = cutter
            .next(&mut reader, &mut block, Fill::Eager, AtEnd::Finish)
            .expect("memory does not fail")
        {
            parser.each(block.bytes(), |event| events.push(text_of(event)));
        }
        (cutter.format(), events)
    }

    #[test]
    fn the_events_of_every_form_are_the_same() {
        let events = ["{\"a\":\"x\",\"n\":1}", "{\"a\":\"y\"}"];
        let zeek = "#separator \\x09\n#fields\ta\tn\n#types\tstring\tcount\nx\t1\n\
                    #close\n\n#separator \\x09\n#fields\ta\n#types\tstring\ny\n";
        for text in [
            events.join("\n"),
            format!("[{}]", events.join(",")),
            format!("\0\0\u{feff}[\n{}\n]\n", events.join(",\n")),
            zeek.to_owned(),
        ] {
            assert_eq!(read(text.as_bytes()).1, events, "{text}");
        }
    }

    #[test]
    fn what_is_before_a_header_is_read_alike_however_the_log_is_divided() {
        let text = b"x\n#empty_field|E\n{\"a\":1}\n#fields|b\n#types|string\nE\n#separator |\n#fields|c\nz\n";
        let whole = read(text).1;
        assert_eq!(whole[..2], ["x", "#empty_field|E"]);
        assert_eq!(whole.last().map(String::as_str), Some("{\"c\":\"z\"}"));
        for size in 1..text.len() {
            let pieces = Pieces(text, vec![size; text.len()]);
            assert_eq!(read_in_pieces(pieces).1, whole, "{size}");
        }
    }

    #[test]
    fn nul_bytes_before_a_line_are_passed_over() {
        let text = [&vec![0; 40 << 20][..], b"{\"a\":1}\n\0\0{\"b\":2}\n"].concat();
        assert_eq!(read(&text).1, ["{\"a\":1}", "{\"b\":2}"]);
    }

    #[test]
    fn half_a_beginning_waits_for_the_rest() {
        let (mut cutter, mut block) = (Cutter::default(), Block::default());
        let mut next = |text: &[u8]| {
            let mut reader = text;
            let cut = cutter.next(&mut reader, &mut block, Fill::Eager, AtEnd::Keep);
            match cut.expect("memory does not fail") {
                Cut::Block(_) => Some(block.bytes().to_vec()),
                _ => None,
            }
        };
        assert_eq!(next(b"#sep"), None);
        assert_eq!(
            next(b"arator \\x09\n#fie"),
            Some(b"#separator \\x09\n".to_vec())
        );
        assert_eq!(next(b"lds\ta\nx"), Some(b"#fields\ta\n".to_vec()));
        assert_eq!(next(b"\n"), Some(b"x\n".to_vec()));
        assert_eq!(cutter.format(), Some(LogFormat::Zeek));
    }

    #[test]
    fn objects_over_several_lines_may_follow_lines() {
        let (one, two) = ("{\"a\":1}", "{\"a\":2}");
        let over_lines = "{\n  \"a\":2\n}\n";
        for text in [
            format!("{one}\n{over_lines}{one}\n{over_lines}"),
            format!("{one}\r\n{over_lines}[\n{one},\n{over_lines}]").replace("{\n", "{\r\n"),
            format!("{one}\n[\n{two}\n]\n[\n{one},{over_lines}]"),
            format!("{one}\n[\n\0{two}\n]\n{{\n\0\"a\":1\0}}\n[{two}]").replace(':', ":\0"),
        ] {
            let expected = [one, two, one, two];
            assert_eq!(read(text.as_bytes()).1, expected, "{text}");
            let pieces = Pieces(text.as_bytes(), vec![1; text.len()]);
            assert_eq!(read_in_pieces(pieces).1, expected, "{text}");
        }
        // A line that is broken costs no other.
        let text = format!("{one}\n{{\n{two}\n{one}\n");
        assert_eq!(read(text.as_bytes()).1, [one, "{", two, one]);
    }

    #[test]
    fn a_header_makes_rows_of_the_lines_after_it_wherever_it_is() {
        let header = "#separator \\x09\n#fields\ta\tn\n#types\tstring\tcount\n";
        let event = "{\"a\":\"x\",\"n\":1}";
        for (before, expected) in [
            ("y\t2\ny\t3\n", &["y\t2", "y\t3", event][..]),
            ("{\"b\":1}\n", &["{\"b\":1}", event]),
            ("host zeek: {\"b\":1}\n", &["host zeek: {\"b\":1}", event]),
            ("\u{feff}", &[event]),
            ("\0\u{feff}", &[event]),
        ] {
            let text = format!("{before}{header}x\t1\n");
            assert_eq!(read(text.as_bytes()).1, expected, "{text}");
        }
        let text = format!("{header}x\t1\n{{\"b\":1}}\nx\t1\n");
        assert_eq!(read(text.as_bytes()).1, [event, "{\"b\":1}", event]);
        let text = format!("\u{feff}{}", "#separator \\x2c\n#fields,a,n\nx,1\n");
        assert_eq!(read(text.as_bytes()).1, ["{\"a\":\"x\",\"n\":\"1\"}"]);
        assert_eq!(read(b"#close\t2024-03-05-11-00-00\n").1, [""; 0]);
    }

    proptest! {
        #[test]
        fn a_log_is_read_the_same_wherever_its_reads_end(
            text in beginnings(),
            sizes in prop::collection::vec(1usize..12, 0..6),
        ) {
            let pieces = read_in_pieces(Pieces(&text, sizes));
            prop_assert_eq!(pieces, read(&text));
        }
    }
}
