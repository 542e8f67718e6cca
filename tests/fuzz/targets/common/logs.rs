//! Reads a log like the program does.

use std::cell::RefCell;
use std::io::Read;

use vast_threatbus::logs::format::{Cut, Cutter, Event, zeek_json};
use vast_threatbus::logs::lines::{AtEnd, Block, Fill};

/// Returns the bytes up to a position, then the rest.
struct Halves<'a>(&'a [u8], &'a [u8]);

impl Read for Halves<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            std::mem::swap(&mut self.0, &mut self.1);
        }
        self.0.read(buffer)
    }
}

thread_local! {
    /// One for all runs: a new one is 1 MiB of zeros.
    static BLOCK: RefCell<Block> = RefCell::default();
}

/// What is read of a log that comes in two pieces: events, and lines that are not events.
fn read(log: &[u8], cut: usize, block: &mut Block) -> Vec<String> {
    let (first, second) = log.split_at(cut.min(log.len()));
    let mut reader = Halves(first, second);
    let mut cutter = Cutter::default();
    let mut all = Vec::new();
    while let Cut::Block(mut reading) = cutter
        .next(&mut reader, block, Fill::Eager, AtEnd::Finish)
        .expect("memory does not fail")
    {
        reading.each(block.bytes(), |event| {
            all.push(match event {
                Ok(Event::Json(line)) => line.to_owned(),
                Ok(Event::Row(row)) => {
                    let mut json = String::new();
                    zeek_json::print(&row, &mut json);
                    let event = serde_json::from_str::<serde_json::Value>(&json);
                    assert!(event.is_ok_and(|event| event.is_object()), "{json}");
                    json
                }
                Err(no) => no.reason.to_string(),
            });
        });
    }
    all
}

/// Any log is read the same, however it is divided.
pub fn check(bytes: &[u8]) {
    let Some((&cut, log)) = bytes.split_first() else {
        return;
    };
    BLOCK.with_borrow_mut(|block| {
        let whole = read(log, log.len(), block);
        assert!(whole.iter().all(|event| !event.contains('\n')));
        assert_eq!(read(log, usize::from(cut), block), whole);
    });
}
