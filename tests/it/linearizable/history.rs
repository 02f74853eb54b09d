//! The operations of a history: how they are made, and what they may have found.

use super::search::{Event, Step, is_linearizable};
use oxifaster::Result;
use oxifaster::record::{Key, Value};
use oxifaster::store::{Conditional, MergeOperator, Session};
use std::sync::atomic::{AtomicU64, Ordering};

/// Keys of a history.
pub(super) const KEYS: usize = 3;

/// The number that each key has, if it has one.
pub(super) type State = [Option<u64>; KEYS];

/// A call, with what it found: values are numbers, 0 is no value.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Read(usize, Option<u64>),
    Upsert(usize, u64),
    Delete(usize),
    /// What it saw, 0 if nothing, and what it made of it.
    Modify(usize, u64, u64),
    /// A closure that declined.
    Declined(usize, u64),
    Merge(usize, u64),
    InsertOrGet(usize, u64, Conditional<u64>),
    Exchange(usize, u64, u64, Conditional<u64>),
    UpsertIfEven(usize, u64, Conditional<u64>),
    DeleteIfEven(usize, Conditional<u64>),
    /// All that it read, and what it wrote.
    Transaction(Vec<(usize, Option<u64>)>, Vec<(usize, Option<u64>)>),
}

impl Call {
    /// The key, of a call that has one.
    fn key(&self) -> Option<usize> {
        match self {
            Self::Transaction(..) => None,
            Self::Read(key, _)
            | Self::Upsert(key, _)
            | Self::Delete(key)
            | Self::Modify(key, ..)
            | Self::Declined(key, _)
            | Self::Merge(key, _)
            | Self::InsertOrGet(key, ..)
            | Self::Exchange(key, ..)
            | Self::UpsertIfEven(key, ..)
            | Self::DeleteIfEven(key, _) => Some(*key),
        }
    }
}

/// What a conditional change that is made where `condition` holds, and where nothing is if `of_absent`, says of `found`.
fn says(found: Option<u64>, of_absent: bool, condition: impl Fn(u64) -> bool) -> Conditional<u64> {
    match found {
        None if of_absent => Conditional::Done,
        None => Conditional::Absent,
        Some(value) if condition(value) => Conditional::Done,
        Some(value) => Conditional::Refused(value),
    }
}

const fn is_even(value: u64) -> bool {
    value.is_multiple_of(2)
}

impl Step<State> for Call {
    fn after(&self, state: &State) -> Option<State> {
        let with = |key: usize, value: Option<u64>| {
            let mut after = *state;
            after[key] = value;
            after
        };
        // The state with the new value if it said that it was made, and as it was if not; `None` if it should have said otherwise.
        let made = |said: &Conditional<u64>, should: Conditional<u64>, key: usize, value: Option<u64>| {
            (*said == should).then(|| if said.is_done() { with(key, value) } else { *state })
        };
        match self {
            Self::Read(key, found) => (state[*key] == *found).then_some(*state),
            Self::Upsert(key, value) => Some(with(*key, Some(*value))),
            Self::Delete(key) => Some(with(*key, None)),
            Self::Modify(key, saw, wrote) => (state[*key].unwrap_or(0) == *saw).then(|| with(*key, Some(*wrote))),
            Self::Declined(key, saw) => (state[*key].unwrap_or(0) == *saw).then_some(*state),
            Self::Merge(key, operand) => Some(with(*key, Some(state[*key].unwrap_or(0) + operand))),
            Self::InsertOrGet(key, value, said) => made(said, says(state[*key], true, |_| false), *key, Some(*value)),
            Self::Exchange(key, old, new, said) => {
                made(said, says(state[*key], false, |value| value == *old), *key, Some(*new))
            }
            Self::UpsertIfEven(key, value, said) => made(said, says(state[*key], true, is_even), *key, Some(*value)),
            Self::DeleteIfEven(key, said) => made(said, says(state[*key], false, is_even), *key, None),
            Self::Transaction(read, written) => read.iter().all(|(key, found)| state[*key] == *found).then(|| {
                let mut after = *state;
                written.iter().for_each(|(key, value)| after[*key] = *value);
                after
            }),
        }
    }
}

/// True if a history could have happened one operation at a time. Histories without transactions are looked at key by key: of
/// objects that are linearizable each, all are.
pub(super) fn could_be(events: &[Event<Call>]) -> bool {
    let start = [None; KEYS];
    if events.iter().any(|event| event.what.key().is_none()) {
        return is_linearizable(&start, events);
    }
    (0..KEYS).all(|key| {
        let of_key = events.iter().filter(|event| event.what.key() == Some(key)).cloned();
        is_linearizable(&start, &of_key.collect::<Vec<_>>())
    })
}

/// How numbers are values of a store: each number one value, 0 the initial one.
pub(super) trait Shape: Value {
    /// The value of `number`.
    fn of(number: u64) -> Self;
    /// The number of a value; panics if the value is none of a number.
    fn number(&self) -> u64;
}

impl Shape for u64 {
    fn of(number: u64) -> Self {
        number
    }

    fn number(&self) -> u64 {
        *self
    }
}

impl Shape for [u64; 13] {
    fn of(number: u64) -> Self {
        [number; 13]
    }

    fn number(&self) -> u64 {
        assert!(self.iter().all(|word| *word == self[0]), "torn: {self:?}");
        self[0]
    }
}

/// As long as the number says.
impl Shape for Vec<u8> {
    fn of(number: u64) -> Self {
        let bytes = if number == 0 { 0 } else { 8 + number as usize * 7 % 120 };
        number.to_le_bytes().into_iter().cycle().take(bytes).collect()
    }

    fn number(&self) -> u64 {
        let number = self.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        assert_eq!(*self, Self::of(number), "torn");
        number
    }
}

/// Adds numbers.
struct Sum;

impl<V: Shape> MergeOperator<V> for Sum {
    fn name(&self) -> &'static str {
        "sum of numbers"
    }

    fn merge(&self, value: &mut V, operand: &V) -> Result<()> {
        *value = V::of(value.number() + operand.number());
        Ok(())
    }
}

/// The number of a value that was looked at.
fn number_in<V: Shape>(bytes: &[u8]) -> u64 {
    let value = V::build(bytes.len(), |copy| {
        copy.copy_from_slice(bytes);
        bytes.len()
    });
    value.unwrap().number()
}

/// What was said of values, of their numbers.
fn numbers<V: Shape>(said: &Conditional<V>) -> Conditional<u64> {
    match said {
        Conditional::Done => Conditional::Done,
        Conditional::Absent => Conditional::Absent,
        Conditional::Refused(value) => Conditional::Refused(value.number()),
    }
}

/// One thread of a history.
pub(super) struct Caller<'a, K: Key, V: Value> {
    pub(super) session: Session<K, V>,
    pub(super) clock: &'a AtomicU64,
    pub(super) keys: [K; KEYS],
    /// State of a generator of numbers.
    pub(super) dice: u64,
    pub(super) transactions: bool,
}

impl<K: Key + Clone, V: Shape> Caller<'_, K, V> {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.dice >> 33) % limit
    }

    /// Makes a call, and remembers when.
    pub(super) fn event(&mut self) -> Event<Call> {
        let begun = self.clock.fetch_add(1, Ordering::SeqCst);
        let what = self.call().unwrap();
        Event { begun, ended: self.clock.fetch_add(1, Ordering::SeqCst), what }
    }

    fn call(&mut self) -> Result<Call> {
        let place = self.below(KEYS as u64) as usize;
        // Few values, so that a condition often holds, and never 0.
        let (value, other, yields) = (1 + self.below(6), 1 + self.below(6), self.below(2) == 0);
        let kinds = if self.transactions { 13 } else { 11 };
        let kind = self.below(kinds);
        let (key, session) = (self.keys[place].clone(), &mut self.session);
        let let_others = || {
            if yields {
                std::thread::yield_now(); // in the middle of a change: others come in between, if they can
            }
        };
        Ok(match kind {
            0 => Call::Read(place, session.read(&key)?.map(|value| value.number())),
            1 => Call::Read(place, session.read_with(&key, |bytes| number_in::<V>(bytes))?),
            2 => {
                session.upsert(key, V::of(value))?;
                Call::Upsert(place, value)
            }
            3 => {
                session.delete(&key)?;
                Call::Delete(place)
            }
            4 | 5 => {
                let mut saw = 0;
                let changed = session.rmw(key, |old| {
                    saw = old.number();
                    let_others();
                    *old = V::of(saw + value);
                    value != 6
                })?;
                if changed { Call::Modify(place, saw, saw + value) } else { Call::Declined(place, saw) }
            }
            6 => {
                session.merge(key, V::of(value), &Sum)?;
                Call::Merge(place, value)
            }
            7 => Call::InsertOrGet(place, value, numbers(&session.insert_or_get(key, V::of(value))?)),
            8 => {
                let said = session.compare_exchange(key, &V::of(value), V::of(other))?;
                Call::Exchange(place, value, other, numbers(&said))
            }
            9 => {
                let said = session.upsert_if(key, V::of(value), |old| {
                    let_others();
                    is_even(old.number())
                })?;
                Call::UpsertIfEven(place, value, numbers(&said))
            }
            10 => Call::DeleteIfEven(place, numbers(&session.delete_if(key, |old| is_even(old.number()))?)),
            _ => self.transaction(place, value, other)?,
        })
    }

    /// Reads two keys, and gives one to the other.
    fn transaction(&mut self, place: usize, value: u64, other: u64) -> Result<Call> {
        let (from, to) = (place, (place + other as usize % (KEYS - 1) + 1) % KEYS);
        let (first, second) = (self.keys[from].clone(), self.keys[to].clone());
        self.session.transaction(|transaction| {
            let found = transaction.read(&first)?.map(|value| value.number());
            std::thread::yield_now();
            let there = transaction.read(&second)?.map(|value| value.number());
            let mut written = Vec::new();
            if value != 6 {
                transaction.upsert(second.clone(), V::of(found.unwrap_or(0) + value));
                written.push((to, Some(found.unwrap_or(0) + value)));
            }
            if value < 3 {
                transaction.delete(first.clone());
                written.push((from, None));
            }
            Ok(Call::Transaction(vec![(from, found), (to, there)], written))
        })
    }
}
