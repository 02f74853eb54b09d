//! One life of the log: from its opening to the next crash.

use super::FasterLogProgram;
use super::model::{Known, Model, Seen, bytes_of, cookie_of, number_of, number_of_cookie};
use crate::program::flaw::{Flawed, FlawedDisk};
use crate::program::{Violation, must};
use crate::world::{Access, Cause, When};
use crate::{SimRng, SimWorld};
use oxifaster::address::Address;
use oxifaster::log::{FasterLog, FasterLogConfig};
use oxifaster::{Error, ErrorKind};
use std::time::Duration;

/// Pages of memory.
const PAGES: u64 = 8;
/// Short, so that what waits in vain is found within the time of a test.
const WAIT_LIMIT: Duration = Duration::from_secs(5);
const CURSOR: &str = "a reader";

pub(super) struct Run<'w> {
    world: &'w SimWorld,
    flawed: Flawed,
    page_bits: u32,
    models: Vec<Model>,
    history: Vec<(usize, Known)>,
    log: Option<FasterLog>,
    next: u64,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Done,
    /// The disk has failed for good: whoever comes next is another process.
    Over,
}

/// Why a step was not carried out.
enum Outcome {
    Failed(Error),
    Wrong(Violation),
}

type Attempt = Result<(), Outcome>;

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Violation> for Outcome {
    fn from(violation: Violation) -> Self {
        Self::Wrong(violation)
    }
}

impl<'w> Run<'w> {
    pub(super) fn new(program: FasterLogProgram, world: &'w SimWorld, known: &Known, rng: &mut SimRng) -> Self {
        let models = if known.models.is_empty() { vec![Model::new()] } else { known.models.clone() };
        let page_bits = known.page_bits.unwrap_or(12 + rng.below(3) as u32);
        let next = rng.below(1 << 40) << 20;
        let mut run =
            Self { world, flawed: Flawed::new(program.flaw), page_bits, models, history: Vec::new(), log: None, next };
        run.note();
        run
    }

    pub(super) fn go(
        mut self,
        steps: u64,
        has_faults: bool,
        rng: &mut SimRng,
    ) -> Result<Vec<(usize, Known)>, Violation> {
        self.open()?;
        if has_faults {
            plan_fault(self.world, rng);
        }
        for _ in 0..steps {
            if self.step(rng)? == Step::Over {
                return Ok(self.history);
            }
        }
        self.world.repair();
        self.check_all()?;
        if self.reopen()? == Step::Done && rng.one_in(4) {
            self.complete()?;
            self.reopen()?;
        }
        Ok(self.history)
    }

    fn note(&mut self) {
        let known = Known { page_bits: Some(self.page_bits), models: self.models.clone() };
        self.history.push((self.world.now(), known));
    }

    /// From here on the log is this, and nothing else.
    fn is_now(&mut self, model: Model) {
        self.models = vec![model];
        self.note();
    }

    /// The only thing that the log can be.
    fn model(&self) -> Model {
        self.models.first().cloned().unwrap_or_default()
    }

    fn log(&self) -> Result<&FasterLog, Violation> {
        self.log.as_ref().ok_or_else(|| Violation::new("open", "the log is not open"))
    }

    fn config(&self) -> FasterLogConfig {
        FasterLogConfig::default()
            .with_page_size_bits(self.page_bits)
            .with_memory(PAGES << self.page_bits)
            .with_commit_interval(None)
            .with_wait_limit(WAIT_LIMIT)
    }

    fn disk(&self) -> FlawedDisk {
        FlawedDisk::new(self.world.disk("log"), self.flawed.clone())
    }

    /// Opens the log, and compares it with what it may be.
    fn open(&mut self) -> Result<(), Violation> {
        self.log = None;
        let log = must("opens", FasterLog::open(self.config(), self.disk()))?;
        must("opens", log.scan(..).try_for_each(|entry| entry.map(drop)))?;
        let seen = look_at(&log)?;
        let model = self.models.iter().find_map(|model| model.found(&seen)).ok_or_else(|| self.mismatch(&seen))?;
        for address in &model.gone {
            match log.read_entry(*address) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => return Err(Violation::new("gone", format_args!("{address} was cut off: {other:?}"))),
            }
        }
        self.log = Some(log);
        self.is_now(model);
        Ok(())
    }

    fn mismatch(&self, seen: &Seen) -> Violation {
        let told = |model: &Model| {
            let Model { entries, committed, begin, cookie, asked, complete, .. } = model;
            format!(
                "{} entries, {committed} committed, begin {begin:?}, {cookie}, {asked:?}, {complete:?}",
                entries.len()
            )
        };
        let known: Vec<_> = self.models.iter().map(told).collect();
        let of = |number: &u64| self.models[0].entries.iter().position(|known| known == number);
        let Seen { first: number, entries, cookie, complete } = seen;
        let (first, last) = (entries.first().map(of), entries.last().map(of));
        let what = format!(
            "{} entries from {number} on, {first:?} to {last:?}, {cookie}, {complete}; it may be {known:?}",
            entries.len()
        );
        Violation::new("committed", what)
    }

    fn step(&mut self, rng: &mut SimRng) -> Result<Step, Violation> {
        if self.model().complete == Some(true) {
            return self.read(rng).or_else(|outcome| self.face(outcome, rng)).map(|()| Step::Done);
        }
        let attempt = match rng.below(100) {
            0..58 => self.append(rng),
            58..76 => self.commit(rng),
            76..82 => self.truncate_before(rng),
            82..88 => self.truncate_suffix(rng),
            88..93 => self.read(rng),
            93..96 => self.follow(),
            _ => return self.reopen(),
        };
        match attempt {
            Ok(()) => Ok(Step::Done),
            Err(outcome) => {
                self.face(outcome, rng)?;
                if rng.coin() { Ok(Step::Over) } else { self.reopen() }
            }
        }
    }

    /// After a failure that a fault explains, what was committed can still be read, and nothing is appended any more.
    fn face(&mut self, outcome: Outcome, rng: &mut SimRng) -> Result<(), Violation> {
        let error = match outcome {
            Outcome::Wrong(violation) => return Err(violation),
            Outcome::Failed(error) => error,
        };
        if self.world.faults_struck() == 0 {
            return Err(Violation::new("no reason to fail", error));
        }
        if !matches!(error.kind(), ErrorKind::DeviceFailed | ErrorKind::Io) {
            return Err(Violation::new("says why", error));
        }
        self.world.repair();
        let log = self.log()?;
        let seen = look_at(log)?;
        // The cookie that it shows may be one that no commit brought.
        let fits = |model: &Model| model.allows(&Seen { cookie: model.cookie, entries: seen.entries.clone(), ..seen });
        if !self.models.iter().any(fits) {
            return Err(self.mismatch(&seen));
        }
        if rng.coin() && error.kind() == ErrorKind::DeviceFailed && log.commit().is_ok() {
            return Err(Violation::new("a failure is final", format_args!("it commits after {error}")));
        }
        Ok(())
    }

    /// Opens the log again, in place. A disk that has failed for good does not allow that.
    fn reopen(&mut self) -> Result<Step, Violation> {
        self.log = None;
        self.world.repair();
        match self.open() {
            Err(violation) if violation.clause == "opens" && self.world.faults_struck() > 0 => Ok(Step::Over),
            result => result.map(|()| Step::Done),
        }
    }

    fn append(&mut self, rng: &mut SimRng) -> Attempt {
        self.next += 1;
        let (number, mut model) = (self.next, self.model());
        let before = model.clone();
        model.entries.push(number);
        // It may be there from the moment at which the call begins.
        self.is_now(model.clone());
        let (data, log) = (bytes_of(number), self.log()?);
        let address = match rng.below(5) {
            0 => {
                let (first, second) = data.split_at(rng.index(data.len()));
                Some(log.append_parts(&[first, second])?)
            }
            1 => log.try_append(&data)?,
            _ => Some(log.append(&data)?),
        };
        match address {
            Some(address) if address.get() < model.used => {
                Err(Violation::new("used once", format_args!("{address} is given again")).into())
            }
            Some(_) => Ok(()),
            None => {
                self.is_now(before);
                Ok(())
            }
        }
    }

    fn commit(&mut self, rng: &mut SimRng) -> Attempt {
        let mut model = self.model();
        let commit = if rng.coin() {
            let number = 1 + rng.below(1 << 30);
            model.asked = Some((number, model.entries.len()));
            self.is_now(model.clone());
            self.log()?.set_cursor(CURSOR, Address::from_word(number))?;
            model.cookie = number;
            self.log()?.commit_with(&cookie_of(number))?
        } else {
            self.log()?.commit()?
        };
        if commit.number < model.number || number_of_cookie(&commit.cookie)? != model.cookie {
            return Err(Violation::new("numbers", format_args!("{commit:?} after {}", model.number)).into());
        }
        model.asked = None;
        model.number = commit.number;
        self.is_committed(model)?;
        Ok(())
    }

    /// All that was appended is durable.
    fn is_committed(&mut self, mut model: Model) -> Result<(), Violation> {
        model.committed = model.entries.len();
        model.used = self.log()?.committed().get();
        let expected = model.begin.1 as u64..model.entries.len() as u64;
        self.is_now(model);
        match self.log()?.numbers() {
            Ok(numbers) if numbers == expected => {}
            Err(_) if self.world.faults_struck() > 0 => {}
            other => return Err(Violation::new("numbers of entries", format_args!("{other:?}, not {expected:?}"))),
        }
        Ok(())
    }

    /// Gives up some entries at the beginning; all before are committed on the way.
    fn truncate_before(&mut self, rng: &mut SimRng) -> Attempt {
        let mut model = self.model();
        let (begin, count) = (model.begin.1, model.entries.len());
        let kept = begin + rng.index(count - begin + 1);
        let places = self.places()?;
        let address = if kept == count { self.log()?.tail() } else { places[kept - begin] };
        model.begin = (begin, kept);
        self.is_now(model.clone());
        self.log()?.truncate_before(address)?;
        model.begin = (kept, kept);
        model.gone.extend(&places[..kept - begin]);
        Ok(self.is_committed(model)?)
    }

    fn truncate_suffix(&mut self, rng: &mut SimRng) -> Attempt {
        let model = self.model();
        let (begin, count) = (model.begin.1, model.entries.len());
        if begin == count {
            return Ok(());
        }
        let kept = begin + rng.index(count - begin);
        let places = self.places()?;
        let mut cut = model.clone();
        cut.entries.truncate(kept);
        cut.committed = kept;
        self.models.push(cut.clone());
        self.note();
        self.log()?.truncate_suffix(places[kept - begin])?;
        cut.gone.extend(&places[kept - begin..]);
        Ok(self.is_committed(cut)?)
    }

    /// Where the entries are, also those that are not committed.
    fn places(&self) -> Result<Vec<Address>, Outcome> {
        let (mut places, mut entries) = (Vec::new(), Vec::new());
        let mut scan = self.log()?.scan_uncommitted(..);
        while let Some((address, data)) = scan.try_next()? {
            places.push(address);
            entries.push(number_of(&data)?);
        }
        if entries == self.model().live() {
            return Ok(places);
        }
        let what = format!("{} entries, {} were appended", entries.len(), self.model().live().len());
        Err(Violation::new("there", what).into())
    }

    fn read(&mut self, rng: &mut SimRng) -> Attempt {
        let (model, places) = (self.model(), self.places()?);
        if places.is_empty() {
            return Ok(());
        }
        let at = rng.index(places.len());
        let (data, len) = (self.log()?.read_entry(places[at])?, self.log()?.entry_len(places[at])?);
        if number_of(&data)? != model.live()[at] || len != data.len() as u64 {
            return Err(Violation::new("right bytes", "another entry was read").into());
        }
        Ok(())
    }

    /// Who reads the log of another process sees what is committed, and perhaps a prefix of the rest.
    fn follow(&self) -> Attempt {
        let log = FasterLog::open_read_only(self.config(), self.disk())?;
        let (seen, model) = match look_at(&log) {
            // A planned fault of a read has struck; the next one is read without.
            Err(violation) if violation.clause == "scans" && self.world.faults_struck() > 0 => return Ok(()),
            seen => (seen?, self.model()),
        };
        if !model.allows(&seen) {
            return Err(self.mismatch(&seen).into());
        }
        if log.append(b"more").is_ok() {
            return Err(Violation::new("read only", "it was appended to").into());
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<(), Violation> {
        let mut model = self.model();
        if model.complete == Some(true) {
            return Ok(());
        }
        model.complete = None;
        self.is_now(model.clone());
        must("completes", self.log()?.complete())?;
        model.complete = Some(true);
        self.is_committed(model)?;
        match self.log()?.append(b"more") {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
            other => Err(Violation::new("complete", format_args!("appending gave {other:?}"))),
        }
    }

    /// Without a crash everything is there, committed or not.
    fn check_all(&self) -> Result<(), Violation> {
        match self.places() {
            Ok(_) => Ok(()),
            Err(Outcome::Failed(error)) => Err(Violation::new("scans", error)),
            Err(Outcome::Wrong(violation)) => Err(violation),
        }
    }
}

/// One kind of call fails, once or from then on.
fn plan_fault(world: &SimWorld, rng: &mut SimRng) {
    let calls = [Access::DiskWrite, Access::DiskSync, Access::DiskRead, Access::DiskTruncate];
    let nth = 1 + rng.below(16);
    let when = if rng.one_in(4) { When::From(nth) } else { When::Nth(nth) };
    world.fail(calls[rng.index(calls.len())], when, Cause::ALL[rng.index(Cause::ALL.len())]);
}

/// What can be read of a log that is durable.
fn look_at(log: &FasterLog) -> Result<Seen, Violation> {
    let (mut entries, mut ends, mut scan) = (Vec::new(), None, log.scan(..));
    while let Some((address, data)) = must("scans", scan.try_next())? {
        entries.push(number_of(&data)?);
        ends = Some((ends.map_or(address, |(first, _)| first), address));
    }
    let numbers = must("scans", log.numbers())?;
    let is_counted = numbers.end - numbers.start == entries.len() as u64;
    if let Some((first, last)) = ends
        && is_counted
    {
        let found = must("scans", log.entry_at(numbers.start))?;
        let number = must("scans", log.number_of(last))?;
        if (found, number) != (Some(first), numbers.end - 1) {
            let what = format_args!("{numbers:?}: the first is at {found:?}, not {first}, the last is {number}");
            return Err(Violation::new("numbers of entries", what));
        }
    }
    if !is_counted {
        return Err(Violation::new("numbers of entries", format_args!("{numbers:?} of {} entries", entries.len())));
    }
    let cookie = number_of_cookie(&log.cookie())?;
    let cursor = log.cursor(CURSOR).map_or(0, Address::get);
    if cursor != cookie {
        return Err(Violation::new("one record", format_args!("cookie {cookie} came with cursor {cursor}")));
    }
    Ok(Seen { first: numbers.start as usize, entries, cookie, complete: log.is_complete() })
}
