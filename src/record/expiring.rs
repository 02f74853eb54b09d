//! Values that end.

use super::Value;
use crate::error::Result;
use std::ops::{Deref, DerefMut};

/// When a value ends: a time in milliseconds since the Unix epoch, or never. An expiry is later the later it is, and never is
/// the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expiry(u64);

impl Expiry {
    /// The value stays.
    pub const NEVER: Self = Self(u64::MAX);
    /// It was over before there was a store.
    pub(crate) const BEFORE_ALL: Self = Self(0);

    /// At this time: from then on the value is not there. The largest number is [`NEVER`](Self::NEVER).
    #[inline(always)]
    pub const fn at_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// The time; `None` for never.
    pub const fn ms(self) -> Option<u64> {
        if self.0 == u64::MAX { None } else { Some(self.0) }
    }

    /// The word of a record.
    #[inline(always)]
    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    /// Whether a value has ended by `now`.
    #[inline(always)]
    pub const fn is_over(self, now: u64) -> bool {
        self.0 <= now && self.0 != u64::MAX
    }
}

/// A value that may end at a time of its own. In a store of such values, `FasterKv<K, Expiring<V>, _>`, each record has a word
/// more, that says when; a value that has ended is not there, for whatever looks for it.
///
/// ```
/// use oxifaster::record::{Expiring, Expiry};
/// let lasting = Expiring::from(7u64);
/// let ending = Expiring::until(7u64, Expiry::at_ms(1_900_000_000_000));
/// assert_eq!(*lasting, *ending);
/// assert!(ending.expiry() < lasting.expiry() && lasting.expiry() == Expiry::NEVER);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiring<V> {
    value: V,
    expiry: Expiry,
}

impl<V> Expiring<V> {
    /// The value, until then.
    pub const fn until(value: V, expiry: Expiry) -> Self {
        Self { value, expiry }
    }

    /// When it ends.
    pub const fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// Has it end then.
    pub const fn set_expiry(&mut self, expiry: Expiry) {
        self.expiry = expiry;
    }

    /// The value alone.
    pub fn into_inner(self) -> V {
        self.value
    }
}

/// One that stays.
impl<V> From<V> for Expiring<V> {
    fn from(value: V) -> Self {
        Self::until(value, Expiry::NEVER)
    }
}

impl<V> Deref for Expiring<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V> DerefMut for Expiring<V> {
    fn deref_mut(&mut self) -> &mut V {
        &mut self.value
    }
}

/// Its bytes are those of the value: two that differ in their expiry alone have the same.
impl<V: Value> Value for Expiring<V> {
    const FIXED: Option<usize> = V::FIXED;
    const EXPIRES: bool = {
        assert!(!V::EXPIRES, "a value has one expiry");
        true
    };

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        self.value.as_bytes()
    }

    #[inline(always)]
    fn build(room: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<Self> {
        V::build(room, fill).map(Self::from)
    }

    #[inline]
    fn from_vec(bytes: Vec<u8>) -> Result<Self> {
        V::from_vec(bytes).map(Self::from)
    }

    fn initial() -> Self {
        V::initial().into()
    }

    #[inline(always)]
    fn expiry(&self) -> Expiry {
        self.expiry
    }

    #[inline(always)]
    fn set_expiry(&mut self, expiry: Expiry) {
        self.expiry = expiry;
    }
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    #[test]
    fn never_is_never_over() {
        for now in [0, 1, u64::MAX - 1, u64::MAX] {
            assert!(!Expiry::NEVER.is_over(now));
            assert!(Expiry::BEFORE_ALL.is_over(now));
        }
        assert!(Expiry::at_ms(5).is_over(5) && Expiry::at_ms(5).is_over(6) && !Expiry::at_ms(5).is_over(4));
        assert_eq!((Expiry::NEVER.ms(), Expiry::at_ms(5).ms()), (None, Some(5)));
        assert!(Expiry::at_ms(u64::MAX - 1) < Expiry::NEVER);
    }

    #[test]
    fn what_is_built_stays() {
        assert_eq!(Expiring::<u64>::initial(), Expiring::from(0));
        let mut text = <Expiring<String> as Value>::build(2, |room| {
            room.copy_from_slice(b"ab");
            2
        })
        .unwrap();
        assert_eq!((text.as_str(), text.expiry()), ("ab", Expiry::NEVER));
        text.set_expiry(Expiry::at_ms(9));
        text.push('c');
        assert_eq!((text.expiry().ms(), text.into_inner()), (Some(9), "abc".to_owned()));
    }
}
