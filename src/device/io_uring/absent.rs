//! What stands in for the rings where there are none.

use super::PoolReason;
use crate::device::file::FilePool;
use crate::device::{CompletionSink, IoChannel, IoDone, IoRequest, Token};
use std::sync::Arc;
use std::time::Duration;

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

/// No writes that are durable when they are done.
#[derive(Debug)]
pub(in crate::device) enum Through {}

impl Through {
    pub(in crate::device) fn new(rings: &Rings) -> Self {
        match *rings {}
    }

    pub(in crate::device) fn write(
        &self,
        _pool: &FilePool,
        _request: IoRequest,
        _limit: Duration,
    ) -> std::result::Result<IoDone, IoRequest> {
        match *self {}
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
