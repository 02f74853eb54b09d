//! What of the log may be given back. Invariant C4 of [`crate::compaction`].

use crate::address::Address;
use crate::checkpoint::{Listing, LogPart};
use crate::sync::{Arc, Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The share of the time that may go into freeing entries of the index is one of so many.
const SWEEP_REST: u32 = 40;

/// A writer of a large value that has written nothing for so long is not waited for any more.
const WRITER_RESTS: Duration = Duration::from_secs(10);

/// Who needs which part of the log.
pub(crate) struct Reclaim {
    state: Mutex<State>,
    turn: Mutex<()>,
}

#[derive(Default)]
struct State {
    next_hold: u64,
    holds: Vec<Held>,
    /// The oldest address that the checkpoints of a directory need.
    checkpoints: HashMap<String, Address>,
    /// Where the log began after each compaction whose copies, which lie below the second address, are not durable yet.
    not_durable: VecDeque<(Address, Address)>,
    /// Where the log began after the last one whose copies are.
    durable_begin: Address,
    given_back: Address,
    /// Where the log began in the newest checkpoint, or when the store was made.
    checkpointed_begin: Address,
    /// Of what lies below, the store does not know what an earlier recovery left out.
    known_from: Address,
    /// No entry of the index leads below.
    swept: Address,
    /// The index was gone through to its end since somebody asked.
    has_swept: bool,
    /// When the index was gone through last, and how long that took.
    last_sweep: Option<(Instant, Duration)>,
    /// There may be something below all the same: a crash came in between, or the device refused.
    is_left_over: bool,
}

/// What somebody keeps.
struct Held {
    id: u64,
    at: Address,
    /// How many bytes below where the log begins may be kept for it. When there are more it is lost.
    at_most: u64,
    /// When a part of a large value was last written that begins here.
    written: Option<Instant>,
}

impl Reclaim {
    /// Of a log that begins at `begin`, of which nothing was given back since.
    pub(crate) fn new(begin: Address) -> Arc<Self> {
        let state = State {
            durable_begin: begin,
            given_back: begin,
            swept: begin,
            checkpointed_begin: begin,
            known_from: begin,
            ..State::default()
        };
        Arc::new(Self { state: Mutex::new(state), turn: Mutex::new(()) })
    }

    /// The turn of the one compaction there may be at a time, or of one who has the index shrink; `None` if another one has it.
    pub(in crate::store) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.turn.try_lock()
    }

    /// Keeps what lies at or above the address that `at` gives, which is not below the log's begin at this moment.
    pub(crate) fn hold(self: &Arc<Self>, at: impl FnOnce() -> Address) -> Hold {
        let mut state = self.state.lock();
        let at = at();
        Self::hold_in(self, &mut state, at, u64::MAX)
    }

    /// Keeps all that is there after a crash, in which what was moved since the newest checkpoint is lost. It may keep `at_most` bytes
    /// more than lie below `begin` now, where the log begins.
    pub(crate) fn hold_all_at_most(self: &Arc<Self>, at_most: u64, begin: impl FnOnce() -> Address) -> Hold {
        let mut state = self.state.lock();
        let at = state.checkpointed_begin.max(state.given_back);
        let already = begin().get().saturating_sub(at.get());
        Self::hold_in(self, &mut state, at, at_most.saturating_add(already))
    }

    /// Keeps what lies at or above `at`, if it is still all there; otherwise says what is.
    pub(crate) fn hold_from(self: &Arc<Self>, at: Address) -> Result<Hold, Address> {
        self.hold_from_at_most(at, u64::MAX)
    }

    /// The same with a bound.
    pub(crate) fn hold_from_at_most(self: &Arc<Self>, at: Address, at_most: u64) -> Result<Hold, Address> {
        let mut state = self.state.lock();
        if at < state.given_back { Err(state.given_back) } else { Ok(Self::hold_in(self, &mut state, at, at_most)) }
    }

    fn hold_in(this: &Arc<Self>, state: &mut State, at: Address, at_most: u64) -> Hold {
        let id = state.next_hold;
        state.next_hold += 1;
        state.holds.push(Held { id, at, at_most, written: None });
        Hold { reclaim: Arc::clone(this), id, at }
    }

    /// Where the oldest large value begins that is being written. A compaction that went further would have it written twice.
    pub(super) fn oldest_writer(&self) -> Address {
        let state = self.state.lock();
        let is_written = |held: &&Held| held.written.is_some_and(|at| at.elapsed() < WRITER_RESTS);
        state.holds.iter().filter(is_written).map(|held| held.at).min().unwrap_or(Address::MAX)
    }

    /// Notes what a checkpoint that was just made needs.
    pub(crate) fn note_checkpoint(&self, place: String, log: Option<&LogPart>) {
        if let Some(log) = log {
            let mut state = self.state.lock();
            state.checkpoints.entry(place).and_modify(|at| *at = log.begin.min(*at)).or_insert(log.begin);
            state.checkpointed_begin = log.begin;
        }
    }

    /// Notes what the checkpoints of a directory need. Of a manifest that cannot be read nobody knows: then it is at least
    /// what was needed before, and all of the log if nothing is known of that.
    pub(crate) fn note_checkpoints(&self, place: String, listing: &Listing) {
        let mut state = self.state.lock();
        let logs = listing.checkpoints.iter().filter_map(|manifest| manifest.log.as_ref());
        let oldest = logs.map(|log| log.begin).min();
        if !listing.broken.is_empty() {
            let before = state.checkpoints.get(&place).copied().unwrap_or(Address::INVALID);
            state.checkpoints.insert(place, oldest.map_or(before, |oldest| oldest.min(before)));
            return;
        }
        match oldest {
            Some(oldest) => drop(state.checkpoints.insert(place, oldest)),
            None => drop(state.checkpoints.remove(&place)),
        }
    }

    /// Notes that the log begins at `begin` now, and that copies of what was moved lie below `copies_end`.
    pub(super) fn note_begin(&self, begin: Address, copies_end: Address) {
        self.state.lock().not_durable.push_back((begin, copies_end));
    }

    /// Up to where the copies have to be durable for all to be given back that could be.
    pub(super) fn copies_end(&self) -> Option<Address> {
        self.state.lock().not_durable.back().map(|(_, end)| *end)
    }

    /// The same of those copies only that are written, when all below `flushed` is.
    pub(super) fn written_copies_end(&self, flushed: Address) -> Option<Address> {
        self.state.lock().not_durable.iter().rev().map(|(_, end)| *end).find(|end| *end <= flushed)
    }

    /// What may be given back, of a log that is durable below `durable`; `None` if it was already.
    pub(super) fn limit(&self, durable: Address) -> Option<Address> {
        let mut state = self.state.lock();
        while let Some((begin, end)) = state.not_durable.front().copied().filter(|(_, end)| *end <= durable) {
            debug_assert!(begin <= end, "copies lie above what was compacted");
            state.not_durable.pop_front();
            state.durable_begin = begin;
        }
        let begin = state.durable_begin.get();
        state.holds.retain(|held| begin.saturating_sub(held.at.get()) <= held.at_most);
        let limit = state.limit().max(state.given_back);
        let sweeps = std::mem::replace(&mut state.is_left_over, false);
        (limit > state.given_back || sweeps).then(|| {
            // From here on nobody holds anything below any more.
            state.given_back = limit;
            limit
        })
    }

    /// Notes that the device refused to take back what it was asked to: it is asked again the next time.
    pub(super) fn try_again(&self) {
        self.state.lock().is_left_over = true;
    }

    /// Below which entries of the index are to be freed, if there may be any and it is time: always if `now`.
    pub(super) fn sweep_limit(&self, now: bool) -> Option<Address> {
        let state = self.state.lock();
        let is_due = now || state.last_sweep.is_none_or(|(at, took)| at.elapsed() >= took * SWEEP_REST);
        (state.given_back > state.swept && is_due).then_some(state.given_back)
    }

    /// Notes that the index was gone through, or a part of it: then it is not over.
    pub(super) fn note_sweep(&self, limit: Address, is_whole: bool, took: Duration) {
        let mut state = self.state.lock();
        state.last_sweep = Some((Instant::now(), took));
        if is_whole {
            state.swept = state.swept.max(limit);
            state.has_swept = true;
        }
    }

    /// Whether entries of the index were freed, as far as there were any, since [`take_sweep`](Self::take_sweep) was called last.
    pub(super) fn has_swept(&self) -> bool {
        self.state.lock().has_swept
    }

    /// The same, and forgets it.
    pub(in crate::store) fn take_sweep(&self) -> bool {
        std::mem::take(&mut self.state.lock().has_swept)
    }

    /// Everything below was given back.
    pub(crate) fn given_back(&self) -> Address {
        self.state.lock().given_back
    }

    /// Of what lies below, the store does not know what an earlier recovery left out.
    pub(crate) fn known_from(&self) -> Address {
        self.state.lock().known_from
    }

    /// Begins with a log that was recovered and begins at `begin`, from a directory with these checkpoints.
    pub(crate) fn recover(&self, begin: Address, place: String, listing: &Listing) {
        self.note_checkpoints(place, listing);
        let mut state = self.state.lock();
        (state.durable_begin, state.checkpointed_begin, state.known_from) = (begin, begin, begin);
        state.given_back = state.limit();
        state.is_left_over = state.given_back.is_valid();
    }
}

impl State {
    fn limit(&self) -> Address {
        let holds = self.holds.iter().map(|held| held.at);
        holds
            .chain(self.checkpoints.values().copied())
            .min()
            .map_or(self.durable_begin, |at| at.min(self.durable_begin))
    }
}

/// Keeps a part of the log on its device for as long as it lives.
pub(crate) struct Hold {
    reclaim: Arc<Reclaim>,
    id: u64,
    at: Address,
}

impl Hold {
    /// What lies at or above is kept.
    pub(crate) fn at(&self) -> Address {
        self.at
    }

    /// Lets go of what lies below `at`.
    pub(crate) fn advance(&mut self, at: Address) {
        self.at = self.at.max(at);
        let mut state = self.reclaim.state.lock();
        if let Some(held) = state.holds.iter_mut().find(|held| held.id == self.id) {
            held.at = self.at;
        }
    }

    /// The same for a large value that begins at `at`, of which a part was just written.
    pub(crate) fn advance_writer(&mut self, at: Address) {
        self.advance(at);
        let mut state = self.reclaim.state.lock();
        if let Some(held) = state.holds.iter_mut().find(|held| held.id == self.id) {
            held.written = Some(Instant::now());
        }
    }

    /// Whether it keeps nothing any more, because there was too much.
    pub(crate) fn is_lost(&self) -> bool {
        !self.reclaim.state.lock().holds.iter().any(|held| held.id == self.id)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.reclaim.state.lock().holds.retain(|held| held.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: u64) -> Address {
        Address::new(address)
    }

    #[test]
    fn nothing_is_given_back_before_the_copies_are_durable_or_while_it_is_held() {
        let reclaim = Reclaim::new(Address::INVALID);
        assert_eq!(reclaim.limit(at(1 << 20)), None);
        reclaim.note_begin(at(4096), at(9000));
        reclaim.note_begin(at(8192), at(12_000));
        assert_eq!((reclaim.limit(at(8999)), reclaim.copies_end()), (None, Some(at(12_000))));
        let written = |flushed| reclaim.written_copies_end(at(flushed));
        assert_eq!((written(8999), written(11_999), written(12_000)), (None, Some(at(9000)), Some(at(12_000))));
        let mut hold = reclaim.hold(|| at(2000));
        assert_eq!(reclaim.limit(at(9000)), Some(at(2000)));
        hold.advance(at(3000));
        assert_eq!(reclaim.limit(at(9000)), Some(at(3000)));
        assert_eq!(reclaim.limit(at(9000)), None, "it was already");
        let other = reclaim.hold_from(at(3500)).unwrap();
        assert_eq!(reclaim.hold_from(at(2999)).err(), Some(at(3000)));
        drop(hold);
        assert_eq!((reclaim.limit(at(9000)), other.at()), (Some(at(3500)), at(3500)));
        drop(other);
        assert_eq!(reclaim.limit(at(9000)), Some(at(4096)));
        assert_eq!(reclaim.limit(at(12_000)), Some(at(8192)));
        assert_eq!((reclaim.given_back(), reclaim.copies_end()), (at(8192), None));
    }

    #[test]
    fn who_keeps_more_than_it_may_loses_it_and_the_others_do_not() {
        let reclaim = Reclaim::new(Address::INVALID);
        let bounded = reclaim.hold_from_at_most(at(2000), 1000).unwrap();
        let other = reclaim.hold(|| at(2500));
        reclaim.note_begin(at(3000), at(9000));
        assert_eq!((reclaim.limit(at(9000)), bounded.is_lost()), (Some(at(2000)), false));
        reclaim.note_begin(at(3001), at(9500));
        assert_eq!((reclaim.limit(at(9500)), bounded.is_lost(), other.is_lost()), (Some(at(2500)), true, false));
    }
}
