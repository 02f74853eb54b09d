//! The memory of the process: what it holds, what it ever held, and how much of the budget the store may have.

use crate::failure::Failure;
use crate::units::size;

/// The smallest budget that is passed on to a store.
const STORE_MINIMUM: u64 = 1 << 20;
/// Allocator slack and stacks that grow while the benchmark runs.
const SLACK: u64 = 1 << 20;
/// Histograms, stack and session of one thread.
const PER_THREAD: u64 = 192 << 10;
/// An operation in flight, beside its value: the entry here and the request in the store.
const PER_OPERATION: u64 = 512;

/// What the process holds of physical memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resident {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

/// Asks the system; `None` where it does not tell.
pub(crate) fn resident() -> Option<Resident> {
    #[cfg(target_os = "linux")]
    {
        parse_status(&std::fs::read_to_string("/proc/self/status").ok()?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let now = memory_stats::memory_stats()?.physical_mem as u64;
        Some(Resident { now, peak: now })
    }
}

#[cfg(any(target_os = "linux", test))]
fn parse_status(status: &str) -> Option<Resident> {
    Some(Resident { now: kibibytes(status, "VmRSS")?, peak: kibibytes(status, "VmHWM")? })
}

/// The line `name` of the status file, in bytes.
#[cfg(any(target_os = "linux", test))]
fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// Bytes of the program and its libraries that are mapped and not in physical memory yet: what runs for the first time
/// brings them in.
fn program_to_come() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let mapped = std::fs::read_to_string("/proc/self/maps").map_or(0, |maps| parse_maps(&maps));
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        mapped.saturating_sub(kibibytes(&status, "RssFile").unwrap_or(0))
    }
    #[cfg(not(target_os = "linux"))]
    {
        0
    }
}

/// Bytes of what is mapped from files.
#[cfg(any(target_os = "linux", test))]
fn parse_maps(maps: &str) -> u64 {
    let bytes = |line: &str| {
        let mut fields = line.split_whitespace();
        let (from, to) = fields.next()?.split_once('-')?;
        fields.next_back()?.starts_with('/').then_some(())?;
        u64::from_str_radix(to, 16).ok()?.checked_sub(u64::from_str_radix(from, 16).ok()?)
    };
    maps.lines().filter_map(bytes).sum()
}

/// Keeps the highest value seen, for systems that do not remember it themselves.
#[derive(Debug, Default)]
pub(crate) struct PeakMeter(Option<u64>);

impl PeakMeter {
    /// Called several times a second while the benchmark runs.
    pub(crate) fn poll(&mut self) {
        self.0 = self.0.max(resident().map(|resident| resident.peak));
    }

    pub(crate) fn peak(&self) -> Option<u64> {
        self.0
    }
}

/// How the budget for the whole process is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Division {
    pub(crate) budget: u64,
    /// What the benchmark keeps for itself.
    pub(crate) reserve: u64,
}

impl Division {
    /// Sets aside what the process holds already and what of the program will be, which is asked for just before the store is opened, and what `threads`
    /// with `depth` operations of `value_size` bytes in flight will take.
    pub(crate) fn new(budget: u64, threads: u64, depth: u64, value_size: u64) -> Self {
        let process = resident().map_or(4 << 20, |resident| resident.now);
        let in_flight = threads * (PER_THREAD + depth * (PER_OPERATION + 2 * value_size));
        let reserve = process + program_to_come() + in_flight + SLACK + budget / 64;
        Self { budget, reserve }
    }

    /// Refuses a budget that leaves the store less than a store can be opened with.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.store() >= STORE_MINIMUM {
            return Ok(());
        }
        let (budget, reserve) = (size(self.budget), size(self.reserve));
        let what = format!("a memory budget of {budget} is too small: the benchmark itself takes {reserve}");
        let memory = self.budget_for(STORE_MINIMUM) >> 20;
        Err(Failure::usage(what, format!("give at least --memory {memory}MiB or lower --depth")))
    }

    /// What the store may have.
    pub(crate) fn store(&self) -> u64 {
        self.budget.saturating_sub(self.reserve)
    }

    /// A budget for the whole process that leaves the store at least `bytes`, in whole mebibytes.
    pub(crate) fn budget_for(&self, bytes: u64) -> u64 {
        let fixed = self.reserve - self.budget / 64 + SLACK;
        let whole = bytes.saturating_add(fixed);
        whole.saturating_add(whole / 63).saturating_add((1 << 20) - 1) >> 20 << 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_file_is_understood() {
        let status = "Name:\tx\nVmPeak:\t  9000 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse_status(status), Some(Resident { now: 1 << 20, peak: 2 << 20 }));
        assert_eq!(parse_status("Name:\tx\n"), None);
    }

    #[test]
    fn what_is_mapped_from_files_is_added_up() {
        let maps = "1000-3000 r-xp 00000000 fe:00 7   /usr/bin/x\n3000-4000 rw-p 00000000 00:00 0\n\
                    5000-6000 rw-p 00000000 00:00 0   [heap]\n8000-9000 r--p 00001000 fe:00 8   /usr/lib/libc.so.6\n";
        assert_eq!(parse_maps(maps), 0x3000);
        assert_eq!(parse_maps("nonsense /x\n-\n\n"), 0);
    }

    #[test]
    fn touching_memory_raises_the_peak_and_freeing_it_does_not_lower_it() {
        let mut meter = PeakMeter::default();
        meter.poll();
        let before = meter.peak();
        drop(std::hint::black_box(vec![1_u8; 64 << 20]));
        meter.poll();
        if cfg!(target_os = "linux") {
            assert!(meter.peak().zip(before).is_some_and(|(after, before)| after >= before.max(64 << 20)));
        }
    }

    #[test]
    fn the_store_gets_what_the_benchmark_does_not_need() {
        let division = Division::new(256 << 20, 2, 64, 100);
        assert!(division.store() < 256 << 20);
        division.check().unwrap();
        let more_threads = Division::new(256 << 20, 8, 64, 100);
        assert!(more_threads.store() < division.store());
    }

    #[test]
    fn a_budget_for_a_store_leaves_it_that_much_and_little_more() {
        let division = Division { budget: 64 << 20, reserve: 7 << 20 };
        for wanted in [1, 100 << 20, 10 << 30] {
            let budget = division.budget_for(wanted);
            let store = Division { budget, reserve: division.reserve - division.budget / 64 + budget / 64 }.store();
            assert!((wanted..=wanted + (4 << 20)).contains(&store), "{wanted}: {store}");
        }
    }

    #[test]
    fn a_budget_that_leaves_nothing_for_the_store_is_refused_with_the_next_step() {
        let failure = Division::new(1 << 20, 2, 64, 100).check().unwrap_err();
        assert!(failure.to_string().contains("--memory"), "{failure}");
    }
}
