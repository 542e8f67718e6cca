//! Support for the integration tests: real brokers, plain ZeroMQ peers, the stand-in
//! engine, and the observed program.
// Each test binary compiles this module separately and only uses a part of it.
#![allow(dead_code)]

pub mod bed;
pub mod bridge;
pub mod broker;
pub mod chromium;
pub mod fakebus;
pub mod judge;
pub mod manager;
pub mod messages;
pub mod observed;
pub mod paths;
pub mod peer;
pub mod process;
pub mod query_judge;
pub mod recall;
pub mod scene;
pub mod standin;
pub mod tenzir;

use std::time::{Duration, Instant};

/// The directory of one test, removed with its content when dropped.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// A new, empty directory.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("vast-threatbus-test-")
            .tempdir()
            .expect("the temporary directory can be written");
        Self(directory)
    }

    /// The directory itself.
    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    /// A file in it, with this content.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> std::path::PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("a file in the test's own directory can be written");
        path
    }
}

/// Repeats a check until it succeeds, at most for `limit`; returns whether it did.
pub fn eventually(limit: Duration, mut check: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if check() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
