//! What stands in for the rings where there are none.

use super::PoolReason;
use crate::device::IoChannel;
use crate::device::file::FilePool;
use std::sync::Arc;

/// No rings.
#[derive(Debug)]
pub(in crate::device) enum Rings {}

impl Rings {
    pub(in crate::device) fn open() -> Result<Self, PoolReason> {
        Err(PoolReason::NotBuilt)
    }

    pub(in crate::device) fn channel(self: &Arc<Self>, _pool: &Arc<FilePool>) -> Box<dyn IoChannel> {
        match **self {}
    }
}
