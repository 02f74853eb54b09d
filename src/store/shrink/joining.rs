//! Chains of a bucket that are joined one record at a time, while the bucket stays frozen: W7 of [`crate::index`]'s growth.
//!
//! Whatever is in the way of doing it under one pin is none here: records are read from where they lie, room is waited for, and what is
//! written to all the time is not while the bucket is frozen. So it ends as long as the device works, in as many steps as the chain has
//! records. Who writes to the bucket waits meanwhile; who reads does not.
//!
//! Copies are made while nothing leads to them, and may leave memory before something does. Until the last one is there they count for
//! nobody: a scan is not under way, compaction is not, no image is taken, and a recovery leaves parts without a last one out (P4 of
//! replay). If it comes to nothing they stay what they are: records that are in no chain.

use super::{Shrinking, behind, means_of};
use crate::address::Address;
use crate::device::access;
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Frozen, Hindrance, Pair, Place};
use crate::kernel::{Fetch, LogCopier};
use crate::operation::{Environment, Retry, Stall};
use crate::record::{Key, RecordLayout, RecordRef, Value};
use crate::store::compact::close_below;
use crate::store::database::Database;
use crate::sync::{AtomicU64, Ordering};
use std::collections::BTreeSet;

/// A record in words of its own.
struct Loose(Vec<AtomicU64>);

impl Loose {
    /// From bytes that came from the device.
    fn from_bytes(layout: RecordLayout, bytes: &[u8]) -> Result<Self> {
        layout.split(bytes)?;
        Ok(Self(bytes.as_chunks().0.iter().map(|word| AtomicU64::new(u64::from_le_bytes(*word))).collect()))
    }

    fn record(&self) -> RecordRef<'_> {
        RecordRef::new(&self.0)
    }
}

/// The keys of which a record was met.
#[derive(Default)]
struct Met {
    /// By hash, and where the newest record lies.
    places: BTreeSet<(u64, Address)>,
    /// One of these records: most that are met again are met many times in a row.
    last: Option<(Address, Loose)>,
}

impl<K: Key, V: Value> Shrinking<'_, K, V> {
    /// Merges a bucket, unless somebody else has begun to.
    ///
    /// # Errors
    /// Those of the device and of appending; [`ErrorKind::Busy`] if somebody does not unpin.
    pub(super) fn merge_slowly(&mut self, bucket: u64) -> Result<()> {
        // What the chains hold when they are frozen is there until they are joined.
        let hold = self.database.hold_log();
        let Database { kernel, epoch, .. } = self.database;
        let (frozen, pairs) = {
            let (_guard, _) = self.driver.pin(kernel);
            let Some(frozen) = kernel.index.freeze(bucket) else { return Ok(()) };
            let pairs = frozen.pairs(means_of(&self.records, hold.at()));
            (frozen, pairs)
        };
        if let Some(newest) = pairs.iter().map(|pair| pair.lower).max() {
            close_below(self.database, behind(newest))?;
        }
        for pair in &pairs {
            self.join(&frozen, pair, hold.at())?;
        }
        let merged = {
            let means = means_of(&self.records, hold.at());
            let (_guard, _) = self.driver.pin(kernel);
            frozen.merge(means, epoch)
        };
        merged.map_err(|hindrance| self.stuck(bucket, hindrance))
    }

    /// Joins the chains of a pair: copies of the newest record of each key of the lower one come in front of the higher one.
    fn join(&mut self, frozen: &Frozen<'_>, pair: &Pair, begin: Address) -> Result<()> {
        let kernel = &self.database.kernel;
        let (mut head, mut at, mut met) = (pair.higher, pair.lower, Met::default());
        let mut newest: Option<Loose> = None;
        while at.is_valid() && at >= begin {
            let loose = self.record_at(at)?;
            let info = loose.record().info();
            if !info.is_invalid() && self.is_wanted(frozen, pair, (at, &loose), &mut met)? {
                // Which of them is the last one is known when there is another one, or none.
                if let Some(before) = newest.replace(loose) {
                    head = self.append(&before, head, Place::Part)?;
                }
            }
            at = info.previous();
        }
        let place = if head == pair.higher { Place::Alone } else { Place::Last };
        let mut stall = Stall::new();
        loop {
            {
                let (guard, _) = self.driver.pin(kernel);
                let copier = LogCopier::new(kernel, &guard);
                let last = newest.as_ref().map_or(Some(head), |last| copier.append(last.record(), head, place));
                if let Some(last) = last {
                    frozen.join(pair, last);
                    return Ok(());
                }
            }
            stall.wait(kernel, Retry::Room)?;
        }
    }

    /// Whether a record of the lower chain is the first that is met of a key of its own.
    fn is_wanted(
        &mut self,
        frozen: &Frozen<'_>,
        pair: &Pair,
        (at, loose): (Address, &Loose),
        met: &mut Met,
    ) -> Result<bool> {
        let hash = loose.record().key_hash::<K, V>();
        if !frozen.is_own(pair, hash) {
            return Ok(false);
        }
        let hash = hash.get();
        for (_, place) in met.places.range((hash, Address::INVALID)..=(hash, Address::MAX)) {
            let last = match met.last.take().filter(|(at, _)| at == place) {
                Some((_, last)) => last,
                None => self.record_at(*place)?,
            };
            let is_of_one_key = last.record().has_key_of::<K, V>(loose.record());
            met.last = Some((*place, last));
            if is_of_one_key {
                return Ok(false);
            }
        }
        met.places.insert((hash, at));
        Ok(true)
    }

    /// Appends a copy, once there is room for it.
    fn append(&mut self, loose: &Loose, onto: Address, place: Place) -> Result<Address> {
        let (kernel, mut stall) = (&self.database.kernel, Stall::new());
        loop {
            let copy = {
                let (guard, _) = self.driver.pin(kernel);
                LogCopier::new(kernel, &guard).append(loose.record(), onto, place)
            };
            match copy {
                Some(copy) => return Ok(copy),
                None => stall.wait(kernel, Retry::Room)?,
            }
        }
    }

    /// The record at `at`, which nobody changes, from memory or from the device.
    fn record_at(&mut self, at: Address) -> Result<Loose> {
        let (kernel, layout) = (&self.database.kernel, const { RecordLayout::of::<K, V>() });
        {
            let (guard, _) = self.driver.pin(kernel);
            let log = kernel.log.view(&guard);
            if at >= log.head() {
                let size = log.record(at, layout).sizes::<K, V>().record_size();
                let words = kernel.log.words(at, size, &guard).iter();
                return Ok(Loose(words.map(|word| AtomicU64::new(word.load(Ordering::Relaxed))).collect()));
            }
        }
        let mut fetch = Fetch::of(kernel, at);
        loop {
            let request = kernel.log.with_buffer(fetch.request(kernel));
            let done = access(&**kernel.log.device(), request, kernel.wait_limit())?;
            match fetch.take_as(kernel, done, |bytes| Loose::from_bytes(layout, bytes))? {
                Ok(loose) => return Ok(loose),
                Err(longer) => fetch = longer,
            }
        }
    }

    /// W9: there is an overflow bucket for it, and nothing else is left that could be in the way.
    fn stuck(&self, bucket: u64, hindrance: Hindrance) -> Error {
        Error::new(ErrorKind::Busy, "the index shrinks, and a bucket of it cannot be merged")
            .with("bucket", bucket)
            .with("what is in the way", format_args!("{hindrance:?}"))
            .with("buckets", self.database.kernel.index.config().buckets)
            .help("call again: the index stays in two tables until then, and everything else goes on")
    }
}
