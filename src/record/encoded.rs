//! Keys and values of types that are not bytes by themselves.

use super::{Key, Value};
use crate::error::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;

/// How a type is turned into bytes and back.
///
/// What it writes is never empty, except for what [`Default`] gives; equal keys must be written as equal bytes. It must take any
/// bytes, and answer with an error if they are none of its own.
pub trait Codec<T>: Send + Sync + 'static {
    /// Appends the bytes of `value` to `bytes`, which is empty.
    ///
    /// # Errors
    /// If the value cannot be written, the reason.
    fn encode(value: &T, bytes: &mut Vec<u8>) -> Result<()>;

    /// Makes the value that was written as `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if they are no value's.
    fn decode(bytes: &[u8]) -> Result<T>;
}

/// Everything that serde can write, as JSON.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn encode(value: &T, bytes: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(bytes, value)
            .map_err(|error| Error::new(ErrorKind::Unsupported, "a value cannot be written as JSON").because(error))
    }

    fn decode(bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "bytes in the store are no value of its type")
                .because(error)
                .help("open the store with the key and value types that it was written with")
        })
    }
}

/// A value of any type with a [`Codec`], together with the bytes it is stored as.
///
/// ```
/// use oxifaster::record::Encoded;
/// # fn main() -> oxifaster::Result<()> {
/// #[derive(Default, Clone, serde::Serialize, serde::Deserialize)]
/// struct Person {
///     name: String,
///     visits: u32,
/// }
/// let mut person: Encoded<Person> = Encoded::new(Person { name: "Ada".into(), visits: 1 })?;
/// person.update(|person| person.visits += 1)?;
/// assert_eq!((person.name.as_str(), person.visits), ("Ada", 2));
/// # Ok(())
/// # }
/// ```
pub struct Encoded<T, C = Json> {
    value: T,
    /// Empty for what [`Default`] gives: then nothing has to be written to begin with.
    bytes: Vec<u8>,
    codec: PhantomData<fn() -> C>,
}

impl<T, C: Codec<T>> Encoded<T, C> {
    /// The value with its bytes.
    ///
    /// # Errors
    /// If the codec cannot write it.
    pub fn new(value: T) -> Result<Self> {
        let mut bytes = Vec::new();
        C::encode(&value, &mut bytes)?;
        Ok(Self { value, bytes, codec: PhantomData })
    }

    /// Changes the value.
    ///
    /// # Errors
    /// If the codec cannot write what it became; the value is then as it was.
    pub fn update(&mut self, change: impl FnOnce(&mut T)) -> Result<()>
    where
        T: Clone,
    {
        let mut value = self.value.clone();
        change(&mut value);
        *self = Self::new(value)?;
        Ok(())
    }

    /// The value, alone.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T, C> Deref for Encoded<T, C> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Clone, C> Clone for Encoded<T, C> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), bytes: self.bytes.clone(), codec: PhantomData }
    }
}

impl<T: Debug, C> Debug for Encoded<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// Equal if the bytes are: what the store goes by.
impl<T, C> PartialEq for Encoded<T, C> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T, C> Eq for Encoded<T, C> {}

impl<T, C> Hash for Encoded<T, C> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl<T, C> Value for Encoded<T, C>
where
    T: Default + Clone + Send + Sync + 'static,
    C: Codec<T>,
{
    const FIXED: Option<usize> = None;

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn build(room: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<Self> {
        <Vec<u8> as Value>::build(room, fill).and_then(Self::from_vec)
    }

    fn from_vec(bytes: Vec<u8>) -> Result<Self> {
        if bytes.is_empty() {
            return Ok(Self::initial());
        }
        Ok(Self { value: C::decode(&bytes)?, bytes, codec: PhantomData })
    }

    fn initial() -> Self {
        Self { value: T::default(), bytes: Vec::new(), codec: PhantomData }
    }
}

impl<T, C> Key for Encoded<T, C>
where
    T: Default + Clone + Send + Sync + 'static,
    C: Codec<T>,
{
}

#[cfg(test)]
#[cfg(not(oxifaster_loom))]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    type Map = Encoded<BTreeMap<String, u32>>;

    fn back(value: &Map) -> Result<Map> {
        let bytes = value.as_bytes();
        Map::build(bytes.len(), |room| {
            room.copy_from_slice(bytes);
            bytes.len()
        })
    }

    #[test]
    fn a_value_comes_back_as_it_was_written() {
        let mut map = Map::initial();
        assert_eq!(back(&map).unwrap(), map, "also one that was never written");
        map.update(|map| map.extend([("a".to_owned(), 7)])).unwrap();
        assert_eq!(map.as_bytes(), br#"{"a":7}"#);
        let map = back(&map).unwrap();
        assert_eq!(map.get("a"), Some(&7));
        assert_eq!(map.into_inner().len(), 1);
    }

    #[test]
    fn what_cannot_be_written_leaves_the_value_as_it_was() {
        type Odd = Encoded<BTreeMap<Option<u8>, u8>>;
        let mut odd = Odd::initial();
        let error = odd.update(|map| map.extend([(None, 1)])).unwrap_err();
        assert_eq!((error.kind(), odd.len()), (ErrorKind::Unsupported, 0));
    }

    #[test]
    fn bytes_that_are_no_value_are_an_error() {
        for bytes in [&b"{"[..], b"7", b"\xff"] {
            let built = Map::build(bytes.len(), |room| {
                room.copy_from_slice(bytes);
                bytes.len()
            });
            assert_eq!(built.unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
