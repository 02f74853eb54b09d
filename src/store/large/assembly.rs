//! Bytes that become fragments, and at last a root.

use crate::address::Address;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::NewFragment;
use crate::record::{Fragment, Root};

/// The fragments of one value, in the order in which they are to be written: [`next`](Self::next) gives one when it is due, and
/// [`placed`](Self::placed) tells where it went.
pub(super) struct Assembly {
    /// Bytes of a leaf.
    leaf: usize,
    key: Vec<u8>,
    title: Option<Address>,
    /// What is to become the next leaf.
    bytes: Vec<u8>,
    /// By level: leaves first.
    levels: Vec<Level>,
    /// Bytes of the value so far.
    len: u64,
    /// No more bytes come.
    is_closing: bool,
    /// The fragment that was given and not placed yet.
    given: Option<u8>,
}

#[derive(Default)]
struct Level {
    /// Fragments that are in no list yet.
    unlisted: Vec<Address>,
    /// Fragments so far.
    count: u64,
}

impl Assembly {
    pub(super) fn new(key: &[u8], leaf: usize) -> Self {
        Self {
            leaf,
            key: key.to_vec(),
            title: None,
            bytes: Vec::new(),
            levels: vec![Level::default()],
            len: 0,
            is_closing: false,
            given: None,
        }
    }

    /// Bytes that were taken in.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// All bytes, if no more came than make one leaf.
    pub(super) fn only_leaf(&self) -> Option<&[u8]> {
        self.title.is_none().then_some(&self.bytes)
    }

    /// Where its title lies, once it has one.
    pub(super) fn title(&self) -> Option<Address> {
        self.title
    }

    /// Takes in as many bytes as the next leaf has room for: none if it has to be written first.
    pub(super) fn take_in(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.leaf - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..taken]);
        self.len += taken as u64;
        taken
    }

    /// No more bytes come: what is left is due.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    /// The fragment that is due, if one is.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if the last one was never placed.
    pub(super) fn next(&mut self) -> Result<Option<NewFragment>> {
        if self.given.is_some() {
            return Err(Error::new(ErrorKind::Cancelled, "a fragment of a large value was given up"));
        }
        let is_leaf_due = self.bytes.len() == self.leaf || self.is_closing && !self.bytes.is_empty();
        let due = match (self.title, self.list_due()) {
            (None, _) if is_leaf_due => Fragment::TITLE,
            (None, _) => return Ok(None),
            (Some(_), Some(level)) => level,
            (Some(_), None) if is_leaf_due => 0,
            (Some(_), None) => match self.list_left() {
                Some(level) => level,
                None => return Ok(None),
            },
        };
        self.given = Some(due);
        Ok(Some(self.fragment(due)))
    }

    /// The level of a list that is full.
    fn list_due(&self) -> Option<u8> {
        let is_full = |level: &Level| level.unlisted.len() == self.leaf / 8;
        self.levels.iter().position(is_full).map(|below| below as u8 + 1)
    }

    /// The level of a list of what is left at the end, below others or too much for a root.
    fn list_left(&self) -> Option<u8> {
        let below = self.levels.iter().position(|level| !level.unlisted.is_empty()).filter(|_| self.is_closing)?;
        let is_below = self.levels[below + 1..].iter().any(|level| !level.unlisted.is_empty());
        let is_too_much = self.levels[below].unlisted.len() > Root::BELOW_MAX;
        (is_below || is_too_much).then_some(below as u8 + 1)
    }

    fn fragment(&mut self, level: u8) -> NewFragment {
        let (key, bytes) = match level {
            Fragment::TITLE => (std::mem::take(&mut self.key), Vec::new()),
            0 => (Vec::new(), std::mem::take(&mut self.bytes)),
            list => {
                let below = &self.levels[usize::from(list) - 1].unlisted;
                (Vec::new(), below.iter().flat_map(|at| at.get().to_le_bytes()).collect())
            }
        };
        let number = self.levels.get(usize::from(level)).map_or(0, |level| level.count);
        let title = self.title.unwrap_or(Address::INVALID);
        NewFragment { fragment: Fragment { title, level, number }, key, bytes }
    }

    /// The fragment that was given lies at `at`; `memory` is that of its bytes.
    pub(super) fn placed(&mut self, at: Address, mut memory: Vec<u8>) {
        let Some(level) = self.given.take() else { return };
        if level == Fragment::TITLE {
            self.title = Some(at);
            return;
        }
        let level = usize::from(level);
        match level.checked_sub(1) {
            None => {
                memory.clear();
                self.bytes = memory;
            }
            Some(below) => self.levels[below].unlisted.clear(),
        }
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Level::default);
        }
        self.levels[level].unlisted.push(at);
        self.levels[level].count += 1;
    }

    /// The root of what was closed and of which nothing is due.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if there is none, since no leaf was ever written.
    pub(super) fn into_root(mut self) -> Result<Root> {
        let highest = self.levels.iter().rposition(|level| !level.unlisted.is_empty());
        let (Some(level), Some(title)) = (highest, self.title) else {
            return Err(Error::new(ErrorKind::Cancelled, "a large value has no bytes"));
        };
        let below = std::mem::take(&mut self.levels[level].unlisted);
        Ok(Root { at: Address::INVALID, len: self.len, title, leaf: self.leaf, level: level as u8, below })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Path;
    use std::collections::HashMap;

    /// Feeds `len` bytes; gives the root and how many fragments there were of each level.
    fn assemble(leaf: usize, len: u64) -> (Root, Vec<u64>) {
        let mut assembly = Assembly::new(b"key", leaf);
        let (mut at, mut left, mut levels) = (1000, len, vec![0; 5]);
        let mut drain = |assembly: &mut Assembly| {
            while let Some(new) = assembly.next().unwrap() {
                at += 8;
                if new.fragment.level != Fragment::TITLE {
                    levels[usize::from(new.fragment.level)] += 1;
                    assert_eq!(new.fragment.title, Address::new(1008));
                }
                assembly.placed(Address::new(at), new.bytes);
            }
        };
        while left > 0 {
            let taken = assembly.take_in(&vec![1; left.min(1000) as usize]) as u64;
            left -= taken;
            if taken == 0 {
                drain(&mut assembly);
            }
        }
        assembly.close();
        drain(&mut assembly);
        (assembly.into_root().unwrap(), levels)
    }

    #[test]
    fn every_length_gives_a_root_that_says_what_there_is() {
        for len in (1..2000).chain([5000, 16_384, 16_385, 100_000, 262_144, 262_145, 300_001]) {
            let (root, levels) = assemble(64, len); // lists of 8
            assert_eq!(Root::parse(&root.to_bytes()).unwrap(), root, "{len} bytes");
            assert_eq!((root.len, root.title), (len, Address::new(1008)));
            for level in 0..=root.level {
                assert_eq!(root.count(level), levels[usize::from(level)], "{len} bytes, level {level}");
            }
            assert!(levels[usize::from(root.level) + 1..].iter().all(|count| *count == 0));
            let bytes: u64 = (0..root.count(0)).map(|number| root.bytes_of(0, number) as u64).sum();
            assert_eq!(bytes, len);
        }
    }

    #[test]
    fn a_fragment_that_was_not_placed_ends_it() {
        let mut assembly = Assembly::new(b"key", 64);
        assert_eq!(assembly.take_in(&[0; 100]), 64);
        assert!(assembly.next().unwrap().is_some());
        assert_eq!(assembly.next().err().map(|error| error.kind()), Some(ErrorKind::Cancelled));
    }

    #[test]
    fn every_leaf_is_met_in_order_from_every_place() {
        for leaves in [1, 2, 31, 32, 33, 63, 64, 65, 255, 256, 257, 2047, 2100] {
            let mut assembly = Assembly::new(b"key", 64);
            let (mut at, mut stored) = (64, HashMap::new());
            let mut drain = |assembly: &mut Assembly| {
                while let Some(new) = assembly.next().unwrap() {
                    at += 8;
                    stored.insert(at, (new.fragment, new.bytes.clone()));
                    assembly.placed(Address::new(at), new.bytes);
                }
            };
            for leaf in 0..leaves {
                assert_eq!(assembly.take_in(&[leaf as u8; 64]), 64);
                drain(&mut assembly);
            }
            assembly.close();
            drain(&mut assembly);
            let mut path = Path::new(assembly.into_root().unwrap());
            for from in (0..leaves).step_by(1 + leaves as usize / 20) {
                path.go_to(from);
                let mut met = from;
                while let Some(wanted) = path.next() {
                    let (fragment, bytes) = &stored[&wanted.at.get()];
                    assert_eq!((*fragment, bytes.len()), (wanted.fragment, wanted.len));
                    if wanted.is_leaf() {
                        assert_eq!((wanted.fragment.number, bytes[0]), (met, met as u8));
                        met += 1;
                    } else {
                        path.take_in(bytes);
                    }
                }
                assert_eq!(met, leaves, "from {from}");
            }
        }
    }
}
