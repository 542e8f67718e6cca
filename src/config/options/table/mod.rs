//! The table itself, with one file per section of the manual.

mod connection;
mod general;
mod logging;
mod matching;
mod output;
mod run_mode;

use super::Opt;

/// The sections, in order.
const SECTIONS: [&[Opt]; 6] = [
    connection::ROWS,
    matching::ROWS,
    output::ROWS,
    run_mode::ROWS,
    logging::ROWS,
    general::ROWS,
];

/// Every option. Values from one source (a file, say) are applied in this order, so that
/// of two options that set the same field the later one wins.
pub static OPTIONS: &[Opt] = &joined::<{ count() }>();

const fn count() -> usize {
    let mut count = 0;
    let mut section = 0;
    while section < SECTIONS.len() {
        count += SECTIONS[section].len();
        section += 1;
    }
    count
}

/// The rows of all sections in order. Iterators cannot be used in a constant function.
const fn joined<const COUNT: usize>() -> [Opt; COUNT] {
    let mut rows = [SECTIONS[0][0]; COUNT];
    let (mut section, mut row, mut at) = (0, 0, 0);
    while at < COUNT {
        if row == SECTIONS[section].len() {
            section += 1;
            row = 0;
        } else {
            rows[at] = SECTIONS[section][row];
            row += 1;
            at += 1;
        }
    }
    rows
}
