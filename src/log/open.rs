//! Opening a log: as it is, as it was at a commit, or only to be read.

use super::commit::CommitRecord;
use super::config::FasterLogConfig;
use super::faster_log::FasterLog;
use super::log_core::{Core, completed};
use super::ordinal::CommitName;
use super::recover::{Explorer, Found};
use crate::address::Address;
use crate::device::StorageDevice;
use crate::error::{Error, ErrorKind, Result};
use crate::group::spawn;
use crate::sync::Arc;
use crate::utility::random_bits;

impl FasterLog {
    /// Opens the log on `device`, or makes one if it holds nothing: goes on behind the longest prefix that verifies.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if a size makes no sense or the device holds something else; [`ErrorKind::Corrupt`] if a part that
    /// was durable is damaged; those of the device.
    pub fn open(config: FasterLogConfig, device: impl StorageDevice) -> Result<Self> {
        let device = Arc::new(device) as Arc<dyn StorageDevice>;
        let explorer = explorer(&config, &device)?;
        let found = if device.info().readable { explorer.find(config.damage_accepted)? } else { None };
        let Some(mut found) = found else {
            let found = Found::nothing(config.page_size_bits, random_bits() as u32);
            let core = Arc::new(Core::new(config, device, found.generation, found.commit, found.end, found.end)?);
            core.commit_with(Vec::new())?; // so that it is known for a log
            return Self::serve(core);
        };
        explorer.settle(&mut found)?;
        let core = Arc::new(Core::new(config, device, found.generation, found.next(), found.end, found.end)?);
        core.catch_up();
        Self::serve(core)
    }

    /// [`open`](Self::open) for those who know that it succeeds.
    ///
    /// # Panics
    /// Where `open` would fail. With the default configuration and an empty device it does not.
    #[expect(clippy::panic, reason = "documented: `open` is the fallible form")]
    pub fn new(config: FasterLogConfig, device: impl StorageDevice) -> Self {
        match Self::open(config, device) {
            Ok(log) => log,
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens the log on `device` as it was at a commit, and goes on from there. Entries behind the commit are cut off, durably
    /// and for good, as by [`truncate_suffix`](Self::truncate_suffix), before this returns; entries, cookie and cursors are those
    /// of the commit. What was given up at the beginning stays so. [`open_read_only_at`](Self::open_read_only_at) shows the same
    /// log and changes nothing.
    ///
    /// # Errors
    /// As for [`open`](Self::open); [`ErrorKind::NotFound`] if there is no such commit, or what it was the end of is
    /// given up: the log is left as it is.
    pub fn open_at(config: FasterLogConfig, device: impl StorageDevice, commit: &CommitName) -> Result<Self> {
        let device = Arc::new(device) as Arc<dyn StorageDevice>;
        let explorer = explorer(&config, &device)?;
        let mut found = explorer.find(config.damage_accepted)?.ok_or_else(nothing_there)?;
        let past = Past::find(&config, &device, &found, commit)?;
        explorer.settle(&mut found)?;
        let mut next = CommitRecord {
            cursors: past.commit.cursors.clone(),
            complete: past.commit.complete,
            links: past.commit.links_behind(past.at),
            counted: found.end.get(),
            entries: past.entries,
            ..found.next()
        };
        next.add_hole(past.until..found.end);
        let core = Arc::new(Core::new(config, device, found.generation, next, found.end, found.end)?);
        core.commit_with(past.commit.cookie)?;
        Self::serve(core)
    }

    /// Opens the log on `device` to be read, as far as it is now; also while another process appends to it, if the device
    /// allows that (`FileSystemDiskOptions::with_read_only`). Nothing is written. [`refresh`](Self::refresh) takes up what came
    /// later.
    ///
    /// # Errors
    /// As for [`open`](Self::open); [`ErrorKind::NotFound`] if there is no log yet.
    pub fn open_read_only(config: FasterLogConfig, device: impl StorageDevice) -> Result<Self> {
        let device = Arc::new(device) as Arc<dyn StorageDevice>;
        let found = explorer(&config, &device)?.find(config.damage_accepted)?.ok_or_else(nothing_there)?;
        let core = Core { follows: true, ..view(&config, &device, &found)? };
        core.group.follow_only(only_to_be_read());
        Ok(Self { core: Arc::new(core), committer: None })
    }

    /// The same, as the log was at a commit.
    ///
    /// # Errors
    /// As for [`open_read_only`](Self::open_read_only); [`ErrorKind::NotFound`] if there is no such commit, or what it was the
    /// end of is given up.
    pub fn open_read_only_at(config: FasterLogConfig, device: impl StorageDevice, commit: &CommitName) -> Result<Self> {
        let device = Arc::new(device) as Arc<dyn StorageDevice>;
        let found = explorer(&config, &device)?.find(config.damage_accepted)?.ok_or_else(nothing_there)?;
        let past = Past::find(&config, &device, &found, commit)?;
        let mut commit = past.commit;
        commit.begin_at(found.commit.begin(), found.commit.begin_number);
        let found = Found { commit, at: past.at, whole: past.until, end: past.until, ..found };
        let core = view(&config, &device, &found)?;
        core.group.fail(only_to_be_read());
        Ok(Self { core: Arc::new(core), committer: None })
    }

    /// A log of this core, with its thread.
    fn serve(core: Arc<Core>) -> Result<Self> {
        if core.is_complete() {
            core.group.close(completed());
        }
        let serving = Arc::clone(&core);
        let committer = spawn(move || serving.group.serve(&*serving))?;
        Ok(Self { core, committer: Some(committer) })
    }
}

pub(super) fn explorer<'d>(config: &FasterLogConfig, device: &'d Arc<dyn StorageDevice>) -> Result<Explorer<'d>> {
    Ok(Explorer { device, geometry: config.geometry()?, wait: config.wait_limit })
}

pub(super) fn nothing_there() -> Error {
    Error::new(ErrorKind::NotFound, "there is no log on the device yet").help("append to it first")
}

fn only_to_be_read() -> Error {
    Error::new(ErrorKind::Unsupported, "the log was opened to be read")
}

/// A log of which everything below its last whole entry can be read.
fn view(config: &FasterLogConfig, device: &Arc<dyn StorageDevice>, found: &Found) -> Result<Core> {
    Core::new(config.clone(), Arc::clone(device), found.generation, found.next(), found.whole, found.end)
}

/// A log as it was at a commit.
struct Past {
    commit: CommitRecord,
    at: Address,
    /// The commit's blocks end here.
    until: Address,
    /// The number of the next entry.
    entries: u64,
}

impl Past {
    fn find(
        config: &FasterLogConfig,
        device: &Arc<dyn StorageDevice>,
        found: &Found,
        name: &CommitName,
    ) -> Result<Self> {
        let core = Arc::new(view(config, device, found)?);
        let Some((at, commit)) = core.commit_named(name)? else {
            return Err(Error::new(ErrorKind::NotFound, "the log has no such commit, or does not reach back to it")
                .with("commit", format_args!("{name:?}"))
                .with("last commit", found.commit.number)
                .help("FasterLog::commits lists those that are there"));
        };
        let geometry = core.log.geometry();
        let until = core.end_of_commit(at)?;
        let until = geometry.start_of_block(geometry.block_of(Address::new(until.get() - 1)) + 1);
        let entries = core.number_below(until)?;
        Ok(Self { commit, at, until, entries })
    }
}
