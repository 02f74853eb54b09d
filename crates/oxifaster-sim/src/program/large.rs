//! Values of bytes for the durable store, of which some are larger than a page and are written piece by piece.

use super::durability::Payload;
use crate::{SimDisk, SimRng};
use oxifaster::store::{FasterKv, Session};
use oxifaster::{Error, ErrorKind, Result};
use std::io::Write;

/// Pages have 4 KiB. The largest value takes some ten of them, and its leaves two lists.
const LARGEST: u64 = 40_000;

/// Values of any length, told by their numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pieces;

/// Numbers from here on tell values that are smaller than a page.
const SMALL: u64 = 1 << 63;

/// As long as it is told by the number, and nowhere the same as another's.
fn bytes_of(number: u64) -> Vec<u8> {
    let len = match number % 3 {
        0 if number < SMALL => number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % LARGEST,
        1 => number % 3000,
        _ => number % 100,
    };
    let words = std::iter::once(number).chain((1..).map(|at: u64| number.wrapping_mul(at | 1).rotate_left(17)));
    words.flat_map(u64::to_le_bytes).take(8 + len as usize).collect()
}

/// The number that tells these bytes.
fn number_of(bytes: &[u8]) -> Result<u64> {
    let number = bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    if bytes_of(number) == bytes {
        return Ok(number);
    }
    Err(Error::new(ErrorKind::Corrupt, "a value is not as it was written")
        .with("number", number)
        .with("bytes", bytes.len()))
}

impl Payload for Pieces {
    type Value = Vec<u8>;
    const NAME: &'static str = "large";
    const ABOUT: &'static str =
        "the same with values of any length, some larger than a page: they are whole after every crash";

    fn for_batch(number: u64) -> u64 {
        number | SMALL
    }

    /// One of the shortest.
    fn for_transaction(number: u64) -> u64 {
        let number = (number >> 1) | SMALL;
        number - number % 3 + 2
    }

    fn value(number: u64) -> Vec<u8> {
        bytes_of(number)
    }

    fn upsert(session: &mut Session<u64, Vec<u8>>, key: u64, number: u64) -> Result<()> {
        let bytes = bytes_of(number);
        let told = number.is_multiple_of(2).then_some(bytes.len() as u64);
        session.upsert_from(key, told, &bytes[..]).map(drop)
    }

    fn rmw(session: &mut Session<u64, Vec<u8>>, key: u64, _: u64, to: u64) -> Result<()> {
        Self::upsert(session, key, to)
    }

    fn read(session: &mut Session<u64, Vec<u8>>, key: u64) -> Result<Option<u64>> {
        let mut bytes = Vec::new();
        match session.read_into(&key, &mut bytes)? {
            Some(_) => number_of(&bytes).map(Some),
            None => Ok(None),
        }
    }

    fn disturb(
        store: &FasterKv<u64, Vec<u8>, SimDisk>,
        session: &mut Session<u64, Vec<u8>>,
        rng: &mut SimRng,
    ) -> Result<()> {
        match rng.below(3) {
            0 => session.wait_durable(),
            1 => {
                let mut writer = session.value_writer(rng.below(40), None)?;
                let written = writer.write_all(&bytes_of(rng.below(1 << 20)));
                written.map_err(|error| match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
                    Some(error) => error.clone(),
                    None => Error::new(ErrorKind::Io, "writing a piece").because(error),
                })
            }
            _ => {
                let addresses = store.addresses();
                let (begin, end) = (addresses.begin.get(), addresses.tail.get());
                let until = begin + rng.below(end.saturating_sub(begin).max(1));
                store.log_compact_until(oxifaster::address::Address::from_word(until)).map(drop)
            }
        }
    }
}
