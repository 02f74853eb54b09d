//! What sessions did.

use super::content::{Content, LANES};
use std::collections::BTreeMap;

/// What an operation does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Writes [`Content::written`], whatever was there.
    Upsert,
    /// Removes the key.
    Delete,
    /// Makes of what is there the same [`plus`](Content::plus) one by its session.
    Add,
    /// Looks.
    Read,
}

/// One operation that took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// The session's number in the history.
    pub session: usize,
    /// The operation's number within the session. No two upserts of a session have the same, also over several lives of the
    /// store.
    pub number: u64,
    /// The serial number that the store gave it: the session's own order.
    pub serial: u64,
    /// What it concerned.
    pub key: u64,
    /// What it did.
    pub action: Action,
    /// When it was begun and when it had ended. All such times of a history are different.
    pub begun: u64,
    /// See `begun`.
    pub ended: u64,
    /// What an addition or a read found; `None` if that was not noted.
    pub saw: Option<Option<Content>>,
}

/// The operations of all sessions.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// What the store calls them, by number; `None` for one that a recovery has ended.
    guids: Vec<Option<u128>>,
    /// Of each session in its order.
    operations: Vec<Vec<Operation>>,
}

impl History {
    /// No session yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a session that the store calls `guid`; returns its number, or `None` if there are as many as can be.
    pub fn add_session(&mut self, guid: u128) -> Option<usize> {
        if let Some(free) = self.guids.iter().position(Option::is_none) {
            self.guids[free] = Some(guid);
            return Some(free);
        }
        if self.guids.len() == LANES {
            return None;
        }
        self.guids.push(Some(guid));
        self.operations.push(Vec::new());
        Some(self.guids.len() - 1)
    }

    /// The number of the session that the store calls `guid`.
    pub fn session(&self, guid: u128) -> Option<usize> {
        self.guids.iter().position(|known| *known == Some(guid))
    }

    /// Adds an operation in its place among those of its session.
    pub fn push(&mut self, operation: Operation) {
        if let Some(operations) = self.operations.get_mut(operation.session) {
            let place = operations.partition_point(|other| other.serial < operation.serial);
            operations.insert(place, operation);
        }
    }

    /// The sessions: what the store calls them, and the last serial number that it gave out to each.
    pub fn sessions(&self) -> impl Iterator<Item = (u128, u64)> {
        let last = |operations: &Vec<Operation>| operations.last().map_or(0, |last| last.serial);
        let sessions = self.guids.iter().zip(&self.operations);
        sessions.filter_map(move |(guid, operations)| Some(((*guid)?, last(operations))))
    }

    /// The operations of one session.
    pub fn of_session(&self, session: usize) -> &[Operation] {
        self.operations.get(session).map(Vec::as_slice).unwrap_or_default()
    }

    /// After a recovery: what lies beyond the cut has never happened, and a session without a cut never was.
    pub fn forget_beyond(&mut self, serials: &BTreeMap<u128, u64>) {
        for (guid, operations) in self.guids.iter_mut().zip(&mut self.operations) {
            *guid = guid.filter(|guid| serials.contains_key(guid));
            let cut = guid.and_then(|guid| serials.get(&guid)).copied().unwrap_or(0);
            operations.retain(|operation| operation.serial <= cut);
        }
    }
}
