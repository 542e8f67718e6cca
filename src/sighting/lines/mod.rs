//! Transformations by commands that keep running (`--transform-mode lines`): each reads one
//! context per line and prints one context per line, for as long as it lives.
//!
//! If the arguments contain `%ioc` or `%matchtype`, each pair of values needs its own
//! process; the number of processes is limited. Any mistake of a command makes the whole
//! round void (`round`). Its contexts are then transformed again one by one, as with
//! `each`.

mod pace;
mod round;
mod schedule;
mod worker;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded, unbounded};

use crate::observe::metrics::Metrics;
use crate::process::command::CommandTemplate;
use crate::process::stop::Stop;
use crate::protocol::{Context, MatchType};
use crate::sighting::transform::{TIME_LIMIT, TransformError, transform};
use pace::LinesPace;
use schedule::{Begun, Schedule};
use worker::TransformWorker;

/// The bytes of contexts that all threads together gather before they are transformed.
const MOST_GATHERED: usize = 16 << 20;

/// A context to be transformed.
#[derive(Debug)]
pub struct TransformInput {
    /// What is replaced for `%ioc`.
    pub ioc: String,
    /// What is replaced for `%matchtype`.
    pub match_type: MatchType,
    /// The context.
    pub context: Context<'static>,
}

/// The result for one [`TransformInput`].
pub type TransformOutput = Result<Context<'static>, TransformError>;

/// Time limits.
#[derive(Clone, Copy, Debug)]
struct TimeLimits {
    /// How long to wait for a result once all input is read, before the input is closed:
    /// the command may wait for the end of its input.
    patience: Duration,
    /// The same while the command has not read all input: it may be slow to start.
    start: Duration,
    /// How long to wait for a result after the input is closed.
    limit: Duration,
    /// How long to wait for unexpected output after the last result of a process' first
    /// round.
    first_settling: Duration,
    /// The same after later rounds.
    settling: Duration,
    /// How long to wait for a process to exit after its input is closed.
    exit: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        TimeLimits {
            patience: Duration::from_millis(150),
            start: Duration::from_secs(5),
            limit: TIME_LIMIT,
            first_settling: Duration::from_millis(50),
            settling: Duration::from_millis(5),
            exit: Duration::from_secs(2),
        }
    }
}

/// The values of a command's placeholders. A value is empty if it has no such placeholder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct CommandKey {
    ioc: String,
    match_type: Option<&'static str>,
}

/// The contexts of one thread for one process.
struct TransformJob {
    key: CommandKey,
    inputs: Vec<TransformInput>,
    /// Where the results are sent, with the number of the job.
    number: usize,
    outputs: Sender<(usize, Vec<TransformOutput>)>,
}

/// The thread of a place. It is started when it is first needed.
struct Thread {
    jobs: Sender<Begun<TransformJob>>,
    handle: JoinHandle<()>,
}

struct SharedPool {
    template: CommandTemplate,
    times: TimeLimits,
    schedule: Mutex<Schedule<CommandKey, TransformJob>>,
    threads: Mutex<Vec<Option<Thread>>>,
    pace: Mutex<LinesPace>,
    metrics: Arc<Metrics>,
    stop: Stop,
}

/// The processes, shared by all reporting threads. They end when the pool is dropped.
pub struct Pool {
    shared: Arc<SharedPool>,
    by_ioc: bool,
    by_match_type: bool,
    gathered: AtomicUsize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.shared.template)
    }
}

impl Pool {
    /// A pool of at most this many processes. None is started yet.
    pub fn new(
        template: CommandTemplate,
        processes: NonZeroUsize,
        metrics: Arc<Metrics>,
        stop: Stop,
    ) -> Self {
        Pool::with_times(template, processes, metrics, stop, TimeLimits::default())
    }

    fn with_times(
        template: CommandTemplate,
        processes: NonZeroUsize,
        metrics: Arc<Metrics>,
        stop: Stop,
        times: TimeLimits,
    ) -> Self {
        let (by_ioc, by_match_type) = template.placeholders();
        // Without placeholders, one process serves all.
        let places = if by_ioc || by_match_type {
            processes.get()
        } else {
            1
        };
        let no_thread = std::iter::repeat_with(|| None);
        Pool {
            shared: Arc::new(SharedPool {
                template,
                times,
                schedule: Mutex::new(Schedule::new(places)),
                threads: Mutex::new(no_thread.take(places).collect()),
                pace: Mutex::new(LinesPace::new()),
                metrics,
                stop,
            }),
            by_ioc,
            by_match_type,
            gathered: AtomicUsize::new(0),
        }
    }

    /// Counts the bytes of a context that a thread gathers; returns whether to transform
    /// now, since all threads together have gathered enough.
    pub fn gather(&self, bytes: usize) -> bool {
        self.gathered.fetch_add(bytes, Ordering::Relaxed) + bytes > MOST_GATHERED
    }

    /// Transforms contexts; returns the results in the same order. The contexts for one
    /// process are sent together. Returns when all commands are finished.
    pub fn transform(&self, inputs: Vec<TransformInput>) -> Vec<TransformOutput> {
        let bytes: usize = inputs.iter().map(|one| one.context.as_str().len()).sum();
        let count = inputs.len();
        let (sender, outputs) = unbounded();
        let mut groups = Vec::<(CommandKey, Vec<usize>, Vec<TransformInput>)>::new();
        let mut by_key = HashMap::<CommandKey, usize>::new();
        for (number, input) in inputs.into_iter().enumerate() {
            let key = self.key(&input);
            let group = *by_key.entry(key.clone()).or_insert_with(|| {
                groups.push((key, Vec::new(), Vec::new()));
                groups.len() - 1
            });
            groups[group].1.push(number);
            groups[group].2.push(input);
        }
        let mut numbers = Vec::with_capacity(groups.len());
        for (number, (key, of_group, inputs)) in groups.into_iter().enumerate() {
            numbers.push(of_group);
            self.shared.submit(TransformJob {
                key,
                inputs,
                number,
                outputs: sender.clone(),
            });
        }
        drop(sender);
        let mut all: Vec<Option<TransformOutput>> =
            std::iter::repeat_with(|| None).take(count).collect();
        for (group, outputs) in outputs {
            for (number, answer) in numbers[group].iter().zip(outputs) {
                all[*number] = Some(answer);
            }
        }
        // The contexts that this thread gathered are done.
        self.gathered.fetch_sub(bytes, Ordering::Relaxed);
        let missing = || {
            Err(TransformError::new(
                "the thread of the command ended by a defect",
            ))
        };
        all.into_iter()
            .map(|one| one.unwrap_or_else(missing))
            .collect()
    }

    fn key(&self, input: &TransformInput) -> CommandKey {
        CommandKey {
            ioc: if self.by_ioc {
                input.ioc.clone()
            } else {
                String::new()
            },
            match_type: self.by_match_type.then(|| input.match_type.as_str()),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let threads = std::mem::take(&mut *lock(&self.shared.threads));
        for thread in threads.into_iter().flatten() {
            drop(thread.jobs);
            // A thread that panicked has lost its results, which `transform` reports.
            let _ = thread.handle.join();
        }
    }
}

impl SharedPool {
    fn submit(self: &Arc<Self>, job: TransformJob) {
        let begun = lock(&self.schedule).submit(job.key.clone(), job);
        self.begin(begun);
    }

    /// A place has finished its job; `is_kept` tells whether its process still runs.
    fn done(self: &Arc<Self>, place: usize, is_kept: bool) {
        let begun = lock(&self.schedule).done(place, is_kept);
        self.begin(begun);
    }

    fn begin(self: &Arc<Self>, begun: Vec<Begun<TransformJob>>) {
        for one in begun {
            let place = one.place;
            if let Err(jobs) = self.hand_over(one) {
                for job in jobs {
                    // Without a thread, each gets its own process.
                    let outputs = job.inputs.iter().map(|one| self.transform_alone(one));
                    let outputs = outputs.collect();
                    job.reply(outputs);
                }
                self.done(place, false);
            }
        }
    }

    /// Sends jobs to their place's thread, which is started for the first ones.
    fn hand_over(self: &Arc<Self>, begun: Begun<TransformJob>) -> Result<(), Vec<TransformJob>> {
        let place = begun.place;
        let mut threads = lock(&self.threads);
        let Some(slot) = threads.get_mut(place) else {
            return Err(begun.jobs);
        };
        let thread = match slot.take() {
            Some(thread) => thread,
            None => match self.start(place) {
                Ok(thread) => thread,
                Err(error) => {
                    log::warn!("cannot start the thread for a command that stays: {error}");
                    return Err(begun.jobs);
                }
            },
        };
        let sent = thread.jobs.send(begun);
        *slot = Some(thread);
        sent.map_err(|refused| refused.0.jobs)
    }

    fn start(self: &Arc<Self>, place: usize) -> std::io::Result<Thread> {
        let (sender, jobs) = bounded(1);
        let worker = TransformWorker::new(self.clone(), place);
        let handle = std::thread::Builder::new()
            .name(format!("transform-{}", place + 1))
            .spawn(move || worker.run(&jobs))?;
        Ok(Thread {
            jobs: sender,
            handle,
        })
    }

    /// Transforms one context with its own process.
    fn transform_alone(&self, input: &TransformInput) -> TransformOutput {
        let TransformInput {
            ioc,
            match_type,
            context,
        } = input;
        transform(&self.template, context, ioc, *match_type, &self.stop)
    }
}

impl TransformJob {
    fn reply(self, outputs: Vec<TransformOutput>) {
        // The receiver waits until all results are there.
        let _ = self.outputs.send((self.number, outputs));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
