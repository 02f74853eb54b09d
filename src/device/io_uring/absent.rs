//! What stands in for the rings where there are none.

use super::PoolReason;
use crate::device::file::FilePool;
use crate::device::{CompletionSink, IoChannel, IoRequest, Token};
use std::sync::Arc;

/// No rings.
#[derive(Debug)]
pub(in crate::device) enum Rings {}

impl Rings {
    pub(in crate::device) fn open() -> Result<Self, PoolReason> {
        Err(PoolReason::NotBuilt)
    }

    pub(in crate::device) fn reactor(&self, _pool: &Arc<FilePool>) -> Reactor {
        match *self {}
    }

    pub(in crate::device) fn channel(self: &Arc<Self>, _pool: &Arc<FilePool>) -> Box<dyn IoChannel> {
        match **self {}
    }
}

/// No reactor.
#[derive(Debug)]
pub(in crate::device) enum Reactor {}

impl Reactor {
    pub(in crate::device) fn poll(&self) -> usize {
        match *self {}
    }

    pub(in crate::device) fn submit(&self, _request: IoRequest, _sink: Arc<dyn CompletionSink>, _token: Token) {
        match *self {}
    }
}
