//! The way from a root to its leaves, in the order of the value.

use crate::address::Address;
use crate::kernel::ReadFragmentOp;
use crate::record::{Fragment, Root};

/// A way through the fragments of a value. What it asks for next is a leaf, or a list that is to be
/// [taken in](Self::take_in) before it can go on.
pub(super) struct Path {
    root: Root,
    /// From the root down: what is open at each level.
    open: Vec<Open>,
    /// The number of the next leaf.
    next: u64,
}

/// Fragments of one level, and which of them is next.
struct Open {
    level: u8,
    at: Vec<Address>,
    next: usize,
}

/// What is asked for.
pub(super) struct Wanted {
    pub(super) at: Address,
    pub(super) fragment: Fragment,
    /// Its bytes.
    pub(super) len: usize,
}

impl Wanted {
    pub(super) fn is_leaf(&self) -> bool {
        self.fragment.level == 0
    }

    pub(super) fn read(&self) -> ReadFragmentOp {
        ReadFragmentOp::new(self.at, self.fragment, self.len)
    }
}

impl Path {
    pub(super) fn new(root: Root) -> Self {
        let mut path = Self { root, open: Vec::new(), next: 0 };
        path.go_to(0);
        path
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// Goes on with leaf number `leaf`.
    pub(super) fn go_to(&mut self, leaf: u64) {
        let Root { level, below, .. } = &self.root;
        let next = (leaf / self.root.leaves_below(*level)) as usize;
        self.open = vec![Open { level: *level, at: below.clone(), next }];
        self.next = leaf;
    }

    /// The next fragment; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Wanted> {
        loop {
            let open = self.open.last_mut()?;
            let Some(at) = open.at.get(open.next).copied() else {
                self.open.pop();
                continue;
            };
            open.next += 1;
            let level = open.level;
            let number = self.next / self.root.leaves_below(level);
            self.next += u64::from(level == 0);
            let fragment = Fragment { title: self.root.title, level, number };
            return Some(Wanted { at, fragment, len: self.root.bytes_of(level, number) });
        }
    }

    /// Goes down into the list that was asked for last.
    pub(super) fn take_in(&mut self, list: &[u8]) {
        let Some(level) = self.open.last().and_then(|open| open.level.checked_sub(1)) else { return };
        let (words, _) = list.as_chunks::<8>();
        let at = words.iter().map(|word| Address::from_word(u64::from_le_bytes(*word))).collect();
        let next = (self.next / self.root.leaves_below(level) % self.root.fan_out()) as usize;
        self.open.push(Open { level, at, next });
    }
}

#[cfg(test)]
mod tests {
    use super::super::assembly::Assembly;
    use super::*;
    use std::collections::HashMap;

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
