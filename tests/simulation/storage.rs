//! Crashes, losses of power and bad disks, and what they do to the state on disk: the journal,
//! with the life of indicators that uses it, and the spool.
//!
//! One schedule is some hundred steps that a seed decides. Indicators come, change, are
//! withdrawn, wait, expire, and are matched. Sightings are put into the spool, and delivered.
//! The disk is full, fails, or kills the process in the middle of an operation. The power
//! fails. These hold after each step:
//!
//! * An indicator that the journal accepted without an error, and that is not finished, comes
//!   back at the next start. After a loss of power, only one that was there at an earlier start
//!   has to.
//! * A finished indicator does not come back, unless the disk failed to write that it is
//!   finished.
//! * What was put into the spool comes out once in each run and in order, and nothing else does.
//!   It is dropped only at the limit, and is then counted.
//! * What was delivered does not come out again, unless the position could not be written.
//! * The files stay within their bounds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use vast_threatbus::indicator::{Indicator, Protocol, Validity};
use vast_threatbus::intake::{Expiry, Input, Life, NoRoom, Output, PutOutcome, Table};
use vast_threatbus::observable::Observable;
use vast_threatbus::process::stop::Stop;
use vast_threatbus::state::journal::{Journal, LeftOver, Ticket};
use vast_threatbus::state::spool::{Position, Spool};

use crate::random::Random;
use crate::world::disk::{Faults, MemoryDisk};

/// How many ids indicators have.
const IDS: usize = 8;

/// How many bytes of finished entries the journal tolerates here.
const GARBAGE: u64 = 2000;

/// The largest message and the largest sighting, in bytes.
const LARGEST: usize = 120;

/// How many sightings are put into the spool at once, at the most.
const BATCH: usize = 4;

const STATE: &str = "/state";

/// What happened in a schedule, so that one in which nothing happened is not taken for a success.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Times that the process was killed.
    pub kills: u64,
    /// Times that the power failed.
    pub power_cuts: u64,
    /// Operations that the disk refused.
    pub refusals: u64,
    /// Indicators that were matched.
    pub matched: u64,
    /// Sightings that were delivered.
    pub delivered: u64,
    /// Sightings that were dropped at the spool's limit.
    pub lost: u64,
}

impl Tally {
    /// Adds another schedule.
    pub fn add(&mut self, other: &Tally) {
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.refusals += other.refusals;
        self.matched += other.matched;
        self.delivered += other.delivered;
        self.lost += other.lost;
    }

    /// Fails if something that is to be tried did not happen.
    pub fn is_not_idle(&self) {
        let all = [
            self.kills,
            self.power_cuts,
            self.refusals,
            self.matched,
            self.delivered,
            self.lost,
        ];
        assert!(all.iter().all(|count| *count > 0), "{self:?}");
    }
}

/// Runs one schedule.
///
/// # Errors
/// What did not hold, with the seed, the step, and what happened before it.
pub fn run(seed: u64, steps: usize, stop: &Stop) -> Result<Tally, String> {
    let mut world = World::new(seed, stop);
    for step in 0..steps {
        let result = world.step();
        world.at = step;
        result.map_err(|reason| world.report(seed, &reason))?;
    }
    let result = world.end();
    result.map_err(|reason| world.report(seed, &reason))?;
    world.tally.refusals = world.disk.failures();
    Ok(world.tally)
}

/// A version of an indicator, and what the world knows of it.
struct Version {
    id: usize,
    from: Option<u64>,
    until: Option<u64>,
    /// The journal accepted it without an error.
    accepted: bool,
    /// It was in the journal when the journal was opened, and so is synced.
    synced: bool,
    fate: Fate,
    /// A newer version replaced it, or it expired.
    is_over: bool,
    matched: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its entry is open.
    Open,
    /// Its entry is closed; whether that was written.
    Closed { written: bool },
    /// It was never safe on disk, and its process is gone.
    Gone,
}

/// A sighting that was put into the spool, or is to be.
#[derive(Default)]
struct Sighting {
    /// Its number among those that were put in this run, if it was put without an error.
    put: Option<u64>,
    /// Delivered in this run.
    delivered_now: bool,
    delivered: bool,
    /// The position after it is written.
    settled: bool,
}

/// The indicators that the process searches for.
#[derive(Default)]
struct SearchTable(BTreeMap<Arc<str>, Entry>);

type Entry = (Arc<Indicator>, Option<Ticket>, Option<Expiry>);

impl Table for SearchTable {
    fn put(
        &mut self,
        indicator: Arc<Indicator>,
        ticket: Option<Ticket>,
        end: Option<Expiry>,
    ) -> PutOutcome {
        if self.0.len() >= IDS - 1 && !self.0.contains_key(&indicator.id) {
            return PutOutcome::Full(NoRoom::Memory);
        }
        self.0
            .insert(indicator.id.clone(), (indicator, ticket, end));
        PutOutcome::Added
    }

    fn remove(&mut self, id: &str) -> bool {
        self.0.remove(id).is_some()
    }

    fn expiry_of(&self, id: &str) -> Option<Expiry> {
        self.0.get(id)?.2
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// What is lost when the process is killed.
struct Process {
    journal: Journal,
    life: Life,
    table: SearchTable,
    /// The versions that wait for their time, by their id.
    later: BTreeMap<usize, usize>,
    spool: Spool,
    next: Position,
    /// Matches that are not in the spool yet: version, sighting, ticket.
    unspooled: Vec<(usize, usize, Option<Ticket>)>,
    /// How many sightings were put, and the number of the last that came out.
    put: u64,
    last_out: Option<u64>,
    /// The position on disk may be wrong.
    position_failed: bool,
}

struct World {
    random: Random,
    disk: MemoryDisk,
    stop: Stop,
    /// Seconds.
    now: u64,
    most_bytes: u64,
    /// The broker accepts few sightings.
    is_slow: bool,
    versions: Vec<Version>,
    sightings: Vec<Sighting>,
    process: Option<Process>,
    /// Sightings may have been dropped at the limit without being counted.
    uncounted: bool,
    events: VecDeque<(usize, &'static str, usize)>,
    at: usize,
    tally: Tally,
}

fn time(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
}

impl World {
    fn new(seed: u64, stop: &Stop) -> Self {
        let mut random = Random(seed);
        let disk = MemoryDisk::new(Path::new(STATE), random.next());
        let most_bytes = if random.one_in(3) { 1500 } else { 100_000 };
        let is_slow = random.one_in(2);
        World {
            random,
            disk,
            stop: stop.clone(),
            now: 100,
            most_bytes,
            is_slow,
            versions: Vec::new(),
            sightings: Vec::new(),
            process: None,
            uncounted: false,
            events: VecDeque::new(),
            at: 0,
            tally: Tally::default(),
        }
    }

    fn report(&self, seed: u64, reason: &str) -> String {
        let mut text = format!("seed {seed}, step {}: {reason}\nbefore it:\n", self.at);
        for (step, what, number) in &self.events {
            text += &format!("  {step:>5} {what} {number}\n");
        }
        text
    }

    fn note(&mut self, what: &'static str, number: usize) {
        if self.events.len() == 40 {
            self.events.pop_front();
        }
        self.events.push_back((self.at, what, number));
    }

    fn step(&mut self) -> Result<(), String> {
        let Some(mut process) = self.process.take() else {
            self.process = self.start()?;
            return Ok(());
        };
        let before = self.disk.failures();
        let result = match self.random.below(100) {
            0..30 => self.comes(&mut process),
            30..35 => self.goes(&mut process),
            35..45 => self.passes(&mut process),
            45..70 => self.matches(&mut process),
            70..90 if self.is_slow && !self.random.one_in(8) => Ok(()),
            70..90 => self.delivers(&mut process),
            90..97 => {
                self.change_faults();
                Ok(())
            }
            97 | 98 => {
                self.end_process(process, false);
                return Ok(());
            }
            _ => {
                self.end_process(process, true);
                return Ok(());
            }
        };
        let was_refused = self.disk.failures() > before || self.disk.is_killed();
        self.close_what_went(&process, !was_refused);
        result?;
        self.check_bounds(&process, self.disk.failures() == 0)?;
        if self.disk.is_killed() {
            let power = self.random.one_in(3);
            self.end_process(process, power);
        } else {
            self.process = Some(process);
        }
        Ok(())
    }

    fn change_faults(&mut self) {
        let used = self.disk.used();
        let mut faults = Faults::NONE;
        match self.random.below(5) {
            0 => faults.capacity = used + self.random.below(200) as u64,
            1 => faults.fails_one_in = 2 + self.random.below(20),
            2 => faults.killed_in = Some(self.random.below(30) as u64),
            _ => {}
        }
        self.note("faults of the disk change, capacity left", {
            usize::try_from(faults.capacity - used.min(faults.capacity)).unwrap_or(usize::MAX)
        });
        self.disk.set_faults(faults);
    }

    /// The process is killed, perhaps with the power.
    fn end_process(&mut self, process: Process, power: bool) {
        if power {
            self.note("the power fails", 0);
            self.tally.power_cuts += 1;
            self.disk.cut_power();
        } else {
            self.note("the process is killed", 0);
            self.tally.kills += 1;
            self.disk.kill();
        }
        for version in &mut self.versions {
            match version.fate {
                Fate::Open if !version.accepted || (power && !version.synced) => {
                    version.fate = Fate::Gone;
                }
                // Nobody knows whether that is on disk.
                Fate::Closed { .. } if power => version.fate = Fate::Closed { written: false },
                _ => {}
            }
        }
        for sighting in &mut self.sightings {
            sighting.delivered_now = false;
            sighting.settled &= !power && !process.position_failed;
        }
    }

    fn start(&mut self) -> Result<Option<Process>, String> {
        // An operator would have mended it by now.
        if self.random.one_in(3) {
            self.disk.set_faults(Faults::NONE);
        }
        let opened = Journal::open_on(
            self.disk.process(),
            &Path::new(STATE).join("journal"),
            &self.stop,
            GARBAGE,
        )
        .and_then(|(journal, left_over, _)| {
            let directory = Path::new(STATE).join("spool");
            let spool = Spool::open_on(self.disk.process(), &directory, self.most_bytes)?;
            Ok((journal, left_over, spool))
        });
        let Ok((journal, left_over, (spool, damage))) = opened else {
            self.note("it does not start", 0);
            self.disk.kill();
            return Ok(None);
        };
        self.note(
            "it starts, with this many that were left over",
            left_over.len(),
        );
        if damage.position {
            self.sightings
                .iter_mut()
                .for_each(|one| one.settled = false);
        }
        let mut process = Process {
            journal,
            life: Life::new(time(self.now)),
            table: SearchTable::default(),
            later: BTreeMap::new(),
            next: spool.delivered(),
            spool,
            unspooled: Vec::new(),
            put: 0,
            last_out: None,
            position_failed: false,
        };
        self.sightings
            .iter_mut()
            .for_each(|sighting| sighting.put = sighting.put.map(|_| 0));
        self.take_up(&mut process, left_over)?;
        if self.disk.is_killed() {
            self.end_process(process, false);
            Ok(None)
        } else {
            Ok(Some(process))
        }
    }

    /// Takes up what was left over, and checks that it is what it should be.
    fn take_up(&mut self, process: &mut Process, left_over: Vec<LeftOver>) -> Result<(), String> {
        let found: BTreeSet<usize> = left_over
            .iter()
            .map(|one| number_in(one.message()))
            .collect();
        for (number, version) in self.versions.iter().enumerate() {
            match (version.fate, found.contains(&number)) {
                (Fate::Open, false) => {
                    return Err(format!("indicator {number} was accepted, and is not there"));
                }
                (Fate::Closed { written: true }, true) => {
                    return Err(format!("indicator {number} was finished, and came back"));
                }
                _ => {}
            }
        }
        for one in left_over {
            let number = number_in(one.message());
            if one.message() != self.message(number) {
                return Err(format!("indicator {number} has another message"));
            }
            let version = &mut self.versions[number];
            version.fate = Fate::Open;
            version.accepted = true;
            version.synced = true;
            let before = self.disk.failures();
            self.put_in(process, number, one.take_up().1)?;
            let was_refused = self.disk.failures() > before || self.disk.is_killed();
            self.close_what_went(process, !was_refused);
        }
        Ok(())
    }

    fn comes(&mut self, process: &mut Process) -> Result<(), String> {
        let number = self.versions.len();
        let id = self.random.below(IDS);
        let soon = |random: &mut Random| 1 + random.below(20) as u64;
        let from = if self.random.one_in(4) {
            Some(self.now + soon(&mut self.random))
        } else {
            None
        };
        let until = match self.random.below(4) {
            0 => Some(from.unwrap_or(self.now) + soon(&mut self.random)),
            1 if from.is_none() => Some(self.now - soon(&mut self.random)),
            _ => None,
        };
        self.note("an indicator comes:", number);
        let before = self.disk.failures();
        self.versions.push(Version {
            id,
            from,
            until,
            accepted: false,
            synced: false,
            fate: Fate::Open,
            is_over: false,
            matched: 0,
        });
        let ticket = process.journal.begin(&self.message(number));
        self.versions[number].accepted = self.disk.failures() == before && !self.disk.is_killed();
        self.put_in(process, number, ticket)
    }

    fn put_in(
        &mut self,
        process: &mut Process,
        number: usize,
        ticket: Ticket,
    ) -> Result<(), String> {
        let indicator = self.indicator(number);
        self.live(process, Input::Came(indicator.into(), Some(ticket)))
    }

    fn goes(&mut self, process: &mut Process) -> Result<(), String> {
        let id = self.random.below(IDS);
        self.note("an indicator is withdrawn, with the id", id);
        self.live(process, Input::Withdrawn(name(id)))
    }

    fn passes(&mut self, process: &mut Process) -> Result<(), String> {
        let seconds = self.random.below(6) as u64;
        // A clock may be set back.
        if self.random.one_in(10) {
            self.now -= seconds.min(self.now - 50)
        } else {
            self.now += seconds
        }
        self.live(process, Input::Time)
    }

    /// A step of the life of indicators, and checks what it reports.
    fn live(&mut self, process: &mut Process, input: Input) -> Result<(), String> {
        if let Input::Came(indicator, _) = &input {
            process.later.remove(&id_of(&indicator.id));
        }
        let came = match &input {
            Input::Came(indicator, _) => Some(number_of(indicator)),
            _ => None,
        };
        let outputs = process.life.step(time(self.now), input, &mut process.table);
        for output in outputs {
            match output {
                Output::NotYetValid(id) => {
                    let number = came.ok_or("nothing came, and something waits")?;
                    if self.versions[number]
                        .from
                        .is_none_or(|from| from <= self.now)
                    {
                        return Err(format!("{id} waits for a time that has come"));
                    }
                    process.later.insert(id_of(&id), number);
                }
                Output::Searched(id) | Output::Repeated(id) => {
                    process.later.remove(&id_of(&id));
                }
                Output::Withdrawn(id) | Output::Dropped(id, _) | Output::Refused(id) => {
                    process.later.remove(&id_of(&id));
                }
                Output::Expired(id) | Output::Inactive(id, _) => {
                    process.later.remove(&id_of(&id));
                    let ends = |one: &&Version| {
                        one.id == id_of(&id) && one.until.is_some_and(|until| until <= self.now)
                    };
                    if !self.versions.iter().any(|one| ends(&one)) {
                        return Err(format!("{id} is reported as expired, and is not"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Some of the indicators are found, and their sightings put into the spool.
    fn matches(&mut self, process: &mut Process) -> Result<(), String> {
        let room = BATCH - process.unspooled.len().min(BATCH);
        for _ in 0..self.random.below(room + 1) {
            let ids: Vec<Arc<str>> = process.table.0.keys().cloned().collect();
            if ids.is_empty() {
                break;
            }
            let id = &ids[self.random.below(ids.len())];
            let Some((indicator, ticket, _)) = process.table.0.remove(id) else {
                break;
            };
            let sighting = self.sightings.len();
            self.sightings.push(Sighting::default());
            process
                .unspooled
                .push((number_of(&indicator), sighting, ticket));
        }
        self.put_out(process)
    }

    fn put_out(&mut self, process: &mut Process) -> Result<(), String> {
        // With the larger limit nothing may be dropped, so the spool is not filled further.
        let waiting = process.spool.bytes();
        if process.unspooled.is_empty() || (self.most_bytes > 10_000 && waiting > 50_000) {
            return Ok(());
        }
        let records: Vec<Vec<u8>> = process
            .unspooled
            .iter()
            .map(|(_, sighting, _)| record(*sighting))
            .collect();
        let before = self.disk.failures();
        let put = process.spool.push(records.iter().map(Vec::as_slice));
        let was_refused = self.disk.failures() > before || self.disk.is_killed();
        process.position_failed |= was_refused;
        self.uncounted |= was_refused;
        let Ok(lost) = put else {
            self.note("the spool refuses sightings, so many:", records.len());
            return Ok(());
        };
        self.note("the spool accepts sightings, so many:", records.len());
        let put: usize = records.iter().map(|record| record.len() + 8).sum();
        if lost > 0 && waiting + (put as u64) < self.most_bytes / 2 {
            return Err(format!("{lost} were dropped far below the limit"));
        }
        self.tally.lost += lost;
        for (version, sighting, ticket) in process.unspooled.drain(..) {
            process.put += 1;
            self.sightings[sighting].put = Some(process.put);
            self.versions[version].matched += 1;
            self.tally.matched += 1;
            ticket.into_iter().for_each(Ticket::finish);
        }
        Ok(())
    }

    fn delivers(&mut self, process: &mut Process) -> Result<(), String> {
        for _ in 0..1 + self.random.below(4) {
            let before = self.disk.failures();
            let read = process.spool.read(process.next);
            let was_refused = self.disk.failures() > before || self.disk.is_killed();
            let (record, next) = match read {
                Ok(None) => return Ok(()),
                Ok(Some(found)) => found,
                Err(_) if was_refused => return Ok(()),
                // It is from a push that the disk refused, which nothing depends on.
                Err(_) if self.uncounted && self.tally.power_cuts > 0 => return Ok(()),
                Err(error) => return Err(format!("the spool is damaged: {error}")),
            };
            self.come_out(process, &record)?;
            process.next = next;
            let before = self.disk.failures();
            let written = process.spool.set_delivered(next).is_ok();
            let was_refused = self.disk.failures() > before || self.disk.is_killed();
            process.position_failed = was_refused;
            if written && !was_refused {
                let number = number_in(&record);
                self.sightings[number].settled = true;
            }
        }
        Ok(())
    }

    fn come_out(&mut self, process: &mut Process, found: &[u8]) -> Result<(), String> {
        let number = number_in(found);
        self.note("a sighting is delivered:", number);
        self.tally.delivered += 1;
        let sighting = self
            .sightings
            .get_mut(number)
            .ok_or_else(|| format!("sighting {number} was never put"))?;
        if found != record(number) {
            return Err(format!("sighting {number} has changed"));
        }
        if process.unspooled.iter().any(|(_, one, _)| *one == number) {
            return Err(format!("sighting {number} was refused, and comes out"));
        }
        if sighting.delivered_now {
            return Err(format!("sighting {number} comes out twice in a run"));
        }
        if sighting.settled {
            return Err(format!(
                "sighting {number} was delivered, and comes out again"
            ));
        }
        if let Some(put) = sighting.put.filter(|put| *put > 0) {
            if process.last_out.is_some_and(|last| put <= last) {
                return Err(format!("sighting {number} comes out of its order"));
            }
            process.last_out = Some(put);
        }
        sighting.delivered_now = true;
        sighting.delivered = true;
        Ok(())
    }

    /// Notes which entries the last step closed.
    fn close_what_went(&mut self, process: &Process, written: bool) {
        let in_table = process.table.0.values().map(|(one, ..)| number_of(one));
        let unspooled = process.unspooled.iter().map(|(version, ..)| *version);
        let waiting = process.later.values().copied();
        let held: BTreeSet<usize> = in_table.chain(unspooled).chain(waiting).collect();
        for (number, version) in self.versions.iter_mut().enumerate() {
            if version.fate == Fate::Open && !held.contains(&number) {
                version.fate = Fate::Closed {
                    written: written && version.accepted,
                };
                version.is_over |= version.matched == 0;
            }
        }
    }

    fn check_bounds(&self, process: &Process, is_sound: bool) -> Result<(), String> {
        let record = LARGEST as u64 + 8;
        let spool = self.disk.used_in(&Path::new(STATE).join("spool"));
        // A push that was refused may stay in the file until it can be cut off.
        let most = self.most_bytes + 2 * (BATCH as u64 * record) + 20;
        if spool > most {
            return Err(format!("the spool has {spool} bytes, more than {most}"));
        }
        let held = process.table.len() + process.unspooled.len() + process.later.len();
        let entry = record + 9;
        let journal = self.disk.used_in(Path::new(STATE));
        // If the process is killed while it rewrites the file, there are two. A rewrite that
        // failed is tried again after a quarter more.
        let most = GARBAGE + GARBAGE / 4 + 3 * (held as u64 + 1) * entry + entry;
        if is_sound && journal > most {
            return Err(format!("the journal has {journal} bytes, more than {most}"));
        }
        Ok(())
    }

    /// The disk is well again, and all that is left is done.
    fn end(&mut self) -> Result<(), String> {
        self.disk.set_faults(Faults::NONE);
        let mut process = loop {
            let started = match self.process.take() {
                Some(process) => Some(process),
                None => self.start()?,
            };
            if let Some(process) = started {
                break process;
            }
        };
        // Late enough for all that wait to begin, and all that end to have ended.
        self.now += 1000;
        self.live(&mut process, Input::Time)?;
        self.close_what_went(&process, true);
        while !(process.table.is_empty()
            && process.unspooled.is_empty()
            && process.spool.is_empty())
        {
            self.matches(&mut process)?;
            self.delivers(&mut process)?;
            self.close_what_went(&process, true);
        }
        self.check_all(&process)?;
        // What could not be written or removed before, is so now or at the next start.
        let written = process.spool.set_delivered(process.next);
        written.map_err(|error| error.to_string())?;
        self.disk.kill();
        let directory = Path::new(STATE).join("spool");
        let opened = Spool::open_on(self.disk.process(), &directory, self.most_bytes);
        let left = self.disk.used_in(&directory);
        match opened {
            Ok((spool, _)) if spool.is_empty() && left <= 20 => Ok(()),
            _ => Err(format!("{left} bytes are left of an empty spool")),
        }
    }

    fn check_all(&self, process: &Process) -> Result<(), String> {
        if process.life.not_yet_valid() > 0 {
            return Err("something waits for a time that has passed".to_owned());
        }
        for (number, version) in self.versions.iter().enumerate() {
            let is_lost = version.matched == 0 && !version.is_over;
            if is_lost && version.fate != Fate::Gone {
                return Err(format!("indicator {number} was never matched"));
            }
        }
        let is_missing = |one: &&Sighting| one.put.is_some() && !one.delivered;
        let missing = self.sightings.iter().filter(is_missing).count() as u64;
        let may_be_uncounted = self.uncounted && self.most_bytes < 10_000;
        if missing > self.tally.lost && !may_be_uncounted {
            let lost = self.tally.lost;
            return Err(format!(
                "{missing} sightings are missing, {lost} were reported"
            ));
        }
        Ok(())
    }

    fn message(&self, number: usize) -> Vec<u8> {
        padded(number)
    }

    fn indicator(&self, number: usize) -> Indicator {
        let version = &self.versions[number];
        let moment = |second: u64| OffsetDateTime::from(time(second));
        Indicator {
            validity: Validity::between(version.from.map(moment), version.until.map(moment)),
            ioc: vec![number.to_string()],
            ..Indicator::new(
                name(version.id),
                Protocol::Stix2,
                vec![Observable::domain("a.example")],
            )
        }
    }
}

fn name(id: usize) -> Arc<str> {
    id.to_string().into()
}

fn id_of(name: &str) -> usize {
    name.parse().expect("ids are numbers here")
}

fn number_of(indicator: &Indicator) -> usize {
    indicator.ioc[0].parse().expect("it is made of the number")
}

fn record(sighting: usize) -> Vec<u8> {
    padded(sighting)
}

/// A number, padded to a length that changes with the number.
fn padded(number: usize) -> Vec<u8> {
    let mut bytes = (number as u64).to_le_bytes().to_vec();
    bytes.resize(8 + number * 7 % (LARGEST - 8), 0x5a);
    bytes
}

fn number_in(bytes: &[u8]) -> usize {
    let number = bytes.first_chunk().copied().map(u64::from_le_bytes);
    number
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(usize::MAX)
}
