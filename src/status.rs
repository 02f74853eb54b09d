//! The outcome words of operations, one byte each.

/// How a call of the pending face ended, or that it has not ended yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Done; the outcome is there.
    Ok,
    /// Done; the key is not in the store.
    NotFound,
    /// Waiting for the device; the outcome comes from `Session::complete_pending`.
    Pending,
    /// Failed; the error is there.
    Failed,
}

/// What a finished operation did to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OperationStatus {
    /// A read found the key, or a conditional insert did and left it.
    Found,
    /// The key is not in the store, and nothing was changed.
    NotFound,
    /// A value was changed where it lies.
    InPlace,
    /// A new record replaces an older one of the same key, or stands where a deleted one stood.
    Copied,
    /// A new record for a key that was not in the store.
    Created,
    /// The operation's own logic chose to leave the store as it is.
    Unchanged,
    /// The key was deleted.
    Deleted,
}

impl OperationStatus {
    /// True if the store holds something else than before.
    pub const fn changed(self) -> bool {
        matches!(self, Self::InPlace | Self::Copied | Self::Created | Self::Deleted)
    }
}
