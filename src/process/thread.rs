//! Waiting for threads.

use std::thread::JoinHandle;

use log::error;

/// Waits for a thread; `None` if it panicked, which is logged. The results of others still
/// count.
pub fn join<T>(thread: JoinHandle<T>) -> Option<T> {
    let name = thread.thread().name().unwrap_or("a thread").to_owned();
    let ended = thread.join().ok();
    if ended.is_none() {
        error!("{name} ended by a defect of this program");
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gives_what_it_returned_and_a_defect_nothing() {
        assert_eq!(join(std::thread::spawn(|| 7)), Some(7));
        let defect: JoinHandle<()> = std::thread::spawn(|| std::panic::resume_unwind(Box::new(())));
        assert_eq!(join(defect), None);
    }
}
