//! Scans: of a store in use, and of a log at rest.
//!
//! | | what it gives |
//! |---|---|
//! | [`FasterKv::scan_log`](crate::store::FasterKv::scan_log): [`LogScanIterator`] | every record of a range of addresses |
//! | [`FasterKv::iter`](crate::store::FasterKv::iter), [`snapshot`](crate::store::FasterKv::snapshot): [`LiveIterator`] | every key once |
//! | [`FasterKv::changes`](crate::store::FasterKv::changes): [`ChangeFeed`] | what becomes of keys, from a cursor on |
//! | [`DoubleBufferedLogIterator`] | every record of a checkpoint's log, without a store, whatever its keys and values are |

mod at_rest;

pub use crate::store::{
    Change, ChangeCursor, ChangeFeed, ChangeOptions, ChangeReach, KeyVersion, LiveIterator, LogScanIterator,
    ScanCursor, ScannedRecord,
};
pub use at_rest::{DoubleBufferedLogIterator, RawRecord};
