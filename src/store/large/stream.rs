//! The leaves of a value through a session, a few of them ahead. Invariants V1 and V3 of [`super`].

use super::AHEAD;
use crate::device::{IoDone, Token};
use crate::error::Result;
use crate::kernel::{FragmentBytes, ReadFragmentOp};
use crate::operation::Progress;
use crate::record::{Key, Path, Root, Value, Wanted};
use crate::store::compact::Hold;
use crate::store::session::Session;
use std::collections::VecDeque;

/// Reads one large value from its beginning, or from another place.
pub(super) struct Stream {
    path: Path,
    /// Keeps the fragments on the device.
    _hold: Hold,
    ahead: VecDeque<Ahead>,
}

/// A fragment that was asked for.
struct Ahead {
    wanted: Wanted,
    state: State,
}

enum State {
    There(FragmentBytes),
    /// The device was asked under this token.
    Asked(Token, ReadFragmentOp),
    /// The device answered, and not with these bytes.
    Failed(crate::Error),
}

impl Stream {
    /// `hold` keeps what lay in the log before the root was looked up.
    pub(super) fn new(root: Root, hold: Hold) -> Self {
        Self { path: Path::new(root), _hold: hold, ahead: VecDeque::new() }
    }

    pub(super) fn root(&self) -> &Root {
        self.path.root()
    }

    /// Goes on with leaf number `leaf`. What was asked for beyond is forgotten.
    pub(super) fn go_to(&mut self, leaf: u64) {
        self.ahead.clear();
        self.path.go_to(leaf);
    }

    /// The next leaf; `None` at the end.
    ///
    /// # Errors
    /// Those of the device.
    pub(super) fn next<K: Key, V: Value>(&mut self, session: &mut Session<K, V>) -> Result<Option<FragmentBytes>> {
        loop {
            self.ask(session)?;
            let Some(Ahead { wanted, state }) = self.ahead.pop_front() else { return Ok(None) };
            let bytes = match state {
                State::There(bytes) => bytes,
                State::Failed(error) => return Err(error),
                State::Asked(..) => {
                    self.ahead.push_front(Ahead { wanted, state });
                    self.wait(session)?;
                    continue;
                }
            };
            if wanted.is_leaf() {
                return Ok(Some(bytes));
            }
            self.path.take_in(&bytes);
        }
    }

    /// Asks for what comes next, up to a list, which has to be there before there is anything behind.
    fn ask<K: Key, V: Value>(&mut self, session: &mut Session<K, V>) -> Result<()> {
        let mut has_asked = false;
        while self.ahead.len() < AHEAD && self.ahead.back().is_none_or(|last| last.wanted.is_leaf()) {
            let Some(wanted) = self.path.next() else { break };
            let mut operation = ReadFragmentOp::new(&wanted);
            let state = match session.driver.advance(&session.database.kernel, &mut operation, None)? {
                Progress::Done(bytes) => State::There(bytes),
                Progress::Wait(request) => {
                    let token = session.parked.spend_token();
                    session.driver.submit(&session.database.kernel, request, token);
                    has_asked = true;
                    State::Asked(token, operation)
                }
            };
            let is_in_memory = matches!(state, State::There(_));
            self.ahead.push_back(Ahead { wanted, state });
            if is_in_memory {
                break; // what is in memory need not be fetched ahead
            }
        }
        if has_asked {
            session.driver.flush();
        }
        Ok(())
    }

    /// Waits for one access.
    fn wait<K: Key, V: Value>(&mut self, session: &mut Session<K, V>) -> Result<()> {
        let (token, done) = session.driver.take(&session.database.kernel)?;
        let is_own = |ahead: &Ahead| matches!(ahead.state, State::Asked(asked, _) if asked == token);
        match self.ahead.iter().position(is_own) {
            None => session.arrive(token, done), // of an operation that is pending
            Some(place) => {
                let state = std::mem::replace(&mut self.ahead[place].state, State::There(FragmentBytes::default()));
                self.ahead[place].state = settle(session, state, done);
            }
        }
        Ok(())
    }
}

fn settle<K: Key, V: Value>(session: &mut Session<K, V>, state: State, done: IoDone) -> State {
    let State::Asked(token, mut operation) = state else { return state };
    let kernel = &session.database.kernel;
    let resumed = crate::operation::Operation::resume(&mut operation, kernel, done);
    match resumed.and_then(|()| session.driver.advance(kernel, &mut operation, None)) {
        Ok(Progress::Done(bytes)) => State::There(bytes),
        Ok(Progress::Wait(request)) => {
            session.driver.submit(kernel, request, token);
            session.driver.flush();
            State::Asked(token, operation)
        }
        Err(error) => State::Failed(error),
    }
}
