//! Scans as streams, for those who have the adapters. The feature `stream`.

use super::scan::LogScan;
use crate::address::Address;
use crate::error::Result;
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The entries as they become durable. See [`LogScan::poll_next`].
impl Stream for LogScan {
    type Item = Result<(Address, Vec<u8>)>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        LogScan::poll_next(self.get_mut(), context)
    }
}
