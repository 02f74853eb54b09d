//! A world of simulated storage: from a seed, every run the same.
//!
//! ```text
//!   the program under test
//!     |  StorageDevice                       |  Directory
//!     v                                      v
//!   SimDisk --> accesses under way         SimDirectory
//!                 | in an order that the seed chooses, with the faults that were planned
//!                 v                          |
//!   +-----------------------------------------------------------------------+
//!   | what readers see     events: submit, complete, sync, create, rename,  |
//!   |                      remove, sync of names ... each has a number      |
//!   +-----------------------------------------------------------------------+
//!                 | a crash before event n, by a policy
//!                 v
//!   what was durable, and of the rest what survived  --> Image --> restart
//! ```
//!
//! A world records; it does not stop. A crash is looked at afterwards, at any of its events and in as many ways as one
//! wants, while the run itself goes on to its end. So one run serves all crash points, and a program with several threads
//! can be crashed at all of them as well: its events are in some order, and each prefix of that is a moment.
//!
//! * **W1** What happens depends on the seed, the image at the beginning, and the calls; not on time, addresses, or
//!   hashes with random keys.
//! * **W2** No lock of the world is held while a completion is passed on.
//! * **W3** Time passes when somebody submits or polls. Who polls carries out at least one access that is under way.

mod contents;
mod crash;
mod durable;
mod event;
mod fault;
mod image;
mod mover;
mod schedule;
mod state;
mod survivors;
mod trace;

use durable::Durable;
use schedule::{Accepted, Delivery};
use state::State;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::directory::SimDirectory;
use crate::disk::SimDisk;
use oxifaster::Result;
use oxifaster::device::{CompletionSink, IoDone, IoRequest, Token};

pub use contents::{Contents, SECTOR};
pub use crash::{Crash, CrashPoint, CrashPoints};
pub(crate) use event::{DirectoryId, FileId};
pub use fault::{Access, Cause, Lie, Medium, When};
pub use image::Image;
pub use schedule::Latency;
pub(crate) use state::ACCESS_SIZE;
pub use survivors::{CrashPolicy, Part, Survivors, Unit};
pub use trace::Trace;

/// How a world behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimConfig {
    /// See [`with_latency`](Self::with_latency).
    pub latency: Latency,
    /// See [`with_patience`](Self::with_patience).
    pub patience: Duration,
    /// See [`with_prompt_answers`](Self::with_prompt_answers).
    pub prompt_answers: bool,
}

impl SimConfig {
    /// How long accesses of disks are under way. `Default:` [`Latency::Uneven`].
    #[must_use]
    pub const fn with_latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }

    /// Whether reads and syncs that do not come through a channel are carried out within `submit`, whatever the latency.
    /// Who submits them waits for them as a rule, and no device has to be polled for that: without this such waits are left
    /// to the clock. `Default:` true.
    #[must_use]
    pub const fn with_prompt_answers(mut self, prompt: bool) -> Self {
        self.prompt_answers = prompt;
        self
    }

    /// How long accesses may be under way without anybody submitting or polling until they are carried out regardless.
    /// `Default:` 200 milliseconds.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

impl Default for SimConfig {
    fn default() -> Self {
        Self { latency: Latency::Uneven, patience: Duration::from_millis(200), prompt_answers: true }
    }
}

/// Simulated storage with everything that happened to it. A clone is another handle to the same world.
#[derive(Debug, Clone)]
pub struct SimWorld(Arc<Shared>);

struct Shared {
    seed: u64,
    config: SimConfig,
    state: Mutex<Inner>,
}

struct Inner {
    state: State,
    /// Accesses that were carried out because nothing else moved.
    unasked: u64,
    is_watched: bool,
}

impl SimWorld {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, SimConfig::default())
    }

    /// An empty world that behaves as `config` says.
    pub fn with(seed: u64, config: SimConfig) -> Self {
        Self::restart(seed, config, &Image::default())
    }

    /// A world that holds what `image` holds, all of it durable.
    pub fn restart(seed: u64, config: SimConfig, image: &Image) -> Self {
        Self::holding(seed, config, State::new(seed, config, image))
    }

    /// The world that a process finds after another one that died.
    fn outliving(seed: u64, config: SimConfig, base: Durable, first: usize) -> Self {
        Self::holding(seed, config, State::outliving(seed, config, base, first))
    }

    fn holding(seed: u64, config: SimConfig, state: State) -> Self {
        let inner = Inner { state, unasked: 0, is_watched: false };
        Self(Arc::new(Shared { seed, config, state: Mutex::new(inner) }))
    }

    /// What everything is derived from.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// How it behaves.
    pub fn config(&self) -> SimConfig {
        self.0.config
    }

    /// A handle to the disk of this name, which exists from the beginning.
    pub fn disk(&self, name: &str) -> SimDisk {
        let mut inner = self.0.lock();
        let (file, owner) = (inner.state.disk(name), inner.state.new_owner());
        drop(inner);
        SimDisk::new(self.clone(), file, owner)
    }

    /// A handle to the directory of this name, which exists from the beginning.
    pub fn directory(&self, name: &str) -> SimDirectory {
        let directory = self.0.lock().state.directory(name);
        SimDirectory::new(self.clone(), directory, name)
    }

    /// How many events there were: the crash point of this moment.
    pub fn now(&self) -> usize {
        self.0.lock().state.now()
    }

    /// The number of the first event. It is zero unless a process before this one died.
    pub fn first_event(&self) -> usize {
        self.0.lock().state.first
    }

    /// What happened, one line per event, for people.
    pub fn events(&self) -> Vec<String> {
        self.0.lock().state.events.iter().map(ToString::to_string).collect()
    }

    /// A hash of everything that happened.
    pub fn trace(&self) -> Trace {
        self.0.lock().state.trace
    }

    /// Accesses of disks under way.
    pub fn in_flight(&self) -> usize {
        self.0.lock().state.schedule.in_flight()
    }

    /// Accesses that were carried out because nobody submitted or polled for too long. If there are any, another run of
    /// the same seed may differ.
    pub fn unasked(&self) -> u64 {
        self.0.lock().unasked
    }

    /// Carries out everything that is under way, and what follows from it.
    pub fn settle(&self) {
        while self.0.pass_on_next() {}
    }

    /// The power fails now.
    pub fn crash(&self, policy: CrashPolicy) -> Crash {
        self.crash_point().crash(policy)
    }

    /// This moment as a crash point.
    pub fn crash_point(&self) -> CrashPoint {
        // There is one for every event up to now, however many there are by now.
        self.crash_point_at(self.now()).unwrap_or_else(|| unreachable!())
    }

    /// The moment before event number `event` of this world, if there was one.
    pub fn crash_point_at(&self, event: usize) -> Option<CrashPoint> {
        self.crash_points().nth(event.checked_sub(self.first_event())?)
    }

    /// All moments up to now at which the power may have failed.
    pub fn crash_points(&self) -> CrashPoints {
        let inner = self.0.lock();
        let State { base, first, events, .. } = &inner.state;
        CrashPoints::new(self.0.seed, self.0.config, base.clone(), *first, events.clone())
    }

    /// Lets accesses fail. A sync that fails is final for its disk or file.
    pub fn fail(&self, access: Access, when: When, cause: Cause) {
        self.0.lock().state.faults.fail(access, when, cause);
    }

    /// Lets reads or writes of a medium lie.
    pub fn lie(&self, medium: Medium, when: When, lie: Lie) {
        self.0.lock().state.faults.lie(medium, when, lie);
    }

    /// Flips bits of what the disk of this name holds, as they flip by themselves when a disk grows old.
    pub fn flip_at_rest(&self, disk: &str, offset: u64, mask: u8) {
        let mut inner = self.0.lock();
        let file = inner.state.disk(disk);
        inner.state.flip(file, offset, mask);
    }

    /// Forgets all planned faults. What they did stays.
    pub fn repair(&self) {
        self.0.lock().state.faults.repair();
    }

    /// How many accesses suffered a fault.
    pub fn faults_struck(&self) -> u64 {
        self.0.lock().state.faults.struck()
    }

    /// How many accesses of a kind there were.
    pub fn count(&self, access: Access) -> u64 {
        self.0.lock().state.faults.count(access)
    }
}

/// An access of a disk, and where its completion goes.
pub(crate) struct SimAccess {
    /// The handle through which it comes.
    pub(crate) owner: u64,
    pub(crate) file: FileId,
    pub(crate) request: IoRequest,
    pub(crate) sink: Arc<dyn CompletionSink>,
    pub(crate) token: Token,
}

/// For the disk.
impl SimWorld {
    /// Where a disk begins, and where it ends.
    pub(crate) fn extent(&self, file: FileId) -> (u64, u64) {
        let world = self.0.lock();
        let contents = world.state.contents(file);
        (contents.begin(), contents.len())
    }

    /// Takes an access in. Who `awaits` it without a channel gets a prompt answer.
    pub(crate) fn submit(&self, access: SimAccess, awaits: bool) {
        let SimAccess { owner, file, request, sink, token } = access;
        let prompt = awaits && self.0.config.prompt_answers;
        self.0.lock().state.accept(Accepted { owner, file, request, sink, token, at: 0, effect: None }, prompt);
        self.0.pass_on_due();
        self.see_to_the_rest();
    }

    /// Carries out a write and makes it durable at once, or gives the request back.
    pub(crate) fn write_through(&self, file: FileId, request: IoRequest) -> std::result::Result<IoDone, IoRequest> {
        self.0.lock().state.write_through(file, request)
    }

    /// Lets time pass; returns how many accesses were carried out, at least one if any is under way.
    pub(crate) fn poll(&self) -> usize {
        self.0.lock().state.schedule.tick();
        match self.0.pass_on_due() {
            0 => usize::from(self.0.pass_on_next()),
            count => count,
        }
    }

    /// Carries out everything that came through this handle.
    pub(crate) fn finish(&self, owner: u64) {
        while self.0.pass_on(|inner| inner.state.schedule.take_next_of(owner)) {}
    }

    /// Has somebody look after what nobody may ask for.
    fn see_to_the_rest(&self) {
        let mut inner = self.0.lock();
        if inner.is_watched || inner.state.schedule.in_flight() == 0 {
            return;
        }
        inner.is_watched = true;
        drop(inner);
        if !mover::watch(&self.0) {
            self.0.lock().is_watched = false;
            self.settle();
        }
    }
}

/// For the directory.
impl SimWorld {
    pub(crate) fn list(&self, directory: DirectoryId) -> Result<Vec<String>> {
        self.0.lock().state.list(directory)
    }

    pub(crate) fn create(&self, directory: DirectoryId, name: &str) -> Result<FileId> {
        self.0.lock().state.create(directory, name)
    }

    pub(crate) fn open(&self, directory: DirectoryId, name: &str) -> Result<FileId> {
        self.0.lock().state.open(directory, name)
    }

    pub(crate) fn rename(&self, directory: DirectoryId, from: &str, to: &str) -> Result<()> {
        self.0.lock().state.rename(directory, from, to)
    }

    pub(crate) fn remove(&self, directory: DirectoryId, name: &str) -> Result<()> {
        self.0.lock().state.remove(directory, name)
    }

    pub(crate) fn sync_names(&self, directory: DirectoryId) -> Result<()> {
        self.0.lock().state.sync_names(directory)
    }

    pub(crate) fn write_file(&self, file: FileId, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.lock().state.write_file(file, offset, bytes)
    }

    pub(crate) fn read_file(&self, file: FileId, offset: u64, bytes: &mut [u8]) -> Result<usize> {
        self.0.lock().state.read_file(file, offset, bytes)
    }

    pub(crate) fn sync_file(&self, file: FileId) -> Result<()> {
        self.0.lock().state.sync_a_file(file)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out one access and passes its completion on (W2).
    fn pass_on(&self, take: impl FnOnce(&mut Inner) -> Option<Accepted>) -> bool {
        let mut inner = self.lock();
        let delivery: Option<Delivery> = take(&mut inner).map(|accepted| inner.state.carry_out(accepted));
        drop(inner);
        delivery.map(Delivery::pass_on).is_some()
    }

    fn pass_on_due(&self) -> usize {
        let mut count = 0;
        while self.pass_on(|inner| inner.state.schedule.take_due()) {
            count += 1;
        }
        count
    }

    fn pass_on_next(&self) -> bool {
        self.pass_on(|inner| inner.state.schedule.take_next())
    }

    /// The world's time, and how many accesses are under way.
    fn time(&self) -> (u64, usize) {
        let inner = self.lock();
        (inner.state.schedule.now(), inner.state.schedule.in_flight())
    }

    /// Carries out what is under way, on nobody's behalf.
    fn move_on(&self) {
        let under_way = self.time().1;
        for _ in 0..under_way {
            // A sink that panics has had its completion.
            let moved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.pass_on_next()));
            self.lock().unasked += u64::from(moved.unwrap_or(true));
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimWorld").field("seed", &self.seed).field("config", &self.config).finish_non_exhaustive()
    }
}
