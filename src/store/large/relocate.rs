//! Copies of large values at the end of the log. Invariant V4 of [`super`].

use super::assembly::Assembly;
use super::stream::Stream;
use crate::address::Address;
use crate::error::Result;
use crate::kernel::{AppendFragmentOp, ConditionalInsertOp, LookOp};
use crate::record::{Fragment, Held, Key, RecordLayout, Root, Value, made_of};
use crate::store::compact::Hold;
use crate::store::session::Session;

/// The first fragment of a large value, which says of which key it is.
pub(in crate::store) struct Title<K> {
    pub(in crate::store) at: Address,
    pub(in crate::store) key: K,
}

impl<K: Key> Title<K> {
    /// The title that a record is, if it is one.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if its key is none of the type.
    pub(in crate::store) fn parse<V: Value>(at: Address, record: &[u8]) -> Result<Option<Self>> {
        let layout = const { RecordLayout::of::<K, V>() };
        match Fragment::parse(layout, record) {
            Some((fragment, key, _)) if fragment.level == Fragment::TITLE && fragment.title == at => {
                if K::FIXED.is_some_and(|size| size != key.len()) {
                    return Ok(None);
                }
                Ok(Some(Self { at, key: made_of(key)? }))
            }
            _ => Ok(None),
        }
    }
}

/// Moves the value whose title a compaction has met, if it is in use, and returns how many bytes of the log that were. `settle` makes the log immutable below an address, and
/// `check` is told of bytes that were copied.
///
/// # Errors
/// Those of the device and of appending, and of the two.
pub(in crate::store) fn relocate_live<K: Key, V: Value>(
    session: &mut Session<K, V>,
    title: Title<K>,
    settle: impl FnOnce(Address) -> Result<()>,
    mut check: impl FnMut(u64) -> Result<()>,
) -> Result<u64> {
    let hold = session.database.hold_log();
    let held = session.run_uncounted(&mut LookOp::new(title.key.clone()))?;
    let Some(Held::Large(root)) = held.filter(|held| matches!(held, Held::Large(root) if root.title == title.at))
    else {
        return Ok(0);
    };
    // The copy takes the place of a record that is like any other that compaction moves: nobody of an older version is pinned.
    settle(root.at)?;
    let (at, bytes) = (root.at, root.log_bytes(const { RecordLayout::of::<K, V>() }));
    let copy = copied(session, title.key.as_bytes(), root, hold, true, |_, bytes| check(bytes))?;
    let root = copy.to_bytes();
    let is_moved = session.run_uncounted(&mut ConditionalInsertOp::of_root(title.key, &root, at))?;
    Ok(if is_moved { bytes } else { 0 })
}

/// Copies the fragments of `root`, which `hold` keeps, to the end of the log. Gives the root of the copy.
///
/// # Errors
/// Those of the device and of appending, and of `check`, which is told where the copy begins and of bytes that were copied.
pub(super) fn copied<K: Key, V: Value>(
    session: &mut Session<K, V>,
    key: &[u8],
    root: Root,
    hold: Hold,
    is_urgent: bool,
    mut check: impl FnMut(Address, u64) -> Result<()>,
) -> Result<Root> {
    let mut assembly = Assembly::new(key, root.leaf);
    let (len, mut stream) = (root.len, Stream::new(root, hold));
    while let Some(leaf) = stream.next(session)? {
        assembly.take_in(&leaf);
        if assembly.len() == len {
            assembly.close();
        }
        append_due(session, &mut assembly, is_urgent)?;
        check(assembly.title().unwrap_or(Address::INVALID), leaf.len() as u64)?;
    }
    assembly.into_root()
}

fn append_due<K: Key, V: Value>(session: &mut Session<K, V>, assembly: &mut Assembly, is_urgent: bool) -> Result<()> {
    while let Some(new) = assembly.next()? {
        let (at, memory) = session.run_uncounted(&mut AppendFragmentOp::new(new, is_urgent))?;
        assembly.placed(at, memory);
    }
    Ok(())
}
