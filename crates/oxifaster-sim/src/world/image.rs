//! What lies on simulated storage when nobody uses it.

use super::contents::Contents;
use super::trace::Trace;
use std::collections::BTreeMap;

/// The contents of all disks and directories of a world: what a crash left, or what a test damages before the next start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    pub(super) disks: BTreeMap<String, Contents>,
    pub(super) directories: BTreeMap<String, BTreeMap<String, Contents>>,
}

impl Image {
    /// The bytes of a disk.
    pub fn disk(&self, name: &str) -> Option<&Contents> {
        self.disks.get(name)
    }

    /// The bytes of a disk, to be damaged.
    pub fn disk_mut(&mut self, name: &str) -> Option<&mut Contents> {
        self.disks.get_mut(name)
    }

    /// The bytes of a file.
    pub fn file(&self, directory: &str, name: &str) -> Option<&Contents> {
        self.directories.get(directory)?.get(name)
    }

    /// The bytes of a file, to be damaged.
    pub fn file_mut(&mut self, directory: &str, name: &str) -> Option<&mut Contents> {
        self.directories.get_mut(directory)?.get_mut(name)
    }

    /// The names of the files in a directory.
    pub fn names(&self, directory: &str) -> Vec<&str> {
        self.directories.get(directory).map(|files| files.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    /// A number that two images share if and (but for chance) only if they hold the same.
    pub fn fingerprint(&self) -> u64 {
        let mut trace = Trace::default();
        for (name, contents) in &self.disks {
            trace.bytes(name.as_bytes());
            trace.contents(contents);
        }
        for (place, files) in &self.directories {
            trace.bytes(place.as_bytes());
            for (name, contents) in files {
                trace.bytes(name.as_bytes());
                trace.contents(contents);
            }
        }
        trace.full()
    }
}
