//! Following what becomes of keys.

use super::log_scan::BUFFER_BYTES;
use super::{given_back, immutable_up_to};
use crate::address::Address;
use crate::allocator::{FIRST, LiveReader, ReadLimits};
use crate::epoch::Participant;
use crate::error::{Error, ErrorKind, Result};
use crate::operation::Environment;
use crate::record::{Key, RecordInfo, RecordLayout, Value};
use crate::store::compact::Hold;
use crate::store::database::Database;
use crate::sync::{Arc, Backoff};
use crate::utility::crc32c;
use std::time::{Duration, Instant};

/// A place between two changes. It can be kept, as 24 bytes, and gone on from after a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChangeCursor {
    address: u64,
    /// The generation of the log when it was taken: every recovery begins a new one.
    generation: u32,
    /// The generation of the block that ends before it. If another one lies there now, a recovery has put back what the block held at a
    /// checkpoint, which may be older than what was given: that block or, behind it in the same sweep, all that follow.
    block: u32,
    /// How far back the last record lies that was given, and what its bytes add up to: another one lies there if the log went
    /// another way after a recovery.
    back: u32,
    checksum: u32,
}

impl ChangeCursor {
    /// Before the oldest change that the log holds.
    pub const START: Self = Self { address: 0, generation: 0, block: 0, back: 0, checksum: 0 };

    /// The place in the log: all that lies below was given.
    pub fn address(self) -> Address {
        Address::from_word(self.address)
    }

    /// As bytes, to be kept.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.address.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.generation.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.block.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.back.to_le_bytes());
        bytes[20..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// The cursor that was kept as these bytes; whether it is one of a store is found out when it is used.
    pub fn from_bytes(bytes: [u8; 24]) -> Self {
        let number = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        Self {
            address: u64::from(number(0)) | u64::from(number(4)) << 32,
            generation: number(8),
            block: number(12),
            back: number(16),
            checksum: number(20),
        }
    }
}

/// How far a feed goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ChangeReach {
    /// To what is closed to updates in place. A crash may take back what was given: a feed from a later cursor than the store
    /// was recovered to is refused.
    #[default]
    Immutable,
    /// To what a checkpoint holds as it is for good: a fold-over all of its log, the other kinds what was closed to updates in place when they
    /// were taken. What was given is never taken back.
    Checkpointed,
}

/// How a feed of changes works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangeOptions {
    /// See [`with_reach`](Self::with_reach).
    pub reach: ChangeReach,
    /// See [`with_max_held`](Self::with_max_held).
    pub max_held: u64,
}

impl Default for ChangeOptions {
    fn default() -> Self {
        Self { reach: ChangeReach::Immutable, max_held: 1 << 30 }
    }
}

impl ChangeOptions {
    /// How far the feed goes. `Default:` [`ChangeReach::Immutable`].
    #[must_use]
    pub fn with_reach(mut self, reach: ChangeReach) -> Self {
        self.reach = reach;
        self
    }

    /// Bytes of the log that are of no use to the store any more, and are kept for this feed at most. One that is further behind
    /// is given up: its next call fails. `Default:` 1 GiB.
    #[must_use]
    pub fn with_max_held(mut self, bytes: u64) -> Self {
        self.max_held = bytes;
        self
    }
}

/// A key got a value, or was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change<K, V> {
    /// A key that has no older record in its chain got a value. Others may be new as well: whether a key existed before is only
    /// known for sure by reading back.
    Insert {
        /// The key.
        key: K,
        /// Its value.
        value: V,
    },
    /// A key got a value.
    Update {
        /// The key.
        key: K,
        /// Its value.
        value: V,
    },
    /// A key got a [large](crate::store::ValueReader) value, which is to be read by itself: what the key has by then may be newer.
    Large {
        /// The key.
        key: K,
        /// Bytes of its value.
        len: u64,
    },
    /// A key was deleted, or has no value for another reason, such as that its value had ended by the time that it is told of.
    Delete {
        /// The key.
        key: K,
    },
}

impl<K, V> Change<K, V> {
    /// Whose change it is.
    pub fn key(&self) -> &K {
        match self {
            Self::Insert { key, .. } | Self::Update { key, .. } | Self::Large { key, .. } | Self::Delete { key } => key,
        }
    }

    /// What the key has after it, unless that is a large value.
    pub fn value(&self) -> Option<&V> {
        match self {
            Self::Insert { value, .. } | Self::Update { value, .. } => Some(value),
            Self::Large { .. } | Self::Delete { .. } => None,
        }
    }
}

/// Where reading came to, and the last record that was read.
type Read = (Address, Option<(Address, u32)>);

/// The changes of a store in the order of its log, from a cursor on.
///
/// What is given for a record is its state when it was closed to updates in place: of several updates in place only the last,
/// and of a key that was inserted and deleted in place only the deletion. A record that compaction has moved is given again, as an
/// update to the value it has. Applied to a map in order, the changes make the map equal to the store at the cursor: from the first
/// change on if nothing was compacted yet, and otherwise from where the log ended when the feed began.
///
/// That a value ends later on is no change: it stands in no log. A value that [may end](crate::record::Expiring) is given with its
/// expiry, and who follows the feed has it end by that; one that has ended when the feed comes to it is given as a deletion, since it
/// may be the end of an older one.
///
/// Nothing is read that nobody asks for: who takes changes slowly keeps space of the log, which [`held`](Self::held) tells and
/// [`ChangeOptions::with_max_held`] bounds.
pub struct ChangeFeed<K: Key, V: Value> {
    database: Arc<Database<K, V>>,
    participant: Participant,
    hold: Hold,
    reader: LiveReader,
    options: ChangeOptions,
    /// Everything below was given.
    at: Address,
    /// The last record that was given, and what its bytes add up to.
    last: Option<(Address, u32)>,
}

impl<K: Key, V: Value> ChangeFeed<K, V> {
    pub(super) fn new(database: &Arc<Database<K, V>>, from: ChangeCursor, options: &ChangeOptions) -> Result<Self> {
        let log = &database.kernel.log;
        let hold = if from == ChangeCursor::START {
            // Not from where the log begins: what is below may have been moved to where a crash takes it back, and is there for as long.
            database.reclaim.hold_all_at_most(options.max_held, || log.begin())
        } else {
            let hold = database.reclaim.hold_from_at_most(from.address(), options.max_held);
            hold.map_err(|kept| given_back(from.address(), kept).help("start anew from ChangeCursor::START"))?
        };
        let at = hold.at();
        check(database, from)?;
        let last = (from.back > 0).then(|| (Address::from_word(from.address - u64::from(from.back)), from.checksum));
        Ok(Self {
            database: Arc::clone(database),
            participant: database.epoch.join(),
            reader: reader(database)?,
            hold,
            options: *options,
            at,
            last,
        })
    }

    /// Where it is: all that was given lies before.
    pub fn cursor(&self) -> ChangeCursor {
        // Before the first change there is nothing by which the log could be known again, and nothing that could be given twice.
        let Some((last, checksum)) = self.last else { return ChangeCursor::START };
        let back = (self.at.get() - last.get()) as u32;
        let (generation, block) =
            (generation(&self.database, Address::MAX), generation(&self.database, before(self.at)));
        ChangeCursor { address: self.at.get(), generation, block, back, checksum }
    }

    /// Bytes of the log that are kept for this feed and otherwise would not be.
    pub fn held(&self) -> u64 {
        self.database.kernel.log.begin().get().saturating_sub(self.at.get())
    }

    /// Bytes of the log between what was given and what there is.
    pub fn behind(&self) -> u64 {
        self.database.kernel.log.addresses().tail.get().saturating_sub(self.at.get())
    }

    /// Has everything that is in the store at this moment closed to updates in place, so that it is given by the next calls.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if a session keeps a page from being closed for too long.
    pub fn catch_up(&mut self) -> Result<()> {
        immutable_up_to(&self.database, Address::MAX).map(drop)
    }

    /// The next changes there are, about `about` of them and fewer if there are not so many; none if it has come to the end of what
    /// can be given. Does not wait for more.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if it is further behind than it may be, those of the device. The cursor stays where it was.
    pub fn take(&mut self, about: usize) -> Result<Vec<Change<K, V>>> {
        let end = self.end();
        let mut changes = Vec::new();
        if self.at >= end {
            return Ok(changes);
        }
        let taken = self.read(end, about, &mut changes);
        if self.hold.is_lost() {
            // Whatever was read may be what the device makes of a place that it gave up.
            return Err(Error::new(ErrorKind::Limit, "a feed of changes is too far behind and was given up")
                .with("at", self.at)
                .with("bytes that may be kept for it", self.options.max_held)
                .help("start anew from ChangeCursor::START, take changes faster, or allow more with with_max_held"));
        }
        (self.at, self.last) = taken?;
        self.hold.advance(self.at);
        Ok(changes)
    }

    /// The next changes, as [`take`](Self::take); waits up to `timeout` for there to be any.
    ///
    /// # Errors
    /// As for `take`.
    pub fn take_within(&mut self, about: usize, timeout: Duration) -> Result<Vec<Change<K, V>>> {
        let (since, mut backoff) = (Instant::now(), Backoff::new());
        loop {
            let changes = self.take(about)?;
            if !changes.is_empty() || since.elapsed() >= timeout {
                return Ok(changes);
            }
            self.database.kernel.log.help();
            backoff.wait();
        }
    }

    /// Up to where changes can be given.
    fn end(&self) -> Address {
        match self.options.reach {
            ChangeReach::Immutable => self.database.kernel.log.safe_read_only(),
            ChangeReach::Checkpointed => Address::from_word(self.database.checkpointed.get()),
        }
    }

    /// Reads at least `about` changes, or all up to `end`. Returns where it came to.
    fn read(&mut self, end: Address, about: usize, changes: &mut Vec<Change<K, V>>) -> Result<Read> {
        if self.reader.end() < end {
            self.reader = reader(&self.database)?;
        }
        self.reader.go_to(self.at..end)?;
        let (mut more, mut last, now) = (true, self.last, self.database.kernel.now());
        let mut take = |at: Address, info: RecordInfo, bytes: &[u8], changes: &mut Vec<Change<K, V>>| {
            if !info.is_invalid() {
                last = Some((at, crc32c(bytes)));
                let record = RecordLayout::parse::<K, V>(bytes)?;
                changes.push(match (record.large_len(), record.key, record.value) {
                    (Some(len), key, _) => Change::Large { key, len },
                    (None, key, None) => Change::Delete { key },
                    (None, key, Some(value)) if value.expiry().is_over(now) => Change::Delete { key },
                    (None, key, Some(value)) if !info.previous().is_valid() => Change::Insert { key, value },
                    (None, key, Some(value)) => Change::Update { key, value },
                });
            }
            Ok(())
        };
        while more && changes.len() < about.max(1) {
            let mut each = |at: Address, info: RecordInfo, bytes: &[u8]| take(at, info, bytes, changes);
            more = self.reader.advance(&self.database.kernel.log, &mut self.participant, &mut each)?;
        }
        // All of a range is read with its end, which is where a record begins.
        Ok((if more { self.reader.position().min(end) } else { end }, last))
    }
}

/// That of the block at `at`; far behind the end, of what is appended now.
fn generation<K: Key, V: Value>(database: &Database<K, V>, at: Address) -> u32 {
    database.kernel.log.history().generation_at(at)
}

/// The byte before `at`, which is not the first one.
fn before(at: Address) -> Address {
    Address::from_word(at.get().saturating_sub(1))
}

fn reader<K: Key, V: Value>(database: &Database<K, V>) -> Result<LiveReader> {
    let limits = ReadLimits { buffer_bytes: BUFFER_BYTES, wait: database.kernel.wait_limit() };
    LiveReader::new(&database.kernel.log, RecordLayout::of::<K, V>(), limits)
}

/// Whether the log still is the one that the cursor is of. What comes after it is held.
fn check<K: Key, V: Value>(database: &Database<K, V>, from: ChangeCursor) -> Result<()> {
    let log = &database.kernel.log;
    let refuse = || {
        Err(Error::new(ErrorKind::NotFound, "a feed of changes cannot go on: the log has gone another way since")
            .with("cursor", from.address())
            .with("end of the log", log.addresses().tail)
            .help("what came before the cursor was given up by a recovery: start anew from ChangeCursor::START"))
    };
    if from == ChangeCursor::START {
        return Ok(());
    }
    let last = from.address.checked_sub(u64::from(from.back)).map(Address::from_word);
    let Some(last) = last.filter(|last| last.get() >= FIRST && from.address <= log.addresses().tail.get()) else {
        return refuse();
    };
    if from.generation == generation(database, Address::MAX) {
        return Ok(()); // it is of this life of the store
    }
    // What a cut left out was given before it, but is no part of the log any more.
    let may_be_aborted = log.history().may_be_aborted(before(from.address()), from.address());
    // In place of what was given there may be what it was at a checkpoint, though the last record is the same.
    let is_put_back = from.block != generation(database, before(from.address()));
    let is_known = last >= database.reclaim.given_back().max(database.reclaim.known_from());
    if from.back == 0 || may_be_aborted || is_put_back || !is_known {
        return refuse();
    }
    let mut reader = reader(database)?;
    reader.go_to(last..from.address().min(reader.end()))?;
    let mut found = None;
    let mut participant = database.epoch.join();
    let mut look = |at: Address, info: RecordInfo, bytes: &[u8]| {
        if at == last && !info.is_invalid() {
            found = Some(crc32c(bytes));
        }
        Ok(())
    };
    // It may be something else that lies there, and then anything may be said of it.
    while reader.advance(log, &mut participant, &mut look).unwrap_or(false) {}
    if found == Some(from.checksum) { Ok(()) } else { refuse() }
}
