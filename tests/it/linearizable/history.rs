//! The operations of a history: how they are made, and what they may have found.

use super::search::{Event, Step, is_linearizable};
use oxifaster::Result;
use oxifaster::clock::{Clock, VirtualClock};
use oxifaster::record::{Expiring, Expiry, Key, Value};
use oxifaster::store::{Conditional, MergeOperator, Session};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Keys of a history.
pub(super) const KEYS: usize = 3;

/// A value: a number, and the time at which it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Known {
    number: u64,
    end: u64,
}

/// The end of what stays.
const NEVER: u64 = u64::MAX;
/// What a change makes something of if there is nothing.
const INITIAL: Known = Known { number: 0, end: NEVER };

/// What each key has, and what time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    values: [Option<Known>; KEYS],
    now: u64,
}

impl State {
    /// The value that is there.
    fn of(&self, key: usize) -> Option<Known> {
        self.values[key].filter(|value| value.end > self.now)
    }

    fn with(mut self, key: usize, value: Option<Known>) -> Self {
        self.values[key] = value;
        self
    }
}

/// A call, with what it found.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Read(usize, Option<Known>),
    /// Which sees the number alone.
    Look(usize, Option<u64>),
    Upsert(usize, Known),
    Delete(usize),
    /// What it saw, and what it made of it.
    Modify(usize, Known, Known),
    /// A closure that declined.
    Declined(usize, Known),
    /// The sum of the numbers, which ends when the value that was there does.
    Merge(usize, Known),
    InsertOrGet(usize, Known, Conditional<Known>),
    /// The first is compared by its number.
    Exchange(usize, u64, Known, Conditional<Known>),
    UpsertIfEven(usize, Known, Conditional<Known>),
    DeleteIfEven(usize, Conditional<Known>),
    /// Another end, and whether there was a value.
    Expire(usize, u64, bool),
    /// All that it read, and what it wrote.
    Transaction(Vec<(usize, Option<Known>)>, Vec<(usize, Option<Known>)>),
    /// A millisecond goes by.
    Tick,
}

impl Call {
    /// The key, of a call that has one.
    fn key(&self) -> Option<usize> {
        match self {
            Self::Transaction(..) | Self::Tick => None,
            Self::Read(key, _)
            | Self::Look(key, _)
            | Self::Upsert(key, _)
            | Self::Delete(key)
            | Self::Modify(key, ..)
            | Self::Declined(key, _)
            | Self::Merge(key, _)
            | Self::InsertOrGet(key, ..)
            | Self::Exchange(key, ..)
            | Self::UpsertIfEven(key, ..)
            | Self::DeleteIfEven(key, _)
            | Self::Expire(key, ..) => Some(*key),
        }
    }
}

/// What a conditional change that is made where `condition` holds, and where nothing is if `of_absent`, says of `found`.
fn says(found: Option<Known>, of_absent: bool, condition: impl Fn(u64) -> bool) -> Conditional<Known> {
    match found {
        None if of_absent => Conditional::Done,
        None => Conditional::Absent,
        Some(value) if condition(value.number) => Conditional::Done,
        Some(value) => Conditional::Refused(value),
    }
}

const fn is_even(value: u64) -> bool {
    value.is_multiple_of(2)
}

impl Step<State> for Call {
    fn after(&self, state: &State) -> Option<State> {
        // The state with the new value if it said that it was made, and as it was if not; `None` if it should have said otherwise.
        let made = |said: &Conditional<Known>, should: Conditional<Known>, key: usize, value: Option<Known>| {
            (*said == should).then(|| if said.is_done() { state.with(key, value) } else { *state })
        };
        match self {
            Self::Read(key, found) => (state.of(*key) == *found).then_some(*state),
            Self::Look(key, found) => (state.of(*key).map(|value| value.number) == *found).then_some(*state),
            Self::Upsert(key, value) => Some(state.with(*key, Some(*value))),
            Self::Delete(key) => Some(state.with(*key, None)),
            Self::Modify(key, saw, wrote) => {
                (state.of(*key).unwrap_or(INITIAL) == *saw).then(|| state.with(*key, Some(*wrote)))
            }
            Self::Declined(key, saw) => (state.of(*key).unwrap_or(INITIAL) == *saw).then_some(*state),
            Self::Merge(key, operand) => {
                let sum = |had: Known| Known { number: had.number + operand.number, ..had };
                Some(state.with(*key, Some(state.of(*key).map_or(*operand, sum))))
            }
            Self::InsertOrGet(key, value, said) => {
                made(said, says(state.of(*key), true, |_| false), *key, Some(*value))
            }
            Self::Exchange(key, old, new, said) => {
                made(said, says(state.of(*key), false, |number| number == *old), *key, Some(*new))
            }
            Self::UpsertIfEven(key, value, said) => made(said, says(state.of(*key), true, is_even), *key, Some(*value)),
            Self::DeleteIfEven(key, said) => made(said, says(state.of(*key), false, is_even), *key, None),
            Self::Expire(key, end, there) => (state.of(*key).is_some() == *there)
                .then(|| state.with(*key, state.of(*key).map(|value| Known { end: *end, ..value }))),
            Self::Transaction(read, written) => read
                .iter()
                .all(|(key, found)| state.of(*key) == *found)
                .then(|| written.iter().fold(*state, |state, (key, value)| state.with(*key, *value))),
            Self::Tick => Some(State { now: state.now + 1, ..*state }),
        }
    }
}

/// True if a history that began at this time could have happened one operation at a time. Histories without calls that concern several
/// keys are looked at key by key: of objects that are linearizable each, all are.
pub(super) fn could_be(events: &[Event<Call>], now: u64) -> bool {
    let start = State { values: [None; KEYS], now };
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
    /// Has the value of a key end then, of values that can.
    fn expire<K: Key>(_session: &mut Session<K, Self>, _key: K, _end: u64) -> Result<bool> {
        panic!("these values do not end")
    }
}

/// The value of a number that ends then.
fn made<V: Shape>(Known { number, end }: Known) -> V {
    let mut value = V::of(number);
    value.set_expiry(Expiry::at_ms(end));
    value
}

fn known<V: Shape>(value: &V) -> Known {
    Known { number: value.number(), end: value.expiry().ms().unwrap_or(NEVER) }
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

impl<V: Shape> Shape for Expiring<V> {
    fn of(number: u64) -> Self {
        V::of(number).into()
    }

    fn number(&self) -> u64 {
        V::number(self)
    }

    fn expire<K: Key>(session: &mut Session<K, Self>, key: K, end: u64) -> Result<bool> {
        session.expire_at(key, Expiry::at_ms(end))
    }
}

/// Adds numbers.
struct Sum;

impl<V: Shape> MergeOperator<V> for Sum {
    fn name(&self) -> &'static str {
        "sum of numbers"
    }

    fn merge(&self, value: &mut V, operand: &V) -> Result<()> {
        *value = made(Known { number: value.number() + operand.number(), ..known(value) });
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

/// What was said of values, of what they are.
fn of_known<V: Shape>(said: &Conditional<V>) -> Conditional<Known> {
    match said {
        Conditional::Done => Conditional::Done,
        Conditional::Absent => Conditional::Absent,
        Conditional::Refused(value) => Conditional::Refused(known(value)),
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
    /// The time, for values that end.
    pub(super) time: &'a VirtualClock,
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
        let (number, other, yields) = (1 + self.below(6), 1 + self.below(6), self.below(2) == 0);
        let (value, other) = (self.ending(number), self.ending(other));
        let kind = match self.below(if self.transactions { 13 } else { 11 }) {
            kind @ 0..3 if V::EXPIRES && yields => 13 + kind,
            kind => kind,
        };
        let (key, session) = (self.keys[place].clone(), &mut self.session);
        let let_others = || {
            if yields {
                std::thread::yield_now(); // in the middle of a change: others come in between, if they can
            }
        };
        Ok(match kind {
            0 => Call::Read(place, session.read(&key)?.map(|value| known(&value))),
            1 => Call::Look(place, session.read_with(&key, |bytes| number_in::<V>(bytes))?),
            2 => {
                session.upsert(key, made(value))?;
                Call::Upsert(place, value)
            }
            3 => {
                session.delete(&key)?;
                Call::Delete(place)
            }
            4 | 5 => {
                let mut saw = INITIAL;
                let becomes = |saw: Known| Known { number: saw.number + number, end: value.end };
                let changed = session.rmw(key, |old| {
                    saw = known(old);
                    let_others();
                    *old = made(becomes(saw));
                    number != 6
                })?;
                if changed { Call::Modify(place, saw, becomes(saw)) } else { Call::Declined(place, saw) }
            }
            6 => {
                session.merge(key, made(value), &Sum)?;
                Call::Merge(place, value)
            }
            7 => Call::InsertOrGet(place, value, of_known(&session.insert_or_get(key, made(value))?)),
            8 => {
                let said = session.compare_exchange(key, &V::of(number), made(other))?;
                Call::Exchange(place, number, other, of_known(&said))
            }
            9 => {
                let said = session.upsert_if(key, made(value), |old| {
                    let_others();
                    is_even(old.number())
                })?;
                Call::UpsertIfEven(place, value, of_known(&said))
            }
            10 => Call::DeleteIfEven(place, of_known(&session.delete_if(key, |old| is_even(old.number()))?)),
            13 | 14 => {
                self.time.advance(Duration::from_millis(1));
                Call::Tick
            }
            15 => Call::Expire(place, value.end, V::expire(session, key, value.end)?),
            _ => self.transaction(place, value, other.number)?,
        })
    }

    /// A value that ends before long, of those that can, or now and then never.
    fn ending(&mut self, number: u64) -> Known {
        let milliseconds = self.below(5);
        let end = if V::EXPIRES && milliseconds > 0 { self.time.now_ms() + milliseconds } else { NEVER };
        Known { number, end }
    }

    /// Reads two keys, and gives one to the other.
    fn transaction(&mut self, place: usize, value: Known, other: u64) -> Result<Call> {
        let (from, to) = (place, (place + other as usize % (KEYS - 1) + 1) % KEYS);
        let (first, second) = (self.keys[from].clone(), self.keys[to].clone());
        self.session.transaction(|transaction| {
            let found = transaction.read(&first)?.map(|value| known(&value));
            std::thread::yield_now();
            let there = transaction.read(&second)?.map(|value| known(&value));
            let mut written = Vec::new();
            if value.number != 6 {
                let given = Known { number: found.map_or(0, |found| found.number) + value.number, ..value };
                transaction.upsert(second.clone(), made(given));
                written.push((to, Some(given)));
            }
            if value.number < 3 {
                transaction.delete(first.clone());
                written.push((from, None));
            }
            Ok(Call::Transaction(vec![(from, found), (to, there)], written))
        })
    }
}
