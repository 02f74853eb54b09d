//! Values that say where they come from.

use crate::rng::mix;
use std::fmt;

/// Sessions of a history at most.
pub const LANES: usize = 8;
/// Words of a content in a store.
pub const WORDS: usize = LANES + 2;

/// The operation that wrote a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer {
    /// The session's number in its history.
    pub session: usize,
    /// The operation's number within the session, from 1 on.
    pub number: u64,
}

/// The value of a key: who wrote it last, and how often each session has added to it since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Content {
    /// `None` if the additions began with a key that was not there.
    pub writer: Option<Writer>,
    /// Additions by session.
    pub added: [u64; LANES],
}

impl Content {
    /// What an upsert leaves.
    pub fn written(session: usize, number: u64) -> Self {
        Self { writer: Some(Writer { session, number }), added: [0; LANES] }
    }

    /// The same after one more addition by `session`.
    #[must_use]
    pub fn plus(mut self, session: usize) -> Self {
        if let Some(lane) = self.added.get_mut(session) {
            *lane += 1;
        }
        self
    }

    /// The form in which a store keeps it, with a check over all of it. A content that nobody contributed to is all
    /// zeros, like the initial value of a store.
    pub fn to_words(self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        if self == Self::default() {
            return words;
        }
        words[0] = self.writer.map_or(0, |writer| (writer.session as u64 + 1) << 56 | writer.number);
        words[1..=LANES].copy_from_slice(&self.added);
        words[WORDS - 1] = Self::check(&words);
        words
    }

    /// Reads what [`to_words`](Self::to_words) wrote.
    pub fn from_words(words: &[u64; WORDS]) -> Found {
        if words.iter().all(|word| *word == 0) {
            return Found::Content(Self::default());
        }
        if words[WORDS - 1] != Self::check(words) {
            return Found::Garbage;
        }
        let session = (words[0] >> 56) as usize;
        let number = words[0] & ((1 << 56) - 1);
        let mut added = [0; LANES];
        added.copy_from_slice(&words[1..=LANES]);
        Found::Content(Self { writer: session.checked_sub(1).map(|session| Writer { session, number }), added })
    }

    fn check(words: &[u64; WORDS]) -> u64 {
        words[..WORDS - 1].iter().fold(1_u64, |check, word| mix(check.rotate_left(7) ^ word)) | 1
    }
}

/// What a key was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Found {
    /// It is not there.
    Nothing,
    /// A content.
    Content(Content),
    /// Bytes that no operation wrote.
    Garbage,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.writer {
            Some(writer) => write!(f, "session {} operation {}", writer.session, writer.number)?,
            None => f.write_str("nobody")?,
        }
        for (session, count) in self.added.iter().enumerate().filter(|(_, count)| **count > 0) {
            write!(f, " +{count} by {session}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Content(content) => write!(f, "{content}"),
            Self::Garbage => f.write_str("garbage"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_survive_being_stored_and_damage_is_seen() {
        let contents = [
            Content::default(),
            Content::default().plus(7),
            Content::written(0, 1),
            Content::written(7, (1 << 56) - 1).plus(0).plus(0).plus(7),
        ];
        for content in contents {
            let words = content.to_words();
            assert_eq!(Content::from_words(&words), Found::Content(content));
            for bit in 0..WORDS * 64 {
                let mut damaged = words;
                damaged[bit / 64] ^= 1 << (bit % 64);
                assert_eq!(Content::from_words(&damaged), Found::Garbage, "{content} bit {bit}");
            }
        }
    }
}
