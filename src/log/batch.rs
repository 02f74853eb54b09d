//! Entries that get their places together: one pin, one look at the tail and one at whether a commit is due, for all of them.

use super::append::Appender;
use super::entry::{Draft, HEADER, Kind};
use super::log_core::Core;
use crate::address::Address;
use crate::epoch::Participant;
use crate::error::Result;

/// Bytes of entries that get their places together. What is left of a page may be too short for them.
const TOGETHER: usize = 8 << 10;

/// Entries without places.
struct Batch<'a> {
    entries: Vec<(Draft, &'a [u8])>,
    size: usize,
}

impl Appender {
    /// Appends entries in order; others may append in between. Returns the address of the last.
    ///
    /// # Errors
    /// As for [`append`](Self::append); those before the one that failed are appended.
    pub fn append_batch<'a>(&mut self, entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Address>> {
        let mut last = None;
        self.core.append_batch(&mut self.participant, entries, |address| last = Some(address))?;
        Ok(last)
    }
}

impl Core {
    /// Appends entries in order, and tells the address of each.
    pub(super) fn append_batch<'a>(
        &self,
        participant: &mut Participant,
        entries: impl IntoIterator<Item = &'a [u8]>,
        mut tell: impl FnMut(Address),
    ) -> Result<()> {
        let size_max = TOGETHER.min(self.body_max() / 8);
        let entries = entries.into_iter();
        let mut batch = Batch { entries: Vec::with_capacity(entries.size_hint().0.min(size_max / HEADER)), size: 0 };
        for data in entries {
            let is_small = data.len() <= size_max - HEADER;
            if !is_small || batch.size + HEADER + data.len().next_multiple_of(8) > size_max {
                self.put_batch(participant, &mut batch, &mut tell)?;
            }
            if is_small {
                batch.push(data);
            } else {
                tell(self.append(participant, &[data], true).and_then(Self::placed)?);
            }
        }
        self.put_batch(participant, &mut batch, &mut tell)
    }

    /// Places all of a batch, and empties it.
    fn put_batch(
        &self,
        participant: &mut Participant,
        batch: &mut Batch<'_>,
        tell: &mut impl FnMut(Address),
    ) -> Result<()> {
        if batch.entries.is_empty() {
            return Ok(());
        }
        self.group.check()?;
        let fill = |words: &[_], first: Address| {
            batch.each(first, |address, draft, body| {
                let from = (address.get() - first.get()) as usize / 8;
                self.fill(&words[from..from + draft.size() / 8], address, draft, body);
            });
        };
        let first = self.place(participant, batch.size, true, fill).and_then(Self::placed)?;
        let mut last = first;
        batch.each(first, |address, _, _| {
            last = address;
            tell(address);
        });
        self.note_placed(participant, first, last);
        batch.entries.clear();
        batch.size = 0;
        Ok(())
    }
}

impl<'a> Batch<'a> {
    fn push(&mut self, data: &'a [u8]) {
        let draft = Draft::new(Kind::Entry, data);
        self.size += draft.size();
        self.entries.push((draft, data));
    }

    /// Every entry with its address, if the first one is at `first`.
    fn each(&self, first: Address, mut visit: impl FnMut(Address, Draft, &[u8])) {
        let mut at = first.get();
        for (draft, body) in &self.entries {
            visit(Address::new(at), *draft, body);
            at += draft.size() as u64;
        }
    }
}
