//! How fast the whole program is: `cargo bench --bench bridge`, or a part of it
//! by name: `cargo bench --bench bridge -- side-by-side batcher stream start confirm fleet
//! tenzir`.
//!
//! The engine is the stand-in of the tests, at the cost that was measured on the
//! engine itself, and in the last part a real Tenzir node; brokers and original
//! bridges are the real ones (`tests/setup`, and `tests/setup app-2020.11.26
//! app-2022.5.16`). `BENCH_FULL=1` lets the originals have 10,000 indicators as well,
//! which takes them many minutes.
//!
//! Prints a table for each part, then the same as JSON, one result a line.

#[path = "../../tests/support/mod.rs"]
mod support;

mod batcher;
mod confirm;
mod contender;
mod engine;
mod fleet;
mod results;
mod side_by_side;
mod start;
mod stream;
mod tenzir;

use results::Results;

/// A part of the benches and its name.
type Part = (&'static str, fn(&mut Results));

fn main() {
    let parts: [Part; 8] = [
        ("start", start::run),
        ("stream", stream::run),
        ("batcher", batcher::run),
        ("kinds", batcher::kinds),
        ("side-by-side", side_by_side::run),
        ("confirm", confirm::run),
        ("fleet", fleet::run),
        ("tenzir", tenzir::run),
    ];
    // Cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut results = Results::default();
    for (name, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            run(&mut results);
        }
    }
    results.print();
}
