//! The way from a root to its leaves, in the order of the value.

use super::{Fragment, Root};
use crate::address::Address;

/// A way through the fragments of a value. What it asks for next is a leaf, or a list that is to be
/// [taken in](Self::take_in) before it can go on.
pub(crate) struct Path {
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
pub(crate) struct Wanted {
    pub(crate) at: Address,
    pub(crate) fragment: Fragment,
    /// Its bytes.
    pub(crate) len: usize,
}

impl Wanted {
    pub(crate) fn is_leaf(&self) -> bool {
        self.fragment.level == 0
    }
}

impl Path {
    pub(crate) fn new(root: Root) -> Self {
        let mut path = Self { root, open: Vec::new(), next: 0 };
        path.go_to(0);
        path
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// Goes on with leaf number `leaf`.
    pub(crate) fn go_to(&mut self, leaf: u64) {
        let Root { level, below, .. } = &self.root;
        let next = (leaf / self.root.leaves_below(*level)) as usize;
        self.open = vec![Open { level: *level, at: below.clone(), next }];
        self.next = leaf;
    }

    /// The next fragment; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Wanted> {
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
    pub(crate) fn take_in(&mut self, list: &[u8]) {
        let Some(level) = self.open.last().and_then(|open| open.level.checked_sub(1)) else { return };
        let (words, _) = list.as_chunks::<8>();
        let at = words.iter().map(|word| Address::from_word(u64::from_le_bytes(*word))).collect();
        let next = (self.next / self.root.leaves_below(level) % self.root.fan_out()) as usize;
        self.open.push(Open { level, at, next });
    }
}
