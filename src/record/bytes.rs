//! Keys and values of any length: bytes and text.

use super::{Key, Value};
use crate::error::{Error, ErrorKind, Result};

/// As many bytes as `fill` writes into `room`. What is in a store is copied without zeros before it, and comes by `from_vec`.
fn collect(room: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut bytes = vec![0; room];
    let len = fill(&mut bytes);
    bytes.truncate(len);
    if len < room / 2 {
        bytes.shrink_to_fit(); // the value became shorter in its place: what is handed out does not keep the rest
    }
    bytes
}

impl Value for Vec<u8> {
    const FIXED: Option<usize> = None;

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        self
    }

    #[inline]
    fn build(room: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<Self> {
        Ok(collect(room, fill))
    }

    #[inline]
    fn from_vec(bytes: Vec<u8>) -> Result<Self> {
        Ok(bytes)
    }

    fn initial() -> Self {
        Self::new()
    }
}

impl Key for Vec<u8> {}

impl Value for Box<[u8]> {
    const FIXED: Option<usize> = None;

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        self
    }

    #[inline]
    fn build(room: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<Self> {
        Ok(collect(room, fill).into_boxed_slice())
    }

    #[inline]
    fn from_vec(bytes: Vec<u8>) -> Result<Self> {
        Ok(bytes.into_boxed_slice())
    }

    fn initial() -> Self {
        Self::default()
    }
}

impl Key for Box<[u8]> {}

impl Value for String {
    const FIXED: Option<usize> = None;

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        self.as_str().as_bytes()
    }

    fn build(room: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<Self> {
        Self::from_vec(collect(room, fill))
    }

    fn from_vec(bytes: Vec<u8>) -> Result<Self> {
        Self::from_utf8(bytes).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "a text in the store is not UTF-8")
                .with("valid up to", error.utf8_error().valid_up_to())
                .with("bytes", error.as_bytes().len())
                .help("open the store with the key and value types that it was written with")
        })
    }

    fn initial() -> Self {
        Self::new()
    }
}

impl Key for String {}

#[cfg(feature = "bytes")]
impl Value for ::bytes::Bytes {
    const FIXED: Option<usize> = None;

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        self
    }

    #[inline]
    fn build(room: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<Self> {
        Self::from_vec(collect(room, fill))
    }

    #[inline]
    fn from_vec(bytes: Vec<u8>) -> Result<Self> {
        Ok(bytes.into_boxed_slice().into()) // with bytes to spare it would take more memory, for their count
    }

    fn initial() -> Self {
        Self::new()
    }
}

#[cfg(feature = "bytes")]
impl Key for ::bytes::Bytes {}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;

    fn of<V: Value>(bytes: &[u8]) -> Result<V> {
        V::build(bytes.len() + 100, |room| {
            room[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        })
    }

    #[test]
    fn what_is_built_is_as_long_as_what_was_filled() {
        for len in [0, 1, 7, 8, 9, 1000] {
            let bytes = vec![b'x'; len];
            assert_eq!(of::<Vec<u8>>(&bytes).unwrap(), bytes);
            assert_eq!(&*of::<Box<[u8]>>(&bytes).unwrap(), bytes);
            assert_eq!(of::<String>(&bytes).unwrap().len(), len);
            assert!(of::<Vec<u8>>(&bytes).unwrap().capacity() <= 2 * (len + 100));
        }
        assert!(of::<Vec<u8>>(&[1]).unwrap().capacity() < 50, "a short value does not keep the room of a long one");
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        let error = of::<String>(b"ab\xff").unwrap_err();
        assert_eq!((error.kind(), error.field("valid up to")), (ErrorKind::Corrupt, Some("2")));
    }
}
