//! What a key and a value must be able to do: be bytes, and be made from bytes.

use super::{Expiry, Pod};
use crate::error::Result;

/// The value of a record.
///
/// Implemented for every [`Pod`] type (all integers and floats, arrays of them, and types declared with
/// [`pod!`](crate::pod)), for `Vec<u8>`, `Box<[u8]>`, `String`, `bytes::Bytes` (feature `bytes`), and for
/// [`Encoded`](super::Encoded), which makes one of any type that a [`Codec`](super::Codec) knows.
pub trait Value: Clone + Send + Sync + Sized + 'static {
    /// Bytes of every value of the type; `None` if they differ in length.
    const FIXED: Option<usize>;

    /// The bytes.
    fn as_bytes(&self) -> &[u8];

    /// Makes a value out of bytes. `fill` is called once, with room for `room` bytes that hold zeros, and says how many of
    /// them, from the first on, are those of the value. Of a type with a fixed length both are that length.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the bytes are no value of this type.
    fn build(room: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<Self>;

    /// Makes a value out of its bytes, which it may keep. Of a type with a fixed length there are as many.
    ///
    /// # Errors
    /// As for [`build`](Self::build). `Default:` builds it.
    fn from_vec(bytes: Vec<u8>) -> Result<Self> {
        build_of(&bytes)
    }

    /// What a read-modify-write of a missing key starts from.
    fn initial() -> Self;

    /// Whether a value may end, and its record says when. Of [`Expiring`](super::Expiring) values it does. `Default:` false.
    const EXPIRES: bool = false;

    /// When the value ends. `Default:` never.
    #[inline(always)]
    fn expiry(&self) -> Expiry {
        Expiry::NEVER
    }

    /// Has the value end then. `Default:` nothing.
    #[inline(always)]
    fn set_expiry(&mut self, _: Expiry) {}
}

/// The key of a record: a value that can be compared. Two keys are equal if their bytes are.
///
/// Implemented for every [`Pod`] type that is `Eq`, and for the types of any length. (Floats are not: `0.0 == -0.0`, though
/// their bytes differ.)
pub trait Key: Value + Eq {}

/// What a key can be looked up by without being made: itself, or something that it can be borrowed as and that has the same
/// bytes, such as `str` for `String`.
pub trait KeyBytes {
    /// The bytes of the key.
    fn key_bytes(&self) -> &[u8];
}

/// What a key can be given without a value being made: a value, or something that it can be borrowed as and that has the same
/// bytes, such as `str` for `String`.
pub trait ValueBytes {
    /// The bytes of the value.
    fn value_bytes(&self) -> &[u8];

    /// When it ends. `Default:` never.
    #[inline(always)]
    fn ends(&self) -> Expiry {
        Expiry::NEVER
    }
}

/// The value of these bytes, which are copied to it.
fn build_of<V: Value>(bytes: &[u8]) -> Result<V> {
    V::build(bytes.len(), |room| {
        room.copy_from_slice(bytes);
        bytes.len()
    })
}

/// The key or value of these bytes, of which there are as many as the type has.
///
/// # Errors
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if they are none of the type.
#[inline]
pub(crate) fn made_of<V: Value>(bytes: &[u8]) -> Result<V> {
    if const { V::FIXED.is_some() } { build_of(bytes) } else { V::from_vec(bytes.to_vec()) }
}

impl<T: Pod> Value for T {
    const FIXED: Option<usize> = Some(size_of::<T>());

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        zerocopy::IntoBytes::as_bytes(self)
    }

    #[inline(always)]
    fn build(_: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<Self> {
        let mut value = <T as zerocopy::FromZeros>::new_zeroed();
        fill(zerocopy::IntoBytes::as_mut_bytes(&mut value));
        Ok(value)
    }

    #[inline]
    fn initial() -> Self {
        <T as Pod>::initial()
    }
}

impl<T: Pod + Eq> Key for T {}

impl<K: Key> KeyBytes for K {
    #[inline(always)]
    fn key_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl KeyBytes for [u8] {
    #[inline(always)]
    fn key_bytes(&self) -> &[u8] {
        self
    }
}

impl KeyBytes for str {
    #[inline(always)]
    fn key_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<V: Value> ValueBytes for V {
    #[inline(always)]
    fn value_bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    #[inline(always)]
    fn ends(&self) -> Expiry {
        self.expiry()
    }
}

impl ValueBytes for [u8] {
    #[inline(always)]
    fn value_bytes(&self) -> &[u8] {
        self
    }
}

impl ValueBytes for str {
    #[inline(always)]
    fn value_bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// A key or a value by a reference.
#[derive(Clone, Copy)]
pub(crate) struct ByRef<'k, Q: ?Sized>(pub(crate) &'k Q);

impl<Q: KeyBytes + ?Sized> KeyBytes for ByRef<'_, Q> {
    #[inline(always)]
    fn key_bytes(&self) -> &[u8] {
        self.0.key_bytes()
    }
}

impl<W: ValueBytes + ?Sized> ValueBytes for ByRef<'_, W> {
    #[inline(always)]
    fn value_bytes(&self) -> &[u8] {
        self.0.value_bytes()
    }

    #[inline(always)]
    fn ends(&self) -> Expiry {
        self.0.ends()
    }
}
