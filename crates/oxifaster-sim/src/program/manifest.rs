//! The protocol by which a checkpoint appears: a file is written under a temporary name, synced, renamed, and the directory
//! is synced. Then it is reported.
//!
//! What must hold, whatever the crash: a whole manifest is found; it is not older than the last one that was reported, and
//! not newer than the last one that was begun; and the protocol can go on from there.

use super::{Effort, Program, Stage, Violation, must};
use crate::world::{Access, Cause, Lie, Medium, SECTOR, When};
use crate::{SimDirectory, SimRng, SimWorld};
use oxifaster::directory::{Directory, DirectoryFile};
use oxifaster::utility::crc32c;
use oxifaster::{Error, ErrorKind, Result};

const DIRECTORY: &str = "manifests";
const CURRENT: &str = "current.manifest";
const TEMPORARY: &str = "current.manifest.tmp";
const HEADER: usize = 20;

/// Manifests made in a first run, and after each crash.
const ROUNDS: u64 = 3;
const ROUNDS_AFTER_CRASH: u64 = 1;

/// A mistake that is planted in the protocol, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestFlaw {
    /// The file is renamed without having been synced.
    SkipsSyncOfFile,
    /// The file is synced after it was renamed.
    SyncsFileLate,
    /// The directory is not synced.
    SkipsSyncOfDirectory,
    /// The directory is synced before the rename.
    SyncsDirectoryEarly,
    /// It is reported before the directory is synced.
    ReportsEarly,
    /// The old manifest is removed before the new one gets its name.
    RemovesFirst,
    /// The manifest is written under its own name.
    SkipsTemporaryName,
    /// A failed sync of the file is taken for a success when it is repeated.
    RepeatsFailedSync,
    /// A failed sync of the directory is overlooked.
    OverlooksFailedSync,
    /// What was written is not read back before it gets its name.
    SkipsReadingBack,
    /// What is found after a crash is taken for durable: perhaps only the process had died, between rename and sync.
    TrustsWhatItFinds,
}

impl ManifestFlaw {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::SkipsSyncOfFile,
        Self::SyncsFileLate,
        Self::SkipsSyncOfDirectory,
        Self::SyncsDirectoryEarly,
        Self::ReportsEarly,
        Self::RemovesFirst,
        Self::SkipsTemporaryName,
        Self::RepeatsFailedSync,
        Self::OverlooksFailedSync,
        Self::SkipsReadingBack,
        Self::TrustsWhatItFinds,
    ];
}

/// Makes manifests, one after the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct ManifestProgram {
    /// What it does wrong, if anything.
    pub flaw: Option<ManifestFlaw>,
    /// Manifests of one sector, so that every crash that is possible can be tried at every point.
    pub is_small: bool,
}

/// Manifests are numbered from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Generations {
    begun: u64,
    reported: u64,
}

impl Program for ManifestProgram {
    type Known = Generations;
    type History = Vec<(usize, Generations)>;

    const NAME: &'static str = "manifest";
    const ABOUT: &'static str =
        "write, sync, rename, sync the directory: a manifest is whole and not lost, at every crash point";

    fn beginning(&self) -> Generations {
        Generations::default()
    }

    fn run(
        &self,
        world: &SimWorld,
        known: &Generations,
        stage: Stage,
        rng: &mut SimRng,
    ) -> std::result::Result<Self::History, Violation> {
        let mut run =
            Run { program: *self, world, directory: world.directory(DIRECTORY), now: *known, history: Vec::new() };
        run.recover()?;
        if stage.is_first() && rng.coin() {
            plan_fault(world, rng);
        }
        for _ in 0..if stage.is_first() { ROUNDS } else { ROUNDS_AFTER_CRASH } {
            run.make_next(rng);
        }
        world.repair();
        run.expect_sound()?;
        Ok(run.history)
    }

    fn known_at(&self, history: &Self::History, event: usize) -> Generations {
        let later = history.partition_point(|(at, _)| *at <= event);
        later.checked_sub(1).and_then(|last| history.get(last)).map(|(_, known)| *known).unwrap_or_default()
    }

    fn effort(&self) -> Effort {
        // Where every crash is tried, crashes of the recoveries would have no end.
        let (units_max, again_one_in) = if self.is_small { (12, 0) } else { (8, 40) };
        Effort { units_max, again_one_in, depth_max: 3, ..Effort::EVERYTHING }
    }
}

/// One call fails, once or from then on, or one write lies.
fn plan_fault(world: &SimWorld, rng: &mut SimRng) {
    if rng.one_in(4) {
        let lie = if rng.coin() { Lie::LostWrite } else { Lie::MisdirectedWrite };
        return world.lie(Medium::Files, When::Nth(1 + rng.below(2 * ROUNDS)), lie);
    }
    let calls = [
        Access::FileCreate,
        Access::FileWrite,
        Access::FileSync,
        Access::FileRename,
        Access::FileRemove,
        Access::DirectorySync,
    ];
    let nth = 1 + rng.below(2 * ROUNDS);
    let when = if rng.one_in(4) { When::From(nth) } else { When::Nth(nth) };
    world.fail(calls[rng.index(calls.len())], when, Cause::ALL[rng.index(3)]);
}

struct Run<'a> {
    program: ManifestProgram,
    world: &'a SimWorld,
    directory: SimDirectory,
    now: Generations,
    history: Vec<(usize, Generations)>,
}

impl Run<'_> {
    fn has(&self, flaw: ManifestFlaw) -> bool {
        self.program.flaw == Some(flaw)
    }

    /// What is known from here on.
    fn note(&mut self) {
        self.history.push((self.world.now(), self.now));
    }

    /// Looks at what a crash left and clears it up.
    fn recover(&mut self) -> std::result::Result<(), Violation> {
        self.note();
        let found = self.find()?;
        self.now.begun = self.now.begun.max(found);
        self.note();
        for name in must("protocol", self.directory.names())? {
            if name.ends_with(".tmp") {
                must("protocol", self.directory.remove(&name))?;
            }
        }
        // What was found was perhaps not durable. Now that it is relied on, it has to be.
        if !self.has(ManifestFlaw::TrustsWhatItFinds) {
            must("protocol", self.directory.sync())?;
        }
        self.now.reported = self.now.reported.max(found);
        self.note();
        Ok(())
    }

    /// The number of the manifest that is there; zero if there is none.
    fn find(&self) -> std::result::Result<u64, Violation> {
        let Generations { begun, reported } = self.now;
        let found = match self.directory.open(CURRENT) {
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(Violation::new("protocol", error)),
            Ok(file) => {
                let mut bytes = vec![0; must("protocol", file.len())? as usize];
                let read = must("protocol", file.read_at(0, &mut bytes))?;
                parse(&bytes[..read])
                    .ok_or_else(|| Violation::new("whole", format_args!("a manifest of {read} bytes is damaged")))?
            }
        };
        if found < reported {
            return Err(Violation::new("lost", format_args!("manifest {reported} was reported, {found} was found")));
        }
        if found > begun {
            return Err(Violation::new(
                "invented",
                format_args!("manifest {found} was found, {begun} was the last begun"),
            ));
        }
        Ok(found)
    }

    /// Makes the next manifest; an attempt that fails is given up and not reported.
    fn make_next(&mut self, rng: &mut SimRng) {
        self.now.begun += 1;
        self.note();
        let len = rng.index(if self.program.is_small { SECTOR as usize - HEADER } else { 1400 });
        let generation = self.now.begun;
        match self.make(generation, len) {
            Ok(()) => {
                self.now.reported = generation;
                self.note();
            }
            Err(_) => {
                // What remains is in nobody's way: the next one removes it before it begins.
                let _ = self.directory.remove(TEMPORARY);
            }
        }
    }

    fn make(&mut self, generation: u64, len: usize) -> Result<()> {
        let name = if self.has(ManifestFlaw::SkipsTemporaryName) { CURRENT } else { TEMPORARY };
        self.directory.remove(name)?;
        let file = self.directory.create(name)?;
        let bytes = manifest(generation, len);
        let half = bytes.len() / 2;
        file.write_at(0, &bytes[..half])?;
        file.write_at(half as u64, &bytes[half..])?;
        let sync = || match file.sync() {
            Err(_) if self.has(ManifestFlaw::RepeatsFailedSync) => Ok(()),
            result => result,
        };
        let is_late = self.has(ManifestFlaw::SyncsFileLate);
        if !is_late && !self.has(ManifestFlaw::SkipsSyncOfFile) {
            sync()?;
        }
        if !self.has(ManifestFlaw::SkipsReadingBack) {
            compare(&*file, &bytes)?;
        }
        if self.has(ManifestFlaw::SyncsDirectoryEarly) {
            self.directory.sync()?;
        }
        if self.has(ManifestFlaw::RemovesFirst) {
            self.directory.remove(CURRENT)?;
        }
        if name != CURRENT {
            self.directory.rename(TEMPORARY, CURRENT)?;
        }
        if is_late {
            sync()?;
        }
        self.make_names_durable(generation)
    }

    fn make_names_durable(&mut self, generation: u64) -> Result<()> {
        if self.has(ManifestFlaw::ReportsEarly) {
            self.now.reported = generation;
            self.note();
        }
        if self.has(ManifestFlaw::SkipsSyncOfDirectory) || self.has(ManifestFlaw::SyncsDirectoryEarly) {
            return Ok(());
        }
        match self.directory.sync() {
            Err(_) if self.has(ManifestFlaw::OverlooksFailedSync) => Ok(()),
            result => result,
        }
    }

    /// Without a crash, too, the last manifest is there.
    fn expect_sound(&self) -> std::result::Result<(), Violation> {
        self.find().map(drop)
    }
}

/// Reads back what was written: storage may have said that it wrote, and not have done so.
fn compare(file: &dyn DirectoryFile, written: &[u8]) -> Result<()> {
    let mut bytes = vec![0; written.len() + 1];
    let read = file.read_at(0, &mut bytes)?;
    if bytes[..read] == *written {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Corrupt, "a manifest does not read as it was written"))
}

/// A manifest that says which it is, and whether it is whole.
fn manifest(generation: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + len);
    bytes.extend(generation.to_le_bytes());
    bytes.extend((len as u64).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend((0..len).map(|at| (generation as usize * 31 + at) as u8 | 1));
    let check = crc32c(&bytes);
    bytes[16..HEADER].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// Which manifest this is, if it is whole.
fn parse(bytes: &[u8]) -> Option<u64> {
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let (generation, len) = (word(0)?, word(8)? as usize);
    (bytes.len() == HEADER.checked_add(len)? && bytes == manifest(generation, len)).then_some(generation)
}
