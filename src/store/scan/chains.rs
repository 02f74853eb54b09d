//! Keeping records in the chains in which a scan looks for them.

use crate::error::Result;
use crate::record::{Key, Value};
use crate::store::database::Database;
use crate::store::shrink::finish_shrinking;
use crate::sync::Arc;

/// The index does not shrink as long as it lives: that brings chains together by copies of records, in front of which the scan would not
/// find those that it asks about.
pub(super) struct ChainHold<K: Key, V: Value>(Arc<Database<K, V>>);

impl<K: Key, V: Value> ChainHold<K, V> {
    /// To be taken before it is known how far the scan goes.
    ///
    /// # Errors
    /// As for [`finish_shrinking`].
    pub(super) fn new(database: &Arc<Database<K, V>>) -> Result<Self> {
        while !database.kernel.index.enter_scan() {
            finish_shrinking(database)?;
        }
        Ok(Self(Arc::clone(database)))
    }

    /// The store that is scanned.
    pub(super) fn database(&self) -> &Arc<Database<K, V>> {
        &self.0
    }
}

impl<K: Key, V: Value> Drop for ChainHold<K, V> {
    fn drop(&mut self) {
        self.0.kernel.index.leave_scan();
    }
}
