//! What is durable, and what may be, after a prefix of a world's events.
//!
//! * **S1** A write is one unit per sector of 512 bytes, and one for the length that it gives its file. A unit that no sync
//!   covers may survive a crash or not, each by itself.
//! * **S2** A sync that holds covers the writes that had completed before it was asked for, and no others. That of a write through
//!   covers this write alone.
//! * **S3** A sync that failed covers nothing, and no later one covers what it was to cover: that stays uncertain, except
//!   where a later write to the same place is durable. For
//!   changes of names this ends with the process: the next one, which knows of no failure, syncs the names that it finds.
//! * **S4** Changes of names are durable by a sync of their directory only, independently of the files' contents, and in
//!   any order as far as they concern different names and files.

use super::contents::{Contents, SECTOR, pieces};
use super::event::{DirectoryId, Event, FileId, Name, WriteEffect};
use super::image::Image;
use super::survivors::{Part, Survivors, Unit};
use crate::rng::SimRng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug, Clone, Default)]
pub(super) struct Durable {
    pub(super) files: BTreeMap<FileId, Body>,
    pub(super) disks: BTreeMap<String, FileId>,
    pub(super) directories: BTreeMap<String, DirectoryId>,
    pub(super) names: BTreeMap<DirectoryId, Names>,
}

/// The bytes of a file: what is durable, and what is not yet, in the order in which it was begun.
#[derive(Debug, Clone, Default)]
pub(super) struct Body {
    contents: Contents,
    unsynced: Vec<Unsynced>,
}

#[derive(Debug, Clone)]
struct Unsynced {
    event: usize,
    change: Change,
    /// The event of its end; `None` while it is on its way.
    completed: Option<usize>,
    /// A sync that was to cover it failed.
    is_doubtful: bool,
    /// A sync covers it. It waits for older ones that are doubtful, which it must not be undone by.
    is_durable: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Write {
        offset: u64,
        bytes: Arc<[u8]>,
        /// The sectors that were written at all; all of them unless it failed.
        sectors: Option<Vec<u32>>,
    },
    TruncateBefore(u64),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub(super) entries: BTreeMap<Name, FileId>,
    unsynced: Vec<NameChange>,
}

#[derive(Debug, Clone)]
struct NameChange {
    event: usize,
    kind: NameChangeKind,
    file: FileId,
    is_doubtful: bool,
}

#[derive(Debug, Clone)]
enum NameChangeKind {
    Create(Name),
    Rename(Name, Name),
    Remove(Name),
}

impl Durable {
    /// Takes in the event with this number.
    pub(super) fn apply(&mut self, number: usize, event: &Event) {
        match event {
            Event::Submit { file, offset, bytes } => {
                let change = Change::Write { offset: *offset, bytes: Arc::clone(bytes), sectors: None };
                self.begin(*file, number, change, None);
            }
            Event::Complete { file, submit, effect } => {
                self.files.entry(*file).or_default().complete(number, *submit, effect);
            }
            Event::TruncateBefore { file, offset } => {
                self.begin(*file, number, Change::TruncateBefore(*offset), Some(number));
            }
            Event::Sync { file, before, holds } => {
                let is_asked_for = |unsynced: &Unsynced| unsynced.completed.is_some_and(|event| event < *before);
                self.files.entry(*file).or_default().sync(*holds, is_asked_for);
            }
            Event::Through { file, submit, holds } => {
                self.files.entry(*file).or_default().sync(*holds, |unsynced| unsynced.event == *submit);
            }
            Event::Flip { file, offset, mask } => self.files.entry(*file).or_default().contents.flip(*offset, *mask),
            Event::Create { directory, name, file } => {
                self.change(*directory, number, *file, NameChangeKind::Create(Arc::clone(name)));
            }
            Event::Rename { directory, from, to, file } => {
                let kind = NameChangeKind::Rename(Arc::clone(from), Arc::clone(to));
                self.change(*directory, number, *file, kind);
            }
            Event::Remove { directory, name, file } => {
                self.change(*directory, number, *file, NameChangeKind::Remove(Arc::clone(name)));
            }
            Event::SyncNames { directory, holds } => self.names.entry(*directory).or_default().sync(*holds),
        }
    }

    fn begin(&mut self, file: FileId, event: usize, change: Change, completed: Option<usize>) {
        let unsynced = Unsynced { event, change, completed, is_doubtful: false, is_durable: false };
        self.files.entry(file).or_default().unsynced.push(unsynced);
    }

    fn change(&mut self, directory: DirectoryId, event: usize, file: FileId, kind: NameChangeKind) {
        let change = NameChange { event, kind, file, is_doubtful: false };
        self.names.entry(directory).or_default().unsynced.push(change);
    }

    /// What a crash here may keep or lose, in the order of events.
    pub(super) fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        for file in self.within_reach() {
            if let Some(body) = self.files.get(&file) {
                body.list_units(&mut units);
            }
        }
        for names in self.names.values() {
            units.extend(names.unsynced.iter().map(|change| Unit { event: change.event, part: Part::Whole }));
        }
        units.sort_unstable();
        units
    }

    /// The files that can be found after a crash here.
    fn within_reach(&self) -> BTreeSet<FileId> {
        let mut files: BTreeSet<FileId> = self.disks.values().copied().collect();
        for names in self.names.values() {
            files.extend(names.entries.values());
            files.extend(names.unsynced.iter().map(|change| change.file));
        }
        files
    }

    /// Adds to `kept` the changes of names without which the kept ones could not have happened (S4).
    pub(super) fn close(&self, kept: &mut Survivors) {
        for names in self.names.values() {
            let chosen = |change: &NameChange| kept.has(change.event, Part::Whole);
            let events = names.closed(chosen).map(|change| change.event).collect::<Vec<_>>();
            kept.0.extend(events.into_iter().map(|event| Unit { event, part: Part::Whole }));
        }
    }

    /// What is there after a crash here that `kept` survives.
    pub(super) fn survive(&self, kept: &Survivors) -> Image {
        let contents = |file: &FileId| self.files.get(file).map(|body| body.survive(kept)).unwrap_or_default();
        let mut image = Image::default();
        for (name, file) in &self.disks {
            image.disks.insert(name.clone(), contents(file));
        }
        for (place, directory) in &self.directories {
            let entries = self.names.get(directory).map(|names| names.survive(kept)).unwrap_or_default();
            let files = entries.iter().map(|(name, file)| (name.to_string(), contents(file)));
            image.directories.insert(place.clone(), files.collect());
        }
        image
    }
}

/// What outlives the process alone.
impl Durable {
    /// Decides what became of the writes that were under way when the process died at event `number`.
    pub(super) fn outlive_process(&mut self, number: usize, rng: &mut SimRng) {
        let changes = self.names.values_mut().flat_map(|names| &mut names.unsynced);
        changes.for_each(|change| change.is_doubtful = false);
        let unsynced = self.files.values_mut().flat_map(|body| &mut body.unsynced);
        for Unsynced { change, completed, .. } in unsynced.filter(|unsynced| unsynced.completed.is_none()) {
            *completed = Some(number);
            if let Change::Write { sectors, .. } = change
                && rng.coin()
            {
                *sectors = Some(Vec::new());
            }
        }
    }

    /// Everything that is there, durable or not: each file's bytes.
    pub(super) fn visible(&self) -> impl Iterator<Item = (FileId, Contents)> {
        self.files.iter().map(|(file, body)| (*file, body.apply_all()))
    }

    /// What the names mean, durable or not.
    pub(super) fn visible_names(&self) -> BTreeMap<DirectoryId, BTreeMap<Name, FileId>> {
        let all = |names: &Names| {
            let mut entries = names.entries.clone();
            names.unsynced.iter().for_each(|change| change.apply(&mut entries));
            entries
        };
        self.names.iter().map(|(directory, names)| (*directory, all(names))).collect()
    }
}

impl Body {
    pub(super) fn holding(contents: Contents) -> Self {
        Self { contents, unsynced: Vec::new() }
    }

    fn complete(&mut self, number: usize, submit: usize, effect: &WriteEffect) {
        let Ok(at) = self.unsynced.binary_search_by_key(&submit, |unsynced| unsynced.event) else { return };
        let unsynced = &mut self.unsynced[at];
        unsynced.completed = Some(number);
        let Change::Write { offset, sectors, .. } = &mut unsynced.change else { return };
        match effect {
            WriteEffect::Whole => {}
            WriteEffect::Part(written) => *sectors = Some(written.clone()),
            WriteEffect::Elsewhere(other) => *offset = *other,
        }
    }

    fn sync(&mut self, holds: bool, is_asked_for: impl Fn(&Unsynced) -> bool) {
        let is_covered = |unsynced: &Unsynced| !unsynced.is_doubtful && !unsynced.is_durable && is_asked_for(unsynced);
        if !holds {
            let covered = self.unsynced.iter_mut().filter(|unsynced| is_covered(unsynced));
            return covered.for_each(|covered| covered.is_doubtful = true);
        }
        self.unsynced.iter_mut().filter(|unsynced| is_covered(unsynced)).for_each(|covered| covered.is_durable = true);
        let uncertain = self.unsynced.iter().filter(|unsynced| !unsynced.is_durable);
        let oldest = uncertain.filter_map(|unsynced| unsynced.completed).min().unwrap_or(usize::MAX);
        let is_settled =
            |unsynced: &Unsynced| unsynced.is_durable && unsynced.completed.is_some_and(|event| event < oldest);
        let (mut settled, left) = std::mem::take(&mut self.unsynced).into_iter().partition::<Vec<_>, _>(is_settled);
        self.unsynced = left;
        settled.sort_unstable_by_key(|unsynced| unsynced.completed);
        for unsynced in settled {
            unsynced.change.apply(&mut self.contents, |_| true);
        }
    }

    fn list_units(&self, units: &mut Vec<Unit>) {
        for Unsynced { event, change, .. } in self.unsynced.iter().filter(|unsynced| !unsynced.is_durable) {
            let mut add = |part| units.push(Unit { event: *event, part });
            match change {
                Change::TruncateBefore(_) => add(Part::Whole),
                Change::Write { offset, bytes, .. } => {
                    change.sectors().for_each(|(sector, _)| add(Part::Sector(sector)));
                    if change.is_whole() && offset + bytes.len() as u64 > self.contents.len() {
                        add(Part::Length);
                    }
                }
            }
        }
    }

    fn survive(&self, kept: &Survivors) -> Contents {
        self.apply_kept(|event, part| kept.has(event, part))
    }

    fn apply_all(&self) -> Contents {
        self.apply_kept(|_, _| true)
    }

    fn apply_kept(&self, kept: impl Fn(usize, Part) -> bool) -> Contents {
        let mut contents = self.contents.clone();
        let mut unsynced: Vec<&Unsynced> = self.unsynced.iter().collect();
        // What is still on its way comes last.
        unsynced.sort_by_key(|unsynced| unsynced.completed.unwrap_or(usize::MAX));
        for Unsynced { event, change, is_durable, .. } in unsynced {
            change.apply(&mut contents, |part| *is_durable || kept(*event, part));
        }
        contents
    }
}

impl Change {
    fn is_whole(&self) -> bool {
        !matches!(self, Self::Write { sectors: Some(_), .. })
    }

    /// The sectors that were written, with the bytes of the write that go there.
    fn sectors(&self) -> impl Iterator<Item = (u32, std::ops::Range<usize>)> {
        let (offset, len, written) = match self {
            Self::Write { offset, bytes, sectors } => (*offset, bytes.len(), sectors.as_ref()),
            Self::TruncateBefore(_) => (0, 0, None),
        };
        (0..)
            .zip(pieces(offset, len, SECTOR))
            .filter(move |(sector, _)| written.is_none_or(|some| some.contains(sector)))
    }

    /// Does to `contents` what it did to the file, as far as its parts are `kept`.
    fn apply(&self, contents: &mut Contents, kept: impl Fn(Part) -> bool) {
        match self {
            Self::TruncateBefore(offset) if kept(Part::Whole) => contents.truncate_before(*offset),
            Self::TruncateBefore(_) => {}
            Self::Write { offset, bytes, .. } => {
                for (_, range) in self.sectors().filter(|(sector, _)| kept(Part::Sector(*sector))) {
                    contents.write(offset + range.start as u64, &bytes[range]);
                }
                if self.is_whole() && kept(Part::Length) {
                    contents.extend(offset + bytes.len() as u64);
                }
            }
        }
    }
}

impl Names {
    fn sync(&mut self, holds: bool) {
        if !holds {
            self.unsynced.iter_mut().for_each(|change| change.is_doubtful = true);
            return;
        }
        let covered: BTreeSet<usize> = self.closed(|change| !change.is_doubtful).map(|change| change.event).collect();
        for change in std::mem::take(&mut self.unsynced) {
            if covered.contains(&change.event) {
                change.apply(&mut self.entries);
            } else {
                self.unsynced.push(change);
            }
        }
    }

    /// The chosen changes, and those that they build on, in the order in which they happened.
    fn closed(&self, chosen: impl Fn(&NameChange) -> bool) -> impl Iterator<Item = &NameChange> {
        let mut included: Vec<bool> = self.unsynced.iter().map(chosen).collect();
        // Backwards: what a change builds on comes before it, and is looked at in its turn.
        for later in (0..included.len()).rev() {
            for earlier in 0..later {
                included[earlier] |= included[later] && self.unsynced[later].builds_on(&self.unsynced[earlier]);
            }
        }
        self.unsynced.iter().zip(included).filter(|(_, included)| *included).map(|(change, _)| change)
    }

    fn survive(&self, kept: &Survivors) -> BTreeMap<Name, FileId> {
        let mut entries = self.entries.clone();
        self.unsynced
            .iter()
            .filter(|change| kept.has(change.event, Part::Whole))
            .for_each(|change| change.apply(&mut entries));
        entries
    }
}

impl NameChange {
    fn names(&self) -> [&Name; 2] {
        match &self.kind {
            NameChangeKind::Create(name) | NameChangeKind::Remove(name) => [name, name],
            NameChangeKind::Rename(from, to) => [from, to],
        }
    }

    fn builds_on(&self, earlier: &Self) -> bool {
        // A file has one name, so who changes its name again touches the name that it was given before.
        self.names().iter().any(|name| earlier.names().contains(name))
    }

    fn apply(&self, entries: &mut BTreeMap<Name, FileId>) {
        match &self.kind {
            NameChangeKind::Create(name) => {
                entries.insert(Arc::clone(name), self.file);
            }
            NameChangeKind::Rename(from, to) => {
                entries.remove(from);
                entries.insert(Arc::clone(to), self.file);
            }
            NameChangeKind::Remove(name) => {
                entries.remove(name);
            }
        }
    }
}
