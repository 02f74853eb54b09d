//! The decision.

use super::content::{Content, Found, LANES};
use super::history::{Action, History, Operation};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a recovery may violate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clause {
    /// A session that a checkpoint reported is unknown after the recovery.
    SessionMissing,
    /// A session appeared that there never was.
    SessionUnknown,
    /// The cut of a session lies before what the checkpoint reported.
    BelowReported,
    /// The cut of a session lies beyond its last operation.
    NeverIssued,
    /// An operation within the cut saw the effect of one beyond it.
    NotClosed,
    /// An operation within the cut has no effect.
    Lost,
    /// An operation beyond the cut has an effect.
    Phantom,
    /// An addition has its effect more than once, or one that was overwritten is back.
    Repeated,
    /// A value names a writer that never wrote this key.
    NeverWritten,
    /// A value is not one that any operation wrote.
    Garbage,
}

impl Clause {
    /// The word by which it is reported.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionMissing => "session-missing",
            Self::SessionUnknown => "session-unknown",
            Self::BelowReported => "below-reported",
            Self::NeverIssued => "never-issued",
            Self::NotClosed => "not-closed",
            Self::Lost => "lost",
            Self::Phantom => "phantom",
            Self::Repeated => "repeated",
            Self::NeverWritten => "never-written",
            Self::Garbage => "garbage",
        }
    }
}

/// A violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// What was violated.
    pub clause: Clause,
    /// Where and how.
    pub what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.clause.name(), self.what)
    }
}

/// What a recovery gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The cut: the serial number of each session's last operation that is part of the state.
    pub serials: BTreeMap<u128, u64>,
    /// What the keys were found to hold; a key that is not listed holds nothing.
    pub contents: BTreeMap<u64, Found>,
}

/// Everything that is wrong with `recovered`, given what was done, and how far a checkpoint had reported each session to
/// have come.
pub fn check(history: &History, reported: &BTreeMap<u128, u64>, recovered: &Recovered) -> Vec<Breach> {
    let mut breaches = check_serials(history, reported, recovered);
    let cut = Cut::new(history, recovered);
    let mut keys: BTreeMap<u64, Vec<&Operation>> = recovered.contents.keys().map(|key| (*key, Vec::new())).collect();
    for operation in (0..LANES).flat_map(|session| history.of_session(session)) {
        keys.entry(operation.key).or_default().push(operation);
    }
    for (key, operations) in keys {
        let found = recovered.contents.get(&key).copied().unwrap_or(Found::Nothing);
        let on_key = OnKey::new(key, &operations, &cut);
        breaches.extend(on_key.check_closed());
        breaches.extend(on_key.check(found));
    }
    breaches
}

fn check_serials(history: &History, reported: &BTreeMap<u128, u64>, recovered: &Recovered) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut add = |clause, what| breaches.push(Breach { clause, what });
    for (guid, reported) in reported {
        match recovered.serials.get(guid) {
            None => add(Clause::SessionMissing, format!("session {guid:#x}, reported up to serial {reported}")),
            Some(serial) if serial < reported => {
                add(Clause::BelowReported, format!("session {guid:#x}: serial {serial}, reported {reported}"));
            }
            Some(_) => {}
        }
    }
    let issued: BTreeMap<u128, u64> = history.sessions().collect();
    for (guid, serial) in &recovered.serials {
        match issued.get(guid) {
            None => add(Clause::SessionUnknown, format!("session {guid:#x}")),
            Some(last) if serial > last => {
                add(Clause::NeverIssued, format!("session {guid:#x}: serial {serial}, the last one was {last}"));
            }
            Some(_) => {}
        }
    }
    breaches
}

/// How far each session got, by its number.
struct Cut([u64; LANES]);

impl Cut {
    fn new(history: &History, recovered: &Recovered) -> Self {
        let mut serials = [0; LANES];
        for (guid, serial) in &recovered.serials {
            if let Some(session) = history.session(*guid) {
                serials[session] = *serial;
            }
        }
        Self(serials)
    }

    fn holds(&self, operation: &Operation) -> bool {
        operation.serial <= self.0[operation.session]
    }
}

/// The operations on one key, session by session, each in its order.
struct OnKey<'a> {
    key: u64,
    all: &'a [&'a Operation],
    within: Vec<&'a Operation>,
    sessions: Vec<Session<'a>>,
}

/// What one session did to the key within the cut, as far as it can still be seen.
#[derive(Clone, Default)]
struct Session<'a> {
    /// The last upsert or delete.
    write: Option<&'a Operation>,
    /// The additions after it.
    adds: Vec<&'a Operation>,
    /// All its additions.
    adds_ever: u64,
}

/// Contents that one order of operations can leave.
struct Outcome {
    writer: Option<Content>,
    /// How many additions of each session can have come after the last write.
    added: [(u64, u64); LANES],
}

impl<'a> OnKey<'a> {
    fn new(key: u64, all: &'a [&'a Operation], cut: &Cut) -> Self {
        let within: Vec<&Operation> = all.iter().copied().filter(|operation| cut.holds(operation)).collect();
        let mut sessions = vec![Session::default(); LANES];
        for operation in &within {
            let session = &mut sessions[operation.session];
            match operation.action {
                Action::Read => {}
                Action::Add => {
                    session.adds.push(operation);
                    session.adds_ever += 1;
                }
                Action::Upsert | Action::Delete => {
                    session.write = Some(operation);
                    session.adds.clear();
                }
            }
        }
        Self { key, all, within, sessions }
    }

    /// No operation within the cut may have seen one beyond it.
    fn check_closed(&self) -> Option<Breach> {
        let mut seen = self.within.iter().filter_map(|operation| Some((operation, operation.saw??)));
        seen.find_map(|(operation, content)| {
            let beyond = |clause: &Breach| clause.clause == Clause::Phantom;
            let breach = self.check_contributors(content).filter(beyond)?;
            let who = format!("session {} serial {} saw ", operation.session, operation.serial);
            Some(Breach { clause: Clause::NotClosed, what: who + &breach.what })
        })
    }

    fn check(&self, found: Found) -> Option<Breach> {
        let outcomes = self.outcomes();
        if outcomes.iter().any(|outcome| outcome.gives(found)) {
            return None;
        }
        let breach = |clause| Some(self.breach(clause, found));
        let content = match found {
            Found::Garbage => return breach(Clause::Garbage),
            Found::Nothing => return breach(Clause::Lost),
            Found::Content(content) => content,
        };
        if let Some(breach) = self.check_contributors(content) {
            return Some(breach);
        }
        let same_writer = outcomes.iter().filter(|outcome| outcome.writer.and_then(|own| own.writer) == content.writer);
        let has_too_many =
            |outcome: &Outcome| content.added.iter().zip(outcome.added).any(|(count, (_, most))| *count > most);
        let (mut any, mut too_many) = (false, true);
        for outcome in same_writer {
            any = true;
            too_many &= has_too_many(outcome);
        }
        breach(if any && too_many { Clause::Repeated } else { Clause::Lost })
    }

    /// Whether everybody who contributed to `content` did so, and is within the cut.
    fn check_contributors(&self, content: Content) -> Option<Breach> {
        let found = Found::Content(content);
        if let Some(writer) = content.writer {
            let wrote = |operation: &&&Operation| {
                operation.action == Action::Upsert
                    && (operation.session, operation.number) == (writer.session, writer.number)
            };
            if !self.all.iter().any(|operation| wrote(&operation)) {
                return Some(self.breach(Clause::NeverWritten, found));
            }
            if !self.within.iter().any(|operation| wrote(&operation)) {
                return Some(self.breach(Clause::Phantom, found));
            }
        }
        for (session, count) in content.added.iter().enumerate() {
            let is_add = |operation: &&&Operation| operation.session == session && operation.action == Action::Add;
            if *count > self.all.iter().filter(is_add).count() as u64 {
                return Some(self.breach(Clause::Repeated, found));
            }
            if *count > self.sessions[session].adds_ever {
                return Some(self.breach(Clause::Phantom, found));
            }
        }
        None
    }

    fn breach(&self, clause: Clause, found: Found) -> Breach {
        let may: Vec<String> = self.outcomes().iter().map(ToString::to_string).collect();
        Breach { clause, what: format!("key {} holds {found}; it may hold {}", self.key, may.join(", or ")) }
    }

    /// What the operations within the cut can leave. The last write is the last one of some session; in the order that is
    /// looked for, it takes effect at some time between its beginning and its end, and that time decides which additions
    /// of the others may come after it.
    fn outcomes(&self) -> Vec<Outcome> {
        let last_writes = self.sessions.iter().filter_map(|session| session.write);
        let outcomes: Vec<Outcome> = last_writes.flat_map(|write| self.outcomes_of(write)).collect();
        if self.sessions.iter().any(|session| session.write.is_some()) {
            return outcomes;
        }
        let mut added = [(0, 0); LANES];
        for (range, session) in added.iter_mut().zip(&self.sessions) {
            *range = (session.adds_ever, session.adds_ever);
        }
        vec![Outcome { writer: None, added }]
    }

    fn outcomes_of(&self, write: &Operation) -> Vec<Outcome> {
        let times = self.within.iter().flat_map(|operation| [operation.begun, operation.ended]);
        let during: BTreeSet<u64> = times.filter(|time| (write.begun..write.ended).contains(time)).collect();
        during.into_iter().filter_map(|time| self.outcome_at(write, time)).collect()
    }

    /// What is left if `write` is the last one and takes effect right after `time`; `None` if it cannot be the last then.
    fn outcome_at(&self, write: &Operation, time: u64) -> Option<Outcome> {
        let mut added = [(0, 0); LANES];
        for (number, session) in self.sessions.iter().enumerate() {
            let all = session.adds.len() as u64;
            if number == write.session {
                added[number] = (all, all);
                continue;
            }
            if session.write.is_some_and(|other| other.begun > time) {
                return None;
            }
            let before = |is_before: fn(&Operation) -> u64| {
                session.adds.iter().filter(|add| is_before(add) <= time).count() as u64
            };
            added[number] = (all - before(|add| add.begun), all - before(|add| add.ended));
        }
        let written = (write.action == Action::Upsert).then(|| Content::written(write.session, write.number));
        Some(Outcome { writer: written, added })
    }
}

impl Outcome {
    fn gives(&self, found: Found) -> bool {
        let fits = |added: &[u64; LANES]| {
            added.iter().zip(self.added).all(|(count, (least, most))| (least..=most).contains(count))
        };
        match found {
            Found::Garbage => false,
            Found::Nothing => self.writer.is_none() && fits(&[0; LANES]),
            Found::Content(content) => {
                content != Content::default()
                    && content.writer == self.writer.and_then(|own| own.writer)
                    && fits(&content.added)
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.writer {
            Some(content) => write!(f, "{content}")?,
            None => f.write_str("nothing")?,
        }
        for (session, (least, most)) in self.added.iter().enumerate().filter(|(_, (_, most))| *most > 0) {
            write!(f, " +{least}..={most} by {session}")?;
        }
        Ok(())
    }
}
