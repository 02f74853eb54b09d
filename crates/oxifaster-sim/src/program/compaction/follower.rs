//! Somebody who follows the changes of the store, keeps a map of them, and saves both the map and how far it has come.

use super::{Content, Sample, Store};
use crate::SimRng;
use crate::program::{Violation, must};
use oxifaster::ErrorKind;
use oxifaster::address::Address;
use oxifaster::store::{ChangeCursor, ChangeFeed, ChangeOptions, ChangeReach};

/// What was saved: as of the cursor, the map is what the store is.
#[derive(Debug, Clone)]
pub(super) struct Saved<V> {
    cursor: [u8; 24],
    map: Content<V>,
    reach: ChangeReach,
    whole_from: Address,
}

impl<V> Default for Saved<V> {
    fn default() -> Self {
        Self {
            cursor: ChangeCursor::START.to_bytes(),
            map: Content::new(),
            reach: ChangeReach::Immutable,
            whole_from: Address::INVALID,
        }
    }
}

/// The follower, while the store is open.
pub(super) struct Follower<V: Sample> {
    feed: ChangeFeed<u64, V>,
    map: Content<V>,
    options: ChangeOptions,
    /// From there on the map is what the store is: what was moved before the feed began lies below.
    whole_from: Address,
}

impl<V: Sample> Follower<V> {
    /// Goes on from what was saved, or begins anew if the store says that this cannot be.
    pub(super) fn resume(store: &Store<V>, saved: &Saved<V>, rng: &mut SimRng) -> Result<Self, Violation> {
        let is_anew = saved.cursor == ChangeCursor::START.to_bytes();
        let reach = if is_anew && rng.coin() { ChangeReach::Checkpointed } else { saved.reach };
        let max_held = if rng.one_in(4) { 8 << 10 } else { 1 << 30 };
        let options = ChangeOptions::default().with_reach(reach).with_max_held(max_held);
        let cursor = ChangeCursor::from_bytes(saved.cursor);
        match store.changes_with(cursor, &options) {
            Ok(feed) => {
                let tail = store.addresses().tail;
                let whole_from = if is_anew { tail } else { saved.whole_from.min(tail) };
                Ok(Self { feed, map: saved.map.clone(), options, whole_from })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // What a checkpoint held is not taken back by a crash: it can only have been moved since.
                let is_there = cursor.address().get() > store.addresses().begin.get() + (8 << 10);
                if reach == ChangeReach::Checkpointed && is_there {
                    return Err(Violation::new("feed goes on", error));
                }
                Self::anew(store, options)
            }
            Err(error) => Err(Violation::new("feed goes on", error)),
        }
    }

    fn anew(store: &Store<V>, options: ChangeOptions) -> Result<Self, Violation> {
        let feed = must("feed begins", store.changes_with(ChangeCursor::START, &options))?;
        Ok(Self { feed, map: Content::new(), options, whole_from: store.addresses().tail })
    }

    /// Takes about so many changes. False if there were none.
    pub(super) fn follow(&mut self, store: &Store<V>, about: usize) -> Result<bool, Violation> {
        let changes = match self.feed.take(about) {
            Ok(changes) => changes,
            Err(error) if error.kind() == ErrorKind::Limit && self.options.max_held < 1 << 30 => {
                *self = Self::anew(store, self.options.with_max_held(1 << 30))?;
                return Ok(true);
            }
            Err(error) => return Err(Violation::new("feed", error)),
        };
        for change in &changes {
            match change.value() {
                Some(value) => self.map.insert(*change.key(), value.clone()),
                None => self.map.remove(change.key()),
            };
        }
        if self.feed.held() > self.options.max_held + (1 << 20) {
            return Err(Violation::new("feed is bounded", format_args!("{} bytes are held", self.feed.held())));
        }
        Ok(!changes.is_empty())
    }

    /// Takes all there is.
    pub(super) fn drain(&mut self, store: &Store<V>) -> Result<(), Violation> {
        while self.follow(store, 64)? {}
        Ok(())
    }

    /// Takes all that is in the store, and sees whether that makes the map equal to it.
    pub(super) fn compare(&mut self, store: &Store<V>, content: &Content<V>, now: u64) -> Result<(), Violation> {
        if self.options.reach == ChangeReach::Checkpointed {
            return Ok(());
        }
        must("feed catches up", self.feed.catch_up())?;
        self.drain(store)?;
        self.equals(content, now)
    }

    /// After a checkpoint that holds `content`: what is given up to there makes the map equal to it.
    pub(super) fn compare_at_checkpoint(
        &mut self,
        store: &Store<V>,
        content: &Content<V>,
        now: u64,
    ) -> Result<(), Violation> {
        if self.options.reach != ChangeReach::Checkpointed {
            return Ok(());
        }
        self.drain(store)?;
        let is_whole = self.feed.cursor().address() >= self.whole_from;
        if is_whole { self.equals(content, now) } else { Ok(()) }
    }

    fn equals(&self, content: &Content<V>, now: u64) -> Result<(), Violation> {
        // Who follows has values end by the expiry that they were given with.
        let of = |content: &Content<V>, key| content.get(key).cloned().filter(|value| !value.expiry().is_over(now));
        let mut keys = self.map.keys().chain(content.keys());
        let Some(differs) = keys.find(|key| of(&self.map, key) != of(content, key)) else { return Ok(()) };
        let (map, store) = (of(&self.map, differs), of(content, differs));
        Err(Violation::new(
            "feed equals store",
            format_args!("key {differs:x}: {map:?} by the feed, {store:?} in the store"),
        ))
    }

    pub(super) fn save(&self) -> Saved<V> {
        Saved {
            cursor: self.feed.cursor().to_bytes(),
            map: self.map.clone(),
            reach: self.options.reach,
            whole_from: self.whole_from,
        }
    }
}
