//! Keys as they are, each once. Invariants S2 and S3 of [`super`].

use super::chains::ChainHold;
use super::log_scan::BUFFER_BYTES;
use crate::address::Address;
use crate::allocator::{Gather, LiveReader, ReadLimits};
use crate::compaction::concurrent::{ConcurrentCompactionConfig, ConcurrentCompactor};
use crate::epoch::Participant;
use crate::error::Result;
use crate::kernel::{Extent, IsNewestOp};
use crate::operation::Environment;
use crate::record::{Held, Key, RecordInfo, RecordLayout, Value};
use crate::store::Session;
use crate::store::compact::Hold;
use crate::store::database::Database;
use crate::sync::{Arc, AtomicU64, Ordering};
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes of the records that are looked up in one call.
const TOGETHER: usize = 1 << 18;

/// Where an iterator over keys is. It can be kept in memory and gone on with, by
/// [`FasterKv::iter_from`](crate::store::FasterKv::iter_from), as long as the store is open.
#[derive(Debug, Clone, Copy)]
pub struct ScanCursor {
    pub(super) at: Address,
    pub(super) extent: Extent,
    /// What has ended by then is not given.
    pub(super) now: u64,
}

impl ScanCursor {
    /// Records below were looked at.
    pub fn address(&self) -> Address {
        self.at
    }
}

/// A filter of what an iterator gives.
type Filter<K, V> = Box<dyn Fn(&K, &V) -> bool + Send>;

/// Every key once, with its newest value as of when the iterator was made, in the order of the log.
pub struct LiveIterator<K: Key, V: Value> {
    walk: LiveWalk<K, V>,
    _chains: ChainHold<K, V>,
    hold: Hold,
    extent: Extent,
    now: u64,
    version: Option<u64>,
    filter: Option<Filter<K, V>>,
    found: VecDeque<(Address, K, Held<V>)>,
    is_over: bool,
}

/// A record that may be the newest of its key.
struct Candidate<K, V> {
    at: Address,
    key: K,
    held: Held<V>,
}

/// One thread's way through the records of a store.
struct LiveWalk<K: Key, V: Value> {
    database: Arc<Database<K, V>>,
    session: Session<K, V>,
    reader: LiveReader,
    participant: Participant,
    gather: Gather,
    candidates: Vec<Candidate<K, V>>,
}

impl<K: Key, V: Value> LiveWalk<K, V> {
    fn new(database: &Arc<Database<K, V>>) -> Result<Self> {
        let limits = ReadLimits { buffer_bytes: BUFFER_BYTES, wait: database.kernel.wait_limit() };
        Ok(Self {
            session: Session::unlisted(Arc::clone(database)),
            reader: LiveReader::new(&database.kernel.log, RecordLayout::of::<K, V>(), limits)?,
            participant: database.epoch.join(),
            database: Arc::clone(database),
            gather: Gather::new(limits),
            candidates: Vec::new(),
        })
    }

    fn go_to(&mut self, range: Range<Address>) -> Result<()> {
        self.reader.go_to(range)
    }

    /// Reads on, and hands those records to `visit`, in order, that are the newest of their keys. False at the end.
    fn advance(
        &mut self,
        extent: Extent,
        now: u64,
        is_wanted: impl Fn(&K, &V) -> bool,
        mut visit: impl FnMut(Candidate<K, V>),
    ) -> Result<bool> {
        let (mut more, together) = (true, (TOGETHER / size_of::<Candidate<K, V>>()).max(64));
        while more && self.candidates.len() < together {
            let candidates = &mut self.candidates;
            let mut take = |at: Address, info: RecordInfo, bytes: &[u8]| {
                if info.is_live() && extent.counts(at, info) {
                    let record = RecordLayout::parse::<K, V>(bytes)?;
                    if let Some(large) = record.large {
                        candidates.push(Candidate { at, key: record.key, held: Held::Large(large) });
                    } else if let Some(value) = record.value
                        && !value.expiry().is_over(now)
                        && is_wanted(&record.key, &value)
                    {
                        candidates.push(Candidate { at, key: record.key, held: Held::Value(value) });
                    }
                }
                Ok(())
            };
            more = self.reader.advance(&self.database.kernel.log, &mut self.participant, &mut take)?;
        }
        let candidates = std::mem::take(&mut self.candidates);
        let mut is_newest = vec![false; candidates.len()];
        let make = |place: usize| IsNewestOp::new(candidates[place].key.clone(), candidates[place].at, extent);
        let done = |place: usize, newest: bool| is_newest[place] = newest;
        self.session.run_unlisted(&mut self.gather, candidates.len(), |place| &candidates[place].key, make, done)?;
        let newest =
            candidates.into_iter().zip(is_newest).filter_map(|(candidate, newest)| newest.then_some(candidate));
        newest.for_each(&mut visit);
        Ok(more)
    }
}

impl<K: Key, V: Value> LiveIterator<K, V> {
    /// From where `hold` keeps the log, which is where a record begins. What has ended by `now`, a time before the extent was known, is
    /// left out.
    pub(super) fn new(chains: ChainHold<K, V>, hold: Hold, extent: Extent, now: u64) -> Result<Self> {
        let mut walk = LiveWalk::new(chains.database())?;
        walk.go_to(hold.at()..extent.end)?;
        Ok(Self {
            walk,
            _chains: chains,
            hold,
            extent,
            now,
            version: None,
            filter: None,
            found: VecDeque::new(),
            is_over: false,
        })
    }

    pub(super) fn of_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Gives only what `filter` says yes to. It is asked before a record is looked up, also about values that are not the newest:
    /// what it refuses costs little. Keys with large values are given without asking it.
    #[must_use]
    pub fn with_filter(mut self, filter: impl Fn(&K, &V) -> bool + Send + 'static) -> Self {
        self.filter = Some(Box::new(filter));
        self
    }

    /// The version whose operations it shows, all of them and no later ones, if it is a consistent one.
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// Where it is: an iterator from this cursor gives what this one has not given yet, without its filter.
    pub fn cursor(&self) -> ScanCursor {
        let next = self.found.front().map_or_else(|| self.walk.reader.position(), |(at, ..)| *at);
        ScanCursor { at: next.min(self.extent.end), extent: self.extent, now: self.now }
    }

    fn read_on(&mut self) -> Result<()> {
        while self.found.is_empty() && !self.is_over {
            let (found, filter) = (&mut self.found, &self.filter);
            let is_wanted = |key: &K, value: &V| filter.as_ref().is_none_or(|filter| filter(key, value));
            let visit = |candidate: Candidate<K, V>| found.push_back((candidate.at, candidate.key, candidate.held));
            self.is_over = !self.walk.advance(self.extent, self.now, is_wanted, visit)?;
            // What was found and not given yet need not be read again, unless a cursor says so.
            let next = self.found.front().map_or_else(|| self.walk.reader.position(), |(at, ..)| *at);
            self.hold.advance(next.min(self.extent.end));
        }
        Ok(())
    }
}

impl<K: Key, V: Value> Iterator for LiveIterator<K, V> {
    type Item = Result<(K, V)>;

    /// A key with a [large](crate::store::ValueReader) value is an item of its own,
    /// [`ErrorKind::LargeValue`](crate::ErrorKind::LargeValue); others follow it.
    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.next_held()? {
            Ok((key, Held::Value(value))) => Ok((key, value)),
            Ok((_, Held::Large(root))) => Err(root.refuse()),
            Err(error) => Err(error),
        })
    }
}

impl<K: Key, V: Value> LiveIterator<K, V> {
    /// The keys alone, each with the bytes of its value, whether that is a [large](crate::store::ValueReader) one or not.
    pub fn keys(mut self) -> impl Iterator<Item = Result<(K, u64)>> {
        std::iter::from_fn(move || match self.next_held()? {
            Ok((key, held)) => Some(Ok((key, held.len()))),
            Err(error) => Some(Err(error)),
        })
    }

    fn next_held(&mut self) -> Option<Result<(K, Held<V>)>> {
        if self.found.is_empty()
            && let Err(error) = self.read_on()
        {
            self.is_over = true;
            return Some(Err(error));
        }
        self.found.pop_front().map(|(_, key, held)| Ok((key, held)))
    }
}

/// Calls `visit` with every newest record, from several threads. The hold is kept by the caller.
pub(super) fn for_each<K: Key, V: Value>(
    database: &Arc<Database<K, V>>,
    hold: &Hold,
    (extent, now): (Extent, u64),
    threads: usize,
    visit: impl Fn(&K, &Held<V>) -> Result<()> + Sync,
) -> Result<u64> {
    let page_bits = database.kernel.log.geometry().page().page_bits();
    let parts = ConcurrentCompactionConfig::new(threads).with_part_bits(page_bits);
    let count = AtomicU64::new(0);
    let range = hold.at()..extent.end.max(hold.at());
    ConcurrentCompactor::new(parts).run(range, |parts| {
        let mut walk = LiveWalk::new(database)?;
        while let Some(part) = parts.take() {
            walk.go_to(part)?;
            let (mut met, mut visited) = (0, Ok(()));
            let mut each = |candidate: Candidate<K, V>| {
                met += 1;
                if visited.is_ok() {
                    visited = visit(&candidate.key, &candidate.held);
                }
            };
            while walk.advance(extent, now, |_, _| true, &mut each)? {}
            visited?;
            count.fetch_add(met, Ordering::Relaxed);
        }
        Ok(())
    })?;
    Ok(count.into_inner())
}
