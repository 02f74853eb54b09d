//! What a log may hold.

use crate::program::Violation;
use crate::rng::mix;
use oxifaster::address::Address;

/// What is known of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The size of its pages, once it may have been made.
    pub(super) page_bits: Option<u32>,
    /// It is one of these.
    pub(super) models: Vec<Model>,
}

/// What a log may be. Each entry has a number of its own, from which its bytes follow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Model {
    /// All entries that were appended and not cut off at the end, also those that were at the beginning.
    pub(super) entries: Vec<u64>,
    /// So many are committed.
    pub(super) committed: usize,
    /// So many were cut off at the beginning, at least and at most.
    pub(super) begin: (usize, usize),
    /// The cookie of the last commit that had one; zero for none.
    pub(super) cookie: u64,
    /// A cookie that was asked for, and how many entries a commit with it brings.
    pub(super) asked: Option<(u64, usize)>,
    /// The number of the last commit that returned.
    pub(super) number: u64,
    /// Whether the log is complete; `None` if that was asked for.
    pub(super) complete: Option<bool>,
    /// Where entries were that are cut off for good.
    pub(super) gone: Vec<Address>,
    /// No entry gets an address below: there is, or was, one that was committed.
    pub(super) used: u64,
}

/// What was read of a log.
#[derive(Debug)]
pub(super) struct Seen {
    /// The number of the first entry: so many were cut off at the beginning.
    pub(super) first: usize,
    pub(super) entries: Vec<u64>,
    pub(super) cookie: u64,
    pub(super) complete: bool,
}

impl Model {
    pub(super) fn new() -> Self {
        Self { complete: Some(false), ..Self::default() }
    }

    /// The model that a log is which holds this, if this model allows it.
    pub(super) fn found(&self, seen: &Seen) -> Option<Self> {
        let (least, most) = self.begin;
        if self.complete.is_some_and(|complete| complete != seen.complete) {
            return None;
        }
        let is_first = |begin: &usize| *begin == seen.first;
        (least..=most).find(is_first).and_then(|begin| {
            let end = begin + seen.entries.len();
            let has_entries = self.committed.max(begin) <= end && self.entries.get(begin..end)? == seen.entries;
            let has_cookie = seen.cookie == self.cookie
                || self.asked.is_some_and(|(cookie, count)| cookie == seen.cookie && count <= end);
            (has_entries && has_cookie).then(|| Self {
                entries: self.entries[..end].to_vec(),
                committed: end,
                begin: (begin, begin),
                cookie: seen.cookie,
                asked: None,
                complete: Some(seen.complete),
                ..self.clone()
            })
        })
    }

    /// Whether a reader who sees the log while it is open may see this.
    pub(super) fn allows(&self, seen: &Seen) -> bool {
        self.found(seen).is_some()
    }

    pub(super) fn live(&self) -> &[u64] {
        &self.entries[self.begin.1..]
    }
}

/// The bytes of an entry: one in eight is larger than the smallest page, and cut into parts there.
pub(super) fn bytes_of(number: u64) -> Vec<u8> {
    let drawn = mix(number);
    let len = if drawn.is_multiple_of(8) { 1_000 + drawn / 8 % 9_000 } else { drawn / 8 % 300 } as usize;
    let rest = (0..len).map(|at| (mix(number ^ (at as u64 / 8) << 32) >> (at % 8 * 8)) as u8);
    number.to_le_bytes().into_iter().chain(rest).collect()
}

/// The number of the entry with these bytes.
pub(super) fn number_of(data: &[u8]) -> Result<u64, Violation> {
    let number = data.first_chunk().map(|head| u64::from_le_bytes(*head)).unwrap_or_default();
    if data == bytes_of(number) {
        return Ok(number);
    }
    Err(Violation::new("right bytes", format_args!("an entry of {} bytes is not as it was appended", data.len())))
}

/// The bytes of a cookie: some make a commit record that is larger than a block.
pub(super) fn cookie_of(number: u64) -> Vec<u8> {
    let len = if number.is_multiple_of(5) { 700 } else { number % 40 } as usize;
    number.to_le_bytes().into_iter().chain((0..len).map(|at| mix(number ^ at as u64) as u8)).collect()
}

/// The number of a cookie; zero if there is none.
pub(super) fn number_of_cookie(bytes: &[u8]) -> Result<u64, Violation> {
    let number = bytes.first_chunk().map(|head| u64::from_le_bytes(*head)).unwrap_or_default();
    if bytes.is_empty() || bytes == cookie_of(number) {
        return Ok(number);
    }
    Err(Violation::new("right bytes", format_args!("a cookie of {} bytes is not as it was given", bytes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(entries: &[u64], cookie: u64) -> Seen {
        let first = entries.first().map_or(0, |first| *first as usize - 1);
        Seen { first, entries: entries.to_vec(), cookie, complete: false }
    }

    #[test]
    fn a_log_holds_what_is_committed_and_a_prefix_of_the_rest() {
        let model = Model { entries: vec![1, 2, 3, 4], committed: 2, begin: (0, 1), ..Model::new() };
        for (entries, fits) in [
            (&[1, 2][..], true),
            (&[1, 2, 3], true),
            (&[2, 3, 4], true),
            (&[2], true),
            (&[1], false),
            (&[], false),
            (&[1, 2, 4], false),
            (&[3, 4], false),
            (&[1, 2, 3, 4, 5], false),
        ] {
            assert_eq!(model.allows(&seen(entries, 0)), fits, "{entries:?}");
        }
        for (first, fits) in [(0, true), (1, false), (2, false)] {
            assert_eq!(model.allows(&Seen { first, ..seen(&[1, 2], 0) }), fits, "numbers from {first} on");
        }
        let found = model.found(&seen(&[2, 3], 0)).unwrap();
        assert_eq!((found.committed, found.begin, found.entries), (3, (1, 1), vec![1, 2, 3]));
    }

    #[test]
    fn a_cookie_brings_what_was_appended_before_it() {
        let model = Model { entries: vec![1, 2, 3], committed: 1, asked: Some((9, 2)), cookie: 8, ..Model::new() };
        assert!(model.allows(&seen(&[1], 8)) && model.allows(&seen(&[1, 2, 3], 8)));
        assert!(model.allows(&seen(&[1, 2], 9)) && !model.allows(&seen(&[1], 9)) && !model.allows(&seen(&[1, 2], 0)));
        assert_eq!(model.found(&seen(&[1, 2], 9)).unwrap().cookie, 9);
    }

    #[test]
    fn bytes_tell_their_number() {
        for number in [0, 5, 1 << 40] {
            assert_eq!(number_of(&bytes_of(number)), Ok(number));
            assert_eq!(number_of_cookie(&cookie_of(number)), Ok(number));
            let mut damaged = bytes_of(number);
            *damaged.last_mut().unwrap() ^= 1;
            number_of(&damaged).unwrap_err();
            number_of_cookie(&cookie_of(number)[1..]).unwrap_err();
        }
    }
}
