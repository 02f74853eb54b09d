//! A store on a disk that fails and lies: what it says is right, or it says that it cannot.
//!
//! No crash: what is looked at is the way of a record to the device and back (`flush`, `evict`, reads of what is no longer in
//! memory), under failures of writes and reads, lost and misdirected writes, misdirected reads, flipped bits and short
//! reads.
//!
//! * A value that is read is the one that was written last, or the call fails.
//! * A call that fails leaves the store as it was.
//! * Only a disk that lies makes anything corrupt; one that merely fails loses nothing, once it is repaired.

use super::{Effort, Program, Stage, Violation};
use crate::rng::mix;
use crate::world::{Access, Cause, Latency, Lie, Medium, SimConfig, When};
use crate::{SimDisk, SimRng, SimWorld};
use oxifaster::store::{Begun, FasterKv, FasterKvConfig, Outcome, Session, Ticket};
use oxifaster::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::time::Duration;

type Value = [u64; 3];

const STEPS: u64 = 3_000;
const KEYS: u64 = 600;
/// A log of eight pages of 4 KiB: about 800 records.
const LOG_MEMORY: u64 = 32 << 10;
/// Short, so that what waits in vain is found within the time of a test.
const WAIT_LIMIT: Duration = Duration::from_secs(5);

/// Operates on a store whose log is larger than its memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogProgram;

impl Program for LogProgram {
    type Known = ();
    type History = ();

    const NAME: &'static str = "log";
    const ABOUT: &'static str = "a store larger than memory on a disk that fails and lies: right values, or errors";

    fn config(&self, rng: &mut SimRng) -> SimConfig {
        let latencies = [Latency::None, Latency::Short, Latency::Uneven];
        SimConfig::default().with_latency(latencies[rng.index(latencies.len())])
    }

    fn beginning(&self) {}

    fn run(&self, world: &SimWorld, (): &(), _: Stage, rng: &mut SimRng) -> std::result::Result<(), Violation> {
        let weather = Weather::draw(rng);
        weather.set(world);
        let tenths = rng.below(10);
        let config = FasterKvConfig::default()
            .with_log_memory_size(LOG_MEMORY)
            .with_page_size_bits(12)
            .with_table_size(64)
            .with_mutable_fraction(tenths as f64 / 10.0)
            .with_revivification(tenths % 2 == 1)
            .with_wait_limit(WAIT_LIMIT);
        let store = FasterKv::open(config, world.disk("log")).map_err(|error| Violation::new("opens", error))?;
        let mut run = Run {
            sessions: [store.start_session(), store.start_session()],
            store,
            weather,
            model: HashMap::new(),
            pending: HashMap::new(),
            counter: 0,
        };
        for _ in 0..STEPS {
            run.step(rng)?;
        }
        run.finish_pending(0)?;
        run.finish_pending(1)?;
        world.repair();
        run.weather.is_over = true;
        run.check_all()
    }

    fn known_at(&self, (): &(), _: usize) {}

    fn effort(&self) -> Effort {
        Effort::NONE
    }
}

/// What the disk does to the store.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    write_failures: u64,
    read_failures: u64,
    lying_writes: u64,
    lying_reads: u64,
    cause: usize,
    lie: usize,
    is_over: bool,
}

impl Weather {
    /// One out of so many accesses suffers; zero for none. A third of the seeds are fair weather.
    fn draw(rng: &mut SimRng) -> Self {
        let mut weather = Self { cause: rng.index(Cause::ALL.len()), lie: rng.index(6), ..Self::default() };
        if rng.one_in(3) {
            return weather;
        }
        let rates = [
            &mut weather.write_failures,
            &mut weather.read_failures,
            &mut weather.lying_writes,
            &mut weather.lying_reads,
        ];
        for rate in rates {
            if rng.coin() {
                *rate = 2 + rng.below(30);
            }
        }
        weather
    }

    fn set(&self, world: &SimWorld) {
        let cause = Cause::ALL[self.cause];
        world.fail(Access::DiskWrite, When::OneIn(self.write_failures), cause);
        world.fail(Access::DiskRead, When::OneIn(self.read_failures), cause);
        let of_writes = [Lie::LostWrite, Lie::MisdirectedWrite];
        world.lie(Medium::Disk, When::OneIn(self.lying_writes), of_writes[self.lie % 2]);
        let of_reads = [Lie::MisdirectedRead, Lie::FlippedRead, Lie::ShortRead];
        world.lie(Medium::Disk, When::OneIn(self.lying_reads), of_reads[self.lie % 3]);
    }

    /// Whether this error may be, for a call that reads the disk or needs room on it.
    fn explains(&self, error: &Error) -> bool {
        let corrupts = self.lying_writes > 0 || (self.lying_reads > 0 && !self.is_over);
        match error.kind() {
            ErrorKind::Corrupt => corrupts,
            // Beyond the end of what was written lies nothing, and a read that ends early says so.
            ErrorKind::Io | ErrorKind::DeviceFailed if corrupts => true,
            ErrorKind::Io => self.read_failures > 0 && !self.is_over,
            ErrorKind::DeviceFailed => (self.write_failures > 0 || self.read_failures > 0) && !self.is_over,
            _ => false,
        }
    }
}

struct Run {
    store: FasterKv<u64, Value, SimDisk>,
    sessions: [Session<u64, Value>; 2],
    weather: Weather,
    model: HashMap<u64, Value>,
    /// What each pending read has to give: nothing changes its key meanwhile.
    pending: HashMap<(usize, Ticket), u64>,
    counter: u64,
}

impl Run {
    fn step(&mut self, rng: &mut SimRng) -> std::result::Result<(), Violation> {
        let (who, key) = (rng.index(2), rng.below(KEYS));
        if self.is_pending(key) {
            return self.finish_pending(who);
        }
        match rng.below(100) {
            0..40 => self.upsert(who, key),
            40..60 => self.add(who, key),
            60..66 => self.delete(who, key),
            66..85 => self.read(who, key),
            85..95 => self.begin_read(who, key),
            95..97 => self.finish_pending(who),
            97 => self.judge("flush", self.store.flush()).map(drop),
            _ => self.judge("evict", self.store.evict()).map(drop),
        }
    }

    fn is_pending(&self, key: u64) -> bool {
        self.pending.values().any(|pending| *pending == key)
    }

    /// What a call gave, or `None` if it failed and the weather explains that.
    fn judge<T>(&self, call: &str, result: Result<T>) -> std::result::Result<Option<T>, Violation> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if self.weather.explains(&error) => Ok(None),
            Err(error) => Err(Violation::new("no reason to fail", format_args!("{call}: {error}; {:?}", self.weather))),
        }
    }

    fn upsert(&mut self, who: usize, key: u64) -> std::result::Result<(), Violation> {
        self.counter += 1;
        let value = value_of(key, self.counter);
        let result = self.sessions[who].upsert(key, value);
        if self.judge("upsert", result)?.is_some() {
            self.model.insert(key, value);
        }
        Ok(())
    }

    fn add(&mut self, who: usize, key: u64) -> std::result::Result<(), Violation> {
        let mut found = None;
        let result = self.sessions[who].rmw(key, |value| {
            found = Some(*value);
            *value = value_of(key, value[1] + 1);
            true
        });
        let Some(changed) = self.judge("rmw", result)? else { return Ok(()) };
        let expected = self.model.get(&key).copied().unwrap_or_default();
        if found != Some(expected) || !changed {
            return Err(wrong(key, Some(expected), found));
        }
        self.model.insert(key, value_of(key, expected[1] + 1));
        Ok(())
    }

    fn delete(&mut self, who: usize, key: u64) -> std::result::Result<(), Violation> {
        let result = self.sessions[who].delete(&key);
        if self.judge("delete", result)?.is_some() {
            self.model.remove(&key);
        }
        Ok(())
    }

    fn read(&mut self, who: usize, key: u64) -> std::result::Result<(), Violation> {
        let result = self.sessions[who].read(&key);
        match self.judge("read", result)? {
            Some(found) => self.compare(key, found),
            None => Ok(()),
        }
    }

    fn begin_read(&mut self, who: usize, key: u64) -> std::result::Result<(), Violation> {
        let result = self.sessions[who].begin_read(&key);
        match self.judge("begin_read", result)? {
            Some(Begun::Done(found)) => self.compare(key, found),
            Some(Begun::Pending(ticket)) => {
                self.pending.insert((who, ticket), key);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn finish_pending(&mut self, who: usize) -> std::result::Result<(), Violation> {
        while self.sessions[who].pending() > 0 {
            let result = self.sessions[who].complete_pending(true);
            let Some(completed) = self.judge("complete_pending", result)? else { continue };
            for completed in completed {
                let Some(key) = self.pending.remove(&(who, completed.ticket)) else {
                    return Err(Violation::new("once", "an operation completed that was not pending"));
                };
                if let Some(Outcome::Read(found)) = self.judge("pending read", completed.outcome)? {
                    self.compare(key, found)?;
                }
            }
        }
        Ok(())
    }

    fn compare(&self, key: u64, found: Option<Value>) -> std::result::Result<(), Violation> {
        let expected = self.model.get(&key).copied();
        if found == expected { Ok(()) } else { Err(wrong(key, expected, found)) }
    }

    /// With the disk repaired, everything is written out and looked at.
    fn check_all(&mut self) -> std::result::Result<(), Violation> {
        self.judge("evict", self.store.evict())?;
        for key in 0..KEYS {
            self.read(0, key)?;
        }
        Ok(())
    }
}

fn value_of(key: u64, counter: u64) -> Value {
    [key, counter, mix(key ^ counter.rotate_left(32))]
}

fn wrong(key: u64, expected: Option<Value>, found: Option<Value>) -> Violation {
    Violation::new("right values", format_args!("key {key} gave {found:?}, and {expected:?} was written"))
}
