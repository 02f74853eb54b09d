//! Publishing the root of a large value: the moment at which it becomes the value of its key.

use super::find::{Region, Trace};
use super::locked::step_of_key;
use super::{Kernel, KeyOperation};
use crate::address::Address;
use crate::device::IoDone;
use crate::epoch::Guard;
use crate::error::{Error, ErrorKind, Result};
use crate::index::Slot;
use crate::operation::{Operation, Retry, Step};
use crate::record::{Key, Root, RootDraft, Value};
use crate::utility::KeyHash;

/// Gives a key the large value whose fragments are in the log. Never needs the device.
pub(crate) struct PublishRootOp<K> {
    key: K,
    title: Address,
    bytes: Vec<u8>,
}

impl<K> PublishRootOp<K> {
    const OVERTAKEN: &'static str = "a compaction has overtaken the writer of a large value";

    pub(crate) fn new(key: K, root: &Root) -> Self {
        Self { key, title: root.title, bytes: root.to_bytes() }
    }

    /// Whether it failed because a compaction gives up the place where the fragments are: with copies of them it can be tried again.
    pub(crate) fn is_overtaken(error: &Error) -> bool {
        error.what() == Self::OVERTAKEN
    }
}

impl<K: Key, V: Value> Operation<Kernel<K, V>> for PublishRootOp<K> {
    type Output = ();

    fn step(&mut self, kernel: &Kernel<K, V>, guard: &Guard<'_>) -> Step<()> {
        let hash = KeyHash::of_bytes(self.key.as_bytes());
        step_of_key(self, kernel, hash, guard)
    }

    fn resume(&mut self, _: &Kernel<K, V>, _: IoDone) -> Result<()> {
        Ok(()) // it asks the device for nothing
    }
}

impl<K: Key, V: Value> KeyOperation<K, V> for PublishRootOp<K> {
    const WRITES: bool = true;

    fn step_at<'g>(&mut self, kernel: &'g Kernel<K, V>, slot: Slot<'g>, guard: &'g Guard<'_>) -> Step<()> {
        // C6 of compaction: whoever is pinned with an older boundary is waited for before anything is looked up.
        if self.title.get() < kernel.looked_up_below.get() {
            return Step::Failed(Error::new(ErrorKind::Busy, Self::OVERTAKEN));
        }
        let floor = Address::from_word(kernel.log.mutable_from().get() - 1);
        let moment = kernel.moment(guard);
        let mut outgrown = None;
        if let Trace::Record(found) = kernel.trace(&self.key, &slot, floor, guard) {
            match kernel.region(&found, moment) {
                Region::Newer => return Step::Retry(Retry::Conflict),
                // R7, V4
                Region::Mutable if found.info.is_open() || kernel.may_be_revived(found.info) => {
                    outgrown = Some(found.record);
                }
                Region::Mutable | Region::Fuzzy | Region::Immutable => {}
            }
        }
        match kernel.append(slot, RootDraft::new(self.key.as_bytes(), &self.bytes), moment, guard) {
            Ok(Ok(())) => {
                if let Some(record) = outgrown {
                    record.seal::<K, V>();
                }
                Step::Done(())
            }
            Ok(Err(retry)) => Step::Retry(retry),
            Err(error) => Step::Failed(error),
        }
    }
}
