//! Transformations by commands that stay (`--transform-mode lines`): each reads one
//! context a line, prints one a line, and is fed as long as it lives.
//!
//! A command whose arguments hold `%ioc` or `%matchtype` is another one for each
//! pair of values: there is one process for each pair in use, and so many at once.
//! What goes wrong makes a whole round void (`round`); its contexts are then asked
//! for once more, one by one, as `each` does it.

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
use crate::sighting::transform::{Failure, TIME_LIMIT, transform};
use pace::Pace;
use schedule::{Begun, Schedule};
use worker::Worker;

/// How many bytes of contexts all threads together gather before they ask.
const MOST_GATHERED: usize = 16 << 20;

/// A context that another one is to be made of.
#[derive(Debug)]
pub struct TransformInput {
    /// What is replaced for `%ioc`.
    pub ioc: String,
    /// What is replaced for `%matchtype`.
    pub match_type: MatchType,
    /// The context.
    pub context: Context<'static>,
}

/// An answer to one [`TransformInput`].
pub type TransformOutput = Result<Context<'static>, Failure>;

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// For an answer when all of the input is read, before the input is closed: the
    /// command may wait for its end.
    patience: Duration,
    /// The same as long as the command has not read all of its input: it may be slow
    /// to start.
    start: Duration,
    /// For an answer when the input is closed.
    limit: Duration,
    /// For unexpected output, behind the last answer of a process' first
    /// round.
    first_settling: Duration,
    /// The same behind later rounds.
    settling: Duration,
    /// For a process' exit when its input is closed.
    exit: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            patience: Duration::from_millis(150),
            start: Duration::from_secs(5),
            limit: TIME_LIMIT,
            first_settling: Duration::from_millis(50),
            settling: Duration::from_millis(5),
            exit: Duration::from_secs(2),
        }
    }
}

/// What a command is filled in with: empty where it has no such placeholder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    ioc: String,
    match_type: Option<&'static str>,
}

/// The contexts of one thread for one process.
struct Job {
    key: Key,
    questions: Vec<TransformInput>,
    /// Where the answers go, with the number of the job.
    number: usize,
    answers: Sender<(usize, Vec<TransformOutput>)>,
}

/// A place's thread, once it was needed.
struct Thread {
    jobs: Sender<Begun<Job>>,
    handle: JoinHandle<()>,
}

struct Shared {
    template: CommandTemplate,
    times: Times,
    schedule: Mutex<Schedule<Key, Job>>,
    threads: Mutex<Vec<Option<Thread>>>,
    pace: Mutex<Pace>,
    metrics: Arc<Metrics>,
    stop: Stop,
}

/// The processes, shared by all threads that report. They end with it.
pub struct Pool {
    shared: Arc<Shared>,
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
    /// A pool of at most so many processes, none of which runs yet.
    pub fn new(
        template: CommandTemplate,
        processes: NonZeroUsize,
        metrics: Arc<Metrics>,
        stop: Stop,
    ) -> Self {
        Pool::with_times(template, processes, metrics, stop, Times::default())
    }

    fn with_times(
        template: CommandTemplate,
        processes: NonZeroUsize,
        metrics: Arc<Metrics>,
        stop: Stop,
        times: Times,
    ) -> Self {
        let (by_ioc, by_match_type) = template.placeholders();
        // Where nothing is filled in, one process serves all.
        let places = if by_ioc || by_match_type {
            processes.get()
        } else {
            1
        };
        let no_thread = std::iter::repeat_with(|| None);
        Pool {
            shared: Arc::new(Shared {
                template,
                times,
                schedule: Mutex::new(Schedule::new(places)),
                threads: Mutex::new(no_thread.take(places).collect()),
                pace: Mutex::new(Pace::new()),
                metrics,
                stop,
            }),
            by_ioc,
            by_match_type,
            gathered: AtomicUsize::new(0),
        }
    }

    /// Counts a context of so many bytes that a thread gathers; says whether it is
    /// time to ask, since all of them together hold enough.
    pub fn gather(&self, bytes: usize) -> bool {
        self.gathered.fetch_add(bytes, Ordering::Relaxed) + bytes > MOST_GATHERED
    }

    /// Gives an answer to each question, in their order. Those of one process go
    /// together; takes as long as the commands take.
    pub fn ask(&self, questions: Vec<TransformInput>) -> Vec<TransformOutput> {
        let bytes: usize = questions.iter().map(|one| one.context.as_str().len()).sum();
        let count = questions.len();
        let (sender, answers) = unbounded();
        let mut groups = Vec::<(Key, Vec<usize>, Vec<TransformInput>)>::new();
        let mut by_key = HashMap::<Key, usize>::new();
        for (number, question) in questions.into_iter().enumerate() {
            let key = self.key(&question);
            let group = *by_key.entry(key.clone()).or_insert_with(|| {
                groups.push((key, Vec::new(), Vec::new()));
                groups.len() - 1
            });
            groups[group].1.push(number);
            groups[group].2.push(question);
        }
        let mut numbers = Vec::with_capacity(groups.len());
        for (number, (key, of_group, questions)) in groups.into_iter().enumerate() {
            numbers.push(of_group);
            self.shared.submit(Job {
                key,
                questions,
                number,
                answers: sender.clone(),
            });
        }
        drop(sender);
        let mut all: Vec<Option<TransformOutput>> =
            std::iter::repeat_with(|| None).take(count).collect();
        for (group, answers) in answers {
            for (number, answer) in numbers[group].iter().zip(answers) {
                all[*number] = Some(answer);
            }
        }
        // What has been gathered by this thread is done.
        self.gathered.fetch_sub(bytes, Ordering::Relaxed);
        let missing = || Err(Failure::new("the thread of the command ended by a defect"));
        all.into_iter()
            .map(|one| one.unwrap_or_else(missing))
            .collect()
    }

    fn key(&self, question: &TransformInput) -> Key {
        Key {
            ioc: if self.by_ioc {
                question.ioc.clone()
            } else {
                String::new()
            },
            match_type: self.by_match_type.then(|| question.match_type.as_str()),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let threads = std::mem::take(&mut *lock(&self.shared.threads));
        for thread in threads.into_iter().flatten() {
            drop(thread.jobs);
            // One that panicked has lost its answers, which is reported there.
            let _ = thread.handle.join();
        }
    }
}

impl Shared {
    fn submit(self: &Arc<Self>, job: Job) {
        let begun = lock(&self.schedule).submit(job.key.clone(), job);
        self.begin(begun);
    }

    /// A place is done with its job.
    fn done(self: &Arc<Self>, place: usize, is_kept: bool) {
        let begun = lock(&self.schedule).done(place, is_kept);
        self.begin(begun);
    }

    fn begin(self: &Arc<Self>, begun: Vec<Begun<Job>>) {
        for one in begun {
            let place = one.place;
            if let Err(jobs) = self.hand_over(one) {
                for job in jobs {
                    // As without a process that stays.
                    let answers = job.questions.iter().map(|one| self.ask_alone(one));
                    let answers = answers.collect();
                    job.reply(answers);
                }
                self.done(place, false);
            }
        }
    }

    /// Hands jobs to their place's thread, which is started with the first ones.
    fn hand_over(self: &Arc<Self>, begun: Begun<Job>) -> Result<(), Vec<Job>> {
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
                    log::warn!("no thread for a command that stays: {error}");
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
        let worker = Worker::new(self.clone(), place);
        let handle = std::thread::Builder::new()
            .name(format!("transform-{}", place + 1))
            .spawn(move || worker.run(&jobs))?;
        Ok(Thread {
            jobs: sender,
            handle,
        })
    }

    /// Asks for one context with a process of its own.
    fn ask_alone(&self, question: &TransformInput) -> TransformOutput {
        let TransformInput {
            ioc,
            match_type,
            context,
        } = question;
        transform(&self.template, context, ioc, *match_type, &self.stop)
    }
}

impl Job {
    fn reply(self, answers: Vec<TransformOutput>) {
        // Whoever asked waits for as long as it takes.
        let _ = self.answers.send((self.number, answers));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
