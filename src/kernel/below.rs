//! What an operation knows of the part of a chain that is on the device. Invariant K4 of [`crate::kernel`].

use super::{Fetch, Fetched, Kernel};
use crate::address::Address;
use crate::device::{IoDone, IoRequest};
use crate::error::Result;
use crate::record::{Held, Key, KeyBytes, Value};

/// The newest version of a key at or below some record of its chain, as far as it has been looked for.
pub(crate) enum Below<V> {
    /// Nobody has looked.
    Unknown,
    /// The walk goes on with the record of `next`.
    Walking {
        /// The chain's newest record when the walk began; nothing between it and `next` was of the key.
        top: Address,
        next: Fetch,
        /// What an earlier walk found out, and where that one began: this one need not go further (K4). Otherwise an
        /// operation on a chain that grows faster than the device answers would start at the same place for ever.
        known: Option<(Address, Option<Held<V>>)>,
    },
    /// At or below `top` the key has this value, or none.
    Known { top: Address, value: Option<Held<V>> },
}

impl<V: Value> Below<V> {
    /// Begins a walk at `next`, a record on the device; down to what is known already, if anything is.
    pub(crate) fn walk<K: Key>(&mut self, kernel: &Kernel<K, V>, top: Address, next: Address) {
        let known = match std::mem::replace(self, Self::Unknown) {
            Self::Known { top, value } => Some((top, value)),
            Self::Unknown | Self::Walking { .. } => None,
        };
        *self = Self::Walking { top, next: Fetch::of(kernel, next), known };
    }

    /// The address at or below which the answer is known.
    pub(crate) fn floor(&self) -> Address {
        match self {
            Self::Known { top, .. } => *top,
            Self::Unknown | Self::Walking { .. } => Address::INVALID,
        }
    }

    /// The access that the walk needs next, if it is under way.
    pub(crate) fn request<K: Key>(&self, kernel: &Kernel<K, V>) -> Option<IoRequest> {
        match self {
            Self::Walking { next, .. } => Some(next.request(kernel)),
            Self::Unknown | Self::Known { .. } => None,
        }
    }

    /// Takes in the record that [`request`](Self::request) asked for.
    ///
    /// # Errors
    /// The device's error, or [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
    pub(crate) fn resume<K: Key>(&mut self, kernel: &Kernel<K, V>, key: &impl KeyBytes, done: IoDone) -> Result<()> {
        let Self::Walking { top, next, known } = self else { return Ok(()) };
        let (top, next, known) = (*top, *next, known.take());
        if next.at < kernel.log.begin() {
            // It was truncated while the device was asked. If it was of use it was moved, to above `top`; what the device
            // brought may be anything.
            *self = Self::Known { top, value: None };
            return Ok(());
        }
        let record = match next.take(kernel, done)? {
            Fetched::Record(record) => record,
            Fetched::Longer(next) => {
                *self = Self::Walking { top, next, known };
                return Ok(());
            }
        };
        let previous = record.info.previous();
        *self = if record.key.as_bytes() == key.key_bytes() && !record.info.is_invalid() {
            Self::Known { top, value: record.held_at(next.at) }
        } else if previous < kernel.log.begin() {
            Self::Known { top, value: None }
        } else {
            match known {
                Some((floor, value)) if previous <= floor => Self::Known { top, value },
                known => Self::Walking { top, next: Fetch::of(kernel, previous), known },
            }
        };
        Ok(())
    }
}
