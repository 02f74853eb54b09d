//! A bound on all memory of a process, the page cache that it fills included.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A memory cgroup, of the first or the second version of the interface.
pub(crate) struct Cgroup {
    path: PathBuf,
    is_first: bool,
}

const FIRST: &str = "/sys/fs/cgroup/memory";
const SECOND: &str = "/sys/fs/cgroup";

impl Cgroup {
    /// A group that may take `bytes` bytes.
    pub(crate) fn new(name: &str, bytes: u64) -> io::Result<Self> {
        let is_first = Path::new(FIRST).join("memory.limit_in_bytes").exists();
        let root = if is_first { FIRST } else { SECOND };
        let path = Path::new(root).join(format!("oxifaster-compare-{}-{name}", std::process::id()));
        fs::create_dir(&path)?;
        let group = Self { path, is_first };
        if is_first {
            fs::write(group.path.join("memory.limit_in_bytes"), bytes.to_string())?;
        } else {
            fs::write(group.path.join("memory.max"), bytes.to_string())?;
            // Without it, memory over the bound would go to swap instead of being given up. There may be no swap.
            let _ = fs::write(group.path.join("memory.swap.max"), "0");
        }
        Ok(group)
    }

    /// Moves a process into the group; what it had before stays where it was.
    pub(crate) fn add(&self, process: u32) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), process.to_string())
    }

    /// The most bytes that its processes and their page cache took at one time.
    pub(crate) fn peak(&self) -> Option<u64> {
        let file = if self.is_first { "memory.max_usage_in_bytes" } else { "memory.peak" };
        fs::read_to_string(self.path.join(file)).ok()?.trim().parse().ok()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that has ended leaves its group a moment later.
        for _ in 0..50 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("could not remove {}", self.path.display());
    }
}
