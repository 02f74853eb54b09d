//! Large values: from each root to every one of its fragments.

use super::places::{Places, Read};
use super::report::{Defect, DefectKind, LargeValueCounts, VerifyReport};
use crate::address::Address;
use crate::error::Result;
use crate::record::{Fragment, Path, RecordLayout, Root, Wanted};

/// Follows the roots that are met on the way through a log. What lies below them was read before: so that a leaf is as it was
/// written is known, and only that it is the one which its root means is left to see. Needs memory for a list of each level.
pub(super) struct LargeValues<'a> {
    pub(super) places: Places<'a>,
    layout: RecordLayout,
    begin: Address,
    counts: LargeValueCounts,
}

/// A root that was met.
#[derive(Debug, Clone, Copy)]
pub(super) struct Met {
    pub(super) at: Address,
    /// Bytes of its record.
    pub(super) size: u64,
}

/// What is known of a value.
enum Outcome {
    Whole(u64),
    /// It begins below where the log does: something younger took its place.
    Replaced,
    Unchecked,
    Damaged(Damage),
}

/// The first thing that is wrong with a value.
struct Damage {
    at: Address,
    bytes: u64,
    what: String,
}

impl<'a> LargeValues<'a> {
    pub(super) fn new(places: Places<'a>, layout: RecordLayout, begin: Address) -> Self {
        Self { places, layout, begin, counts: LargeValueCounts::default() }
    }

    pub(super) fn counts(&self) -> LargeValueCounts {
        self.counts
    }

    /// Follows these roots.
    ///
    /// # Errors
    /// [`Busy`](crate::ErrorKind::Busy) if the device does not answer.
    pub(super) fn follow(&mut self, met: impl Iterator<Item = Met>, report: &mut VerifyReport) -> Result<()> {
        for met in met {
            match self.value(met)? {
                Outcome::Whole(bytes) => {
                    self.counts.values += 1;
                    self.counts.bytes += bytes;
                }
                Outcome::Replaced => self.counts.replaced += 1,
                Outcome::Unchecked => self.counts.unchecked += 1,
                Outcome::Damaged(Damage { at, bytes, what }) => {
                    self.counts.damaged += 1;
                    let (file, offset) = self.places.place_of(at);
                    let what = format!("the large value whose root is at address {:#x}: {what}", met.at.get());
                    let file = file.map(str::to_owned);
                    report.add(Defect { file, offset, bytes, what, kind: DefectKind::Record });
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, met: Met) -> Result<Outcome> {
        let damaged = |what: String| Ok(Outcome::Damaged(Damage { at: met.at, bytes: met.size, what }));
        let record = match self.places.read(met.at, met.size as usize)? {
            Read::Bytes(record) => record,
            Read::Unchecked => return Ok(Outcome::Unchecked),
            Read::Lost(why) => return damaged(format!("its root cannot be read: {why}")),
        };
        let parsed =
            self.layout.split(&record).and_then(|parts| Ok((parts.key, Root::parse(parts.value.unwrap_or(&[]))?)));
        let (key, root) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return damaged(error.to_string()),
        };
        if root.below.last().is_some_and(|last| *last >= met.at) {
            return damaged("its root leads to what lies above".to_owned());
        }
        if root.title < self.begin {
            return Ok(Outcome::Replaced);
        }
        match self.title(&root, key)? {
            Some(outcome) => Ok(outcome),
            None => self.fragments(root),
        }
    }

    /// What stands against the title of a value.
    fn title(&mut self, root: &Root, key: &[u8]) -> Result<Option<Outcome>> {
        let size = Fragment::sizes(self.layout, key.len(), 0).record_size();
        let expected = Fragment { title: root.title, level: Fragment::TITLE, number: 0 };
        let is_right = |record: &[u8]| Fragment::parse(self.layout, record) == Some((expected, key, &[][..]));
        let what = if self.places.is_lost(root.title.get(), size as u64) {
            "its title is lost".to_owned()
        } else if self.is_off_page(root.title, size) {
            "its title is not where the root says".to_owned()
        } else {
            match self.places.read(root.title, size)? {
                Read::Bytes(record) if is_right(&record) => return Ok(None),
                Read::Bytes(_) => "its title is not where the root says".to_owned(),
                Read::Unchecked => return Ok(Some(Outcome::Unchecked)),
                Read::Lost(why) => format!("its title cannot be read: {why}"),
            }
        };
        Ok(Some(Outcome::Damaged(Damage { at: root.title, bytes: size as u64, what })))
    }

    fn fragments(&mut self, root: Root) -> Result<Outcome> {
        let len = root.len;
        // Fragments of one level lie in their order: so nothing leads round in a circle.
        let mut below = vec![root.title; usize::from(root.level) + 1];
        let mut path = Path::new(root);
        while let Some(wanted) = path.next() {
            let last = &mut below[usize::from(wanted.fragment.level)];
            if wanted.at <= *last {
                let what = "it lies below the one before".to_owned();
                return Ok(Outcome::Damaged(self.damage(&wanted, &what)));
            }
            *last = wanted.at;
            match self.fragment(&wanted)? {
                Read::Bytes(list) if !wanted.is_leaf() => path.take_in(&list),
                Read::Bytes(_) => {}
                Read::Unchecked => return Ok(Outcome::Unchecked),
                Read::Lost(why) => return Ok(Outcome::Damaged(self.damage(&wanted, &why))),
            }
        }
        Ok(Outcome::Whole(len))
    }

    /// The bytes of a list; none of a leaf.
    fn fragment(&mut self, wanted: &Wanted) -> Result<Read> {
        let Wanted { at, fragment, len } = *wanted;
        let size = Fragment::sizes(self.layout, 0, len).record_size();
        if self.places.is_lost(at.get(), size as u64) {
            return Ok(Read::Lost("it is lost".to_owned()));
        }
        let elsewhere = || Ok(Read::Lost("it is not where its root says".to_owned()));
        if self.is_off_page(at, size) {
            return elsewhere();
        }
        let head = Fragment::overhead(self.layout);
        match self.places.read(at, head)? {
            Read::Bytes(bytes) if !fragment.begins_with(self.layout, &bytes, len) => elsewhere(),
            Read::Bytes(_) if wanted.is_leaf() => Ok(Read::Bytes(Vec::new())),
            Read::Bytes(_) => self.places.read(Address::from_word(at.get() + head as u64), len),
            other => Ok(other),
        }
    }

    /// Whether nothing of this size can lie there.
    fn is_off_page(&self, at: Address, size: usize) -> bool {
        let map = self.places.map();
        !at.get().is_multiple_of(8) || map.page_offset(at) + size as u64 > map.page_size()
    }

    fn damage(&self, wanted: &Wanted, why: &str) -> Damage {
        let Wanted { at, fragment, len } = *wanted;
        let what = match fragment.level {
            0 => format!("leaf {}: {why}", fragment.number),
            level => format!("list {} of level {level}: {why}", fragment.number),
        };
        Damage { at, bytes: Fragment::sizes(self.layout, 0, len).record_size() as u64, what }
    }
}
