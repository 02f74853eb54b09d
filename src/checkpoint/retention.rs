//! Removing checkpoints, so that a crash at any point leaves the others whole. Invariant P1 of [`crate::checkpoint`].

use super::catalog::{Catalog, Listing};
use super::file_name::FileName;
use super::manifest::Manifest;
use super::{CheckpointToken, verify};
use crate::address::Address;
use crate::device::StorageDevice;
use crate::error::{Error, ErrorKind, Result};
use crate::utility::planted;
use std::collections::HashSet;

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// The checkpoints that are gone.
    pub checkpoints: Vec<CheckpointToken>,
    /// The files that are gone, manifests included.
    pub files: Vec<String>,
    /// Files of removed checkpoints that others still need: bases of increments, and shared images of the index.
    pub still_needed: Vec<String>,
    /// The oldest address of the log that a checkpoint still needs; `None` if none is left. The device may be truncated
    /// up to here.
    pub log_begin: Option<Address>,
}

impl Catalog<'_> {
    /// Removes all but the newest `count` checkpoints of the log, of which those that were [given up](Listing::is_given_up)
    /// are none. With them stay the images of the index that they would
    /// be recovered with, the newest image of all, and every file that one of them needs.
    ///
    /// Before anything is removed the newest checkpoint is verified, its part on the `device` included if one is given.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if `count` is zero. [`ErrorKind::Corrupt`] if the newest checkpoint does not verify, or a
    /// manifest cannot be read, so that nobody knows what it needs: nothing was removed then. [`ErrorKind::Io`] if the
    /// directory fails; what is left is whole, and a later call goes on.
    pub fn keep_last(&self, count: usize, device: Option<&dyn StorageDevice>) -> Result<Removed> {
        if count == 0 {
            return Err(Error::new(ErrorKind::Config, "keeping no checkpoint at all")
                .with("count", count)
                .help("keep at least one; to give all up, remove the directory"));
        }
        let listing = self.list_intact()?;
        let is_state = |manifest: &&Manifest| manifest.log.is_some() && !listing.is_given_up(manifest);
        let mut newest_first = listing.checkpoints.iter().rev().filter(is_state);
        let Some(newest) = newest_first.next() else { return Ok(Removed::default()) };
        self.require_sound(newest, device)?;
        let mut kept = HashSet::from([newest.token]);
        kept.extend(newest_first.take(count - 1).map(|manifest| manifest.token));
        for manifest in listing.checkpoints.iter().filter(|manifest| manifest.log.is_some()) {
            if kept.contains(&manifest.token) {
                let best = self.index_among(&listing, manifest)?.images.into_iter().next();
                kept.extend(best.map(|image| image.checkpoint));
            }
        }
        kept.extend(
            listing.checkpoints.iter().rev().find(|manifest| manifest.index.is_some()).map(|image| image.token),
        );
        self.remove_all_but(&listing, |manifest| kept.contains(&manifest.token))
    }

    /// Removes one checkpoint, and those of its files that no other one needs. Of one whose manifest cannot be read only the
    /// manifest is removed, and the rest becomes unclaimed.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none with this token. [`ErrorKind::Corrupt`] if the manifest of another one cannot
    /// be read. [`ErrorKind::Io`].
    pub fn remove(&self, token: CheckpointToken) -> Result<Removed> {
        let listing = self.list()?;
        if listing.checkpoints.iter().any(|manifest| manifest.token == token) {
            let listing = self.list_intact()?;
            return self.remove_all_but(&listing, |manifest| manifest.token != token);
        }
        if !listing.broken.iter().any(|broken| broken.token == Some(token)) {
            return Err(self.no_such(token));
        }
        let mut removed = Removed { log_begin: oldest_begin(&listing.checkpoints), ..Removed::default() };
        self.remove_file(token.manifest_file(), &mut removed)?;
        removed.checkpoints.push(token);
        self.directory.sync()?;
        Ok(removed)
    }

    /// Makes the checkpoint `token` the newest: removes every one of a later version, for a store that goes back to this one
    /// for good. If it is not done, and the store ends before it has taken a checkpoint of its own, the newest one is still
    /// that of the future that was given up. To be called before the store is recovered, or at least before it goes on.
    ///
    /// Before anything is removed the checkpoint is verified, its part on the `device` included if one is given.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none with this token, [`ErrorKind::Config`] if it holds no log to go back to.
    /// [`ErrorKind::Corrupt`] if it does not verify, or a manifest cannot be read: nothing was removed then.
    /// [`ErrorKind::Io`] if the directory fails; what is left is whole, and a later call goes on.
    pub fn give_up_after(&self, token: CheckpointToken, device: Option<&dyn StorageDevice>) -> Result<Removed> {
        let mut listing = self.list_intact()?;
        let Some(kept) = listing.checkpoints.iter().find(|manifest| manifest.token == token).cloned() else {
            return Err(self.no_such(token));
        };
        if kept.log.is_none() {
            return Err(Error::new(ErrorKind::Config, "a checkpoint of the index is no state to go back to")
                .with("checkpoint", token)
                .help("name a fold-over, snapshot or incremental checkpoint"));
        }
        self.require_sound(&kept, device)?;
        // One that a failed call removed may come back after a crash, until this.
        self.directory.sync()?;
        // The newest first: whatever a crash leaves is a state that there was.
        listing.checkpoints.reverse();
        self.remove_all_but(&listing, |manifest| manifest.version <= kept.version)
    }

    fn no_such(&self, token: CheckpointToken) -> Error {
        Error::new(ErrorKind::NotFound, "there is no such checkpoint")
            .with("checkpoint", token)
            .with("directory", self.directory.place())
            .help("look at what is there with `oxifaster checkpoint list`")
    }

    /// Removes what no manifest names: what a crash or a failed attempt left. Checkpoints that are `under_way` keep theirs.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if a manifest cannot be read, so that nobody knows what it needs; [`ErrorKind::Io`].
    pub fn sweep(&self, under_way: &[CheckpointToken]) -> Result<Removed> {
        let listing = self.list_intact()?;
        let mut removed = Removed { log_begin: oldest_begin(&listing.checkpoints), ..Removed::default() };
        // A manifest that was removed a moment ago may come back after a crash, until this.
        self.directory.sync()?;
        for name in listing.unclaimed {
            let is_under_way = FileName::parse(&name).is_some_and(|name| under_way.contains(&name.token));
            if !is_under_way {
                self.remove_file(name, &mut removed)?;
            }
        }
        self.directory.sync()?;
        Ok(removed)
    }

    fn remove_all_but(&self, listing: &Listing, is_kept: impl Fn(&Manifest) -> bool) -> Result<Removed> {
        let (kept, doomed): (Vec<&Manifest>, Vec<&Manifest>) = listing.checkpoints.iter().partition(|one| is_kept(one));
        let mut removed = Removed { log_begin: oldest_begin(kept.iter().copied()), ..Removed::default() };
        if doomed.is_empty() {
            return Ok(removed);
        }
        for manifest in &doomed {
            self.remove_file(manifest.token.manifest_file(), &mut removed)?;
            removed.checkpoints.push(manifest.token);
        }
        // From here on no crash brings a manifest back whose files are gone.
        if !planted!(RemovesFilesEarly) {
            self.directory.sync()?;
        }
        let needed: HashSet<String> = kept.iter().copied().flat_map(Manifest::files).collect();
        let own = |token: CheckpointToken| [token.log_file(), token.index_file()];
        let mut files: Vec<String> =
            doomed.iter().flat_map(|manifest| manifest.files().into_iter().chain(own(manifest.token))).collect();
        files.sort();
        files.dedup();
        let present: HashSet<String> = self.directory.names()?.into_iter().collect();
        for name in files.into_iter().filter(|name| present.contains(name)) {
            if needed.contains(&name) && !planted!(RemovesBases) {
                removed.still_needed.push(name);
            } else {
                self.remove_file(name, &mut removed)?;
            }
        }
        self.directory.sync()?;
        Ok(removed)
    }

    fn remove_file(&self, name: String, removed: &mut Removed) -> Result<()> {
        self.directory.remove(&name)?;
        removed.files.push(name);
        Ok(())
    }

    /// The listing, if every manifest can be read.
    fn list_intact(&self) -> Result<Listing> {
        let mut listing = self.list()?;
        let Some(broken) = listing.broken.pop() else { return Ok(listing) };
        Err(Error::new(broken.kind(), "a manifest cannot be read, so nobody knows which files it needs")
            .with("file", broken.file)
            .with("directory", self.directory.place())
            .because(broken.error)
            .help("restore it from a copy, or remove that checkpoint, and call again"))
    }

    fn require_sound(&self, manifest: &Manifest, device: Option<&dyn StorageDevice>) -> Result<()> {
        let report = verify(self.directory, device, manifest.token, &mut |_| {})?;
        let Some(defect) = report.defects.first() else { return Ok(()) };
        Err(Error::new(ErrorKind::Corrupt, "the checkpoint that others are to give way to does not verify")
            .with("checkpoint", manifest.token)
            .with("file", defect.place())
            .with("offset", defect.offset)
            .with("defect", &defect.what)
            .help("nothing was removed; see all defects with `oxifaster checkpoint verify`, and take a new checkpoint"))
    }
}

fn oldest_begin<'a>(manifests: impl IntoIterator<Item = &'a Manifest>) -> Option<Address> {
    manifests.into_iter().filter_map(|manifest| manifest.log.as_ref()).map(|log| log.begin).min()
}
