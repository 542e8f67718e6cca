//! The text of a query in pieces. A list of 10,000 names is queried in some thirty fields. As one
//! text that would need ten megabytes for each running query; in pieces, the list is in memory
//! once.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

/// How the predicates of a query are joined.
pub(super) const OR: &str = " || ";

/// Shorter pieces are copied: each piece is a system call when it is sent.
const LEAST_SHARED: usize = 4_096;

/// A text in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct QueryPieces {
    whole: Vec<Arc<str>>,
    /// The text after the last piece.
    last: String,
}

impl QueryPieces {
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.last.is_empty()
    }

    /// Appends a text without a copy of it, if it is long.
    pub(super) fn push(&mut self, text: &Arc<str>) {
        if text.len() < LEAST_SHARED {
            self.last.push_str(text);
            return;
        }
        self.end_piece();
        self.whole.push(text.clone());
    }

    /// Appends another predicate.
    pub(super) fn or(&mut self, other: QueryPieces) {
        if !self.is_empty() {
            self.last.push_str(OR);
        }
        self.append(other);
    }

    /// Appends all of another text.
    pub(super) fn append(&mut self, other: QueryPieces) {
        if !other.whole.is_empty() {
            self.end_piece();
            self.whole.extend(other.whole);
        }
        self.last.push_str(&other.last);
    }

    fn end_piece(&mut self) {
        if !self.last.is_empty() {
            self.whole.push(std::mem::take(&mut self.last).into());
        }
    }

    /// The whole text.
    pub(super) fn text(&self) -> String {
        self.whole.concat() + &self.last
    }

    /// A reader of the whole text.
    pub(super) fn reader(&self) -> PiecesReader<'_> {
        PiecesReader {
            current: b"",
            next: self.whole.iter(),
            last: self.last.as_bytes(),
        }
    }
}

impl From<String> for QueryPieces {
    fn from(text: String) -> Self {
        QueryPieces {
            whole: Vec::new(),
            last: text,
        }
    }
}

/// Reads one piece after the other.
pub(super) struct PiecesReader<'a> {
    current: &'a [u8],
    next: std::slice::Iter<'a, Arc<str>>,
    last: &'a [u8],
}

impl BufRead for PiecesReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() {
            self.current = match self.next.next() {
                Some(piece) => piece.as_bytes(),
                None => std::mem::take(&mut self.last),
            };
        }
        Ok(self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current = &self.current[count..];
    }
}

impl Read for PiecesReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_read_as_the_text_that_they_are(
            texts in prop::collection::vec(("[a-z]{0,3}", any::<bool>()), 0..8),
        ) {
            let (mut pieces, mut text) = (QueryPieces::default(), String::new());
            for (part, is_long) in texts {
                let part = if is_long { part.repeat(LEAST_SHARED) } else { part };
                let part: Arc<str> = part.into();
                pieces.push(&part);
                text.push_str(&part);
            }
            let mut read = String::new();
            pieces.reader().read_to_string(&mut read).expect("memory");
            prop_assert_eq!(&read, &text);
            prop_assert_eq!(pieces.text(), text);
        }
    }

    #[test]
    fn a_long_list_is_in_memory_once() {
        let list: Arc<str> = "x".repeat(LEAST_SHARED).into();
        let mut pieces = QueryPieces::default();
        for field in ["a in ", "b in "] {
            let mut predicate = QueryPieces::from(field.to_owned());
            predicate.push(&list);
            pieces.or(predicate);
        }
        assert_eq!(Arc::strong_count(&list), 3);
        assert_eq!(pieces.text(), format!("a in {list}{OR}b in {list}"));
    }
}
