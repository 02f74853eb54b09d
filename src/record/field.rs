//! What a key and a value must be able to do: be bytes, and be made from bytes.

use super::Pod;

/// The value of a record.
///
/// Implemented for every [`Pod`] type: all integers and floats, arrays of them, and types declared with
/// [`pod!`](crate::pod).
pub trait Value: Clone + Send + Sync + Sized + 'static {
    /// Bytes of the value.
    const SIZE: usize;

    /// The bytes.
    fn as_bytes(&self) -> &[u8];

    /// Makes a value out of the [`SIZE`](Self::SIZE) bytes that `fill` writes. What it is given holds zeros.
    fn build(fill: impl FnOnce(&mut [u8])) -> Self;

    /// What a read-modify-write of a missing key starts from.
    fn initial() -> Self;
}

/// The key of a record: a value that can be compared. Two keys are equal if their bytes are.
///
/// Implemented for every [`Pod`] type that is `Eq`. (Floats are not: `0.0 == -0.0`, though their bytes differ.)
pub trait Key: Value + Eq {}

impl<T: Pod> Value for T {
    const SIZE: usize = size_of::<T>();

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        zerocopy::IntoBytes::as_bytes(self)
    }

    #[inline]
    fn build(fill: impl FnOnce(&mut [u8])) -> Self {
        let mut value = <T as zerocopy::FromZeros>::new_zeroed();
        fill(zerocopy::IntoBytes::as_mut_bytes(&mut value));
        value
    }

    #[inline]
    fn initial() -> Self {
        <T as Pod>::initial()
    }
}

impl<T: Pod + Eq> Key for T {}
