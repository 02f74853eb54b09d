//! What a cache without bounds would answer: the model that the store is held to, for some of the keys.

use super::line::Verb;
use oxifaster::record::{Expiring, Expiry};
use oxifaster::utility::KeyHash;
use std::collections::HashMap;

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// The value that the key has, if it has one.
    Value(Option<Vec<u8>>),
    /// It was done.
    Done,
    /// There is nothing under the key, or, for who counts, nothing to count with.
    NotFound,
    /// The key has a value already.
    NotStored,
    /// The store does not take a record of this length.
    TooLarge,
}

impl Reply {
    /// For people.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Value(Some(value)) => {
                format!("a value of {} bytes with checksum {:#010x}", value.len(), crc32c::crc32c(value))
            }
            Self::Value(None) => "no value".to_owned(),
            Self::Done => "done".to_owned(),
            Self::NotFound => "not found".to_owned(),
            Self::NotStored => "not stored".to_owned(),
            Self::TooLarge => "too large".to_owned(),
        }
    }
}

/// Adds one to the number in the first 8 bytes of a value, or takes one away but not below zero. False if there are none.
pub(super) fn count(value: &mut [u8], up: bool) -> bool {
    let width = value.len().min(8);
    let mut bytes = [0; 8];
    bytes[..width].copy_from_slice(&value[..width]);
    let number = u64::from_le_bytes(bytes);
    let number = if up { number.wrapping_add(1) } else { number.saturating_sub(1) };
    value[..width].copy_from_slice(&number.to_le_bytes()[..width]);
    width > 0
}

/// A value, and when it ends.
type Known = Expiring<Vec<u8>>;

/// What the cache answers, and what the key has after that.
fn answer(verb: Verb, had: Option<Known>, new: Expiring<&[u8]>) -> (Reply, Option<Known>) {
    let instead = |value: Vec<u8>, expiry: Expiry| (Reply::Done, Some(Expiring::until(value, expiry)));
    match (verb, had) {
        (Verb::Get | Verb::Gets, had) => (Reply::Value(had.as_deref().cloned()), had),
        (Verb::Set, _) | (Verb::Add, None) | (Verb::Replace | Verb::Cas, Some(_)) => {
            instead(new.to_vec(), new.expiry())
        }
        (Verb::Add, had) => (Reply::NotStored, had),
        (Verb::Delete, Some(_)) => (Reply::Done, None),
        (Verb::Append, Some(had)) => instead([&had[..], &new].concat(), had.expiry()),
        (Verb::Prepend, Some(had)) => instead([&new[..], &had].concat(), had.expiry()),
        (Verb::Incr | Verb::Decr, Some(mut had)) => {
            let counted = count(&mut had, verb == Verb::Incr);
            (if counted { Reply::Done } else { Reply::NotFound }, Some(had))
        }
        (_, None) => (Reply::NotFound, None),
    }
}

/// The keys that are followed: those whose hash is low. When they take too much memory, the bound is halved, and what lies above
/// is forgotten; so a key that is followed was followed from the beginning, and one that is not known has no value.
pub(super) struct Model {
    values: HashMap<Vec<u8>, Known>,
    bytes: usize,
    bytes_max: usize,
    below: u64,
}

/// What a key takes beside its bytes and those of its value.
const OVERHEAD: usize = 96;

impl Model {
    /// Follows one key in `one_in`, as long as that takes at most `bytes_max`.
    pub(super) fn new(one_in: u64, bytes_max: usize) -> Self {
        Self { values: HashMap::new(), bytes: 0, bytes_max, below: u64::MAX / one_in }
    }

    /// True if the answers for this key are known.
    pub(super) fn follows(&self, key: &[u8]) -> bool {
        KeyHash::of_bytes(key).bucket(u64::MAX).reverse_bits() <= self.below
    }

    /// Keys with a value that are followed.
    pub(super) fn keys(&self) -> u64 {
        self.values.len() as u64
    }

    /// What the store must answer in the second `time` of the trace. What it says of records that are too large is believed.
    pub(super) fn expect(&mut self, verb: Verb, key: &[u8], new: Expiring<&[u8]>, time: u64, replied: &Reply) -> Reply {
        if *replied == Reply::TooLarge {
            return Reply::TooLarge;
        }
        let had = self.values.remove(key);
        self.bytes -= had.as_ref().map_or(0, |had| had.len() + key.len() + OVERHEAD);
        let had = had.filter(|had| !had.expiry().is_over(time.saturating_mul(1000)));
        let (reply, has) = answer(verb, had, new);
        if let Some(has) = has {
            self.bytes += has.len() + key.len() + OVERHEAD;
            self.values.insert(key.to_vec(), has);
        }
        while self.bytes > self.bytes_max {
            self.follow_fewer();
        }
        reply
    }

    fn follow_fewer(&mut self) {
        self.below /= 2;
        let mut values = std::mem::take(&mut self.values);
        values.retain(|key, _| self.follows(key));
        self.bytes = values.iter().map(|(key, value)| key.len() + value.len() + OVERHEAD).sum();
        self.values = values;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(model: &mut Model, verb: Verb, key: &[u8], new: &[u8]) -> Reply {
        model.expect(verb, key, new.into(), 0, &Reply::Done)
    }

    #[test]
    fn the_model_answers_as_a_cache_does() {
        let mut model = Model::new(1, 1 << 20);
        let has = |model: &mut Model| match expect(model, Verb::Get, b"k", b"") {
            Reply::Value(value) => value,
            other => panic!("{other:?}"),
        };
        for verb in [Verb::Replace, Verb::Cas, Verb::Append, Verb::Prepend, Verb::Delete, Verb::Incr, Verb::Decr] {
            assert_eq!((expect(&mut model, verb, b"k", b"x"), has(&mut model)), (Reply::NotFound, None), "{verb:?}");
        }
        assert_eq!(expect(&mut model, Verb::Add, b"k", b"\x01"), Reply::Done);
        assert_eq!(expect(&mut model, Verb::Add, b"k", b"x"), Reply::NotStored);
        for (verb, new, value) in [
            (Verb::Append, &b"b"[..], &b"\x01b"[..]),
            (Verb::Incr, b"", b"\x02b"),
            (Verb::Prepend, b"a", b"a\x02b"),
            (Verb::Cas, b"\0", b"\0"),
            (Verb::Decr, b"", b"\0"),
            (Verb::Replace, b"\xff\xff", b"\xff\xff"),
            (Verb::Incr, b"", b"\0\0"),
            (Verb::Set, b"123456789", b"123456789"),
            (Verb::Incr, b"", b"223456789"),
        ] {
            let reply = expect(&mut model, verb, b"k", new);
            assert_eq!((reply, has(&mut model).as_deref()), (Reply::Done, Some(value)), "{verb:?}");
        }
        assert_eq!((expect(&mut model, Verb::Delete, b"k", b""), has(&mut model)), (Reply::Done, None));
        expect(&mut model, Verb::Set, b"k", b"");
        assert_eq!(expect(&mut model, Verb::Incr, b"k", b""), Reply::NotFound, "nothing to count with");
        assert_eq!(model.expect(Verb::Set, b"k", (&b"long"[..]).into(), 0, &Reply::TooLarge), Reply::TooLarge);
        assert_eq!(has(&mut model).as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_model_that_grows_too_large_follows_fewer_keys_from_their_beginning() {
        let mut model = Model::new(1, 20_000);
        for number in 0..2_000_u32 {
            let key = number.to_le_bytes();
            if model.follows(&key) {
                expect(&mut model, Verb::Set, &key, &[1; 100]);
            }
        }
        assert!(model.bytes <= 20_000 && (20..=100).contains(&model.keys()), "{} keys", model.keys());
        let followed = (0..2_000_u32).filter(|number| model.follows(&number.to_le_bytes()));
        assert_eq!(followed.count() as u64, model.keys(), "all of those that are low are there");
        let one_in_16 = Model::new(16, 1 << 20);
        let followed = (0..16_000_u32).filter(|number| one_in_16.follows(&number.to_le_bytes())).count();
        assert!((800..1_200).contains(&followed), "{followed}");
    }
}
