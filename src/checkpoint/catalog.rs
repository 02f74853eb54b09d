//! The checkpoints of a directory: written, listed, loaded. Invariants P1, P2 and P4 of [`crate::checkpoint`].

use super::check::same_log;
use super::file_name::{FileName, Role};
use super::manifest::Manifest;
use super::{CheckpointToken, block_map::BlockMap};
use crate::allocator::BLOCK_SIZE;
use crate::directory::{Directory, DirectoryFile};
use crate::error::{Error, ErrorKind, Result};

/// The checkpoints of a directory. Other files in it are left alone.
///
/// A catalog keeps nothing: every call looks at the directory.
#[derive(Clone, Copy)]
pub struct Catalog<'a> {
    pub(super) directory: &'a dyn Directory,
}

/// A file that should be of use and is not, and why.
#[derive(Debug, Clone)]
pub struct Broken {
    /// The name of the file.
    pub file: String,
    /// The checkpoint that it belongs to, if its name says so.
    pub token: Option<CheckpointToken>,
    /// What is wrong with it.
    pub error: Error,
}

impl Broken {
    /// The kind of an error that is due to this file. One that is not there is a fault of the checkpoint that needs it:
    /// "not found" would say that there is no such checkpoint.
    pub(super) fn kind(&self) -> ErrorKind {
        match self.error.kind() {
            ErrorKind::NotFound => ErrorKind::Corrupt,
            kind => kind,
        }
    }
}

/// What a directory holds.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Listing {
    /// The manifests that are intact, from the oldest to the newest: by version, then by time.
    pub checkpoints: Vec<Manifest>,
    /// Those that are not: nobody knows how old they are and what they need.
    pub broken: Vec<Broken>,
    /// Files of checkpoints that no intact manifest names: of one that is being written, of one that a crash cut short, or
    /// of a broken one.
    pub unclaimed: Vec<String>,
}

impl Listing {
    /// The highest version of all. A store that was recovered to an older state goes on above it, so that every version
    /// is given once and a younger checkpoint has a higher one.
    pub fn highest_version(&self) -> Option<u64> {
        self.checkpoints.last().map(|manifest| manifest.version)
    }

    /// True if the store went back to a state before this checkpoint and then wrote over its part on the device, as the newest
    /// checkpoint says: this one cannot be recovered any more.
    pub fn is_given_up(&self, manifest: &Manifest) -> bool {
        let newest = self.checkpoints.iter().rev().find_map(|newest| newest.log.as_ref());
        let (Some(newest), Some(log)) = (newest, &manifest.log) else { return false };
        log.pieces.iter().filter(|piece| piece.file.is_none()).any(|piece| {
            let from = piece.from.max(newest.begin).max(log.begin);
            let to = piece.to.min(newest.end);
            from < to && !same_log(&log.generations, &newest.generations, from, to)
        })
    }

    /// The files that the intact manifests name, their own included, each once.
    fn claimed(&self) -> std::collections::HashSet<String> {
        self.checkpoints.iter().flat_map(Manifest::files).collect()
    }
}

impl<'a> Catalog<'a> {
    /// The checkpoints of `directory`.
    pub fn new(directory: &'a dyn Directory) -> Self {
        Self { directory }
    }

    /// Makes a checkpoint out of files that are there and synced: writes its manifest, and returns once it is durable.
    ///
    /// The order is that of `docs/checkpoint.md`: temporary name, write, sync, read back, sync of the directory (so that the
    /// names of the other files are durable first), rename, sync of the directory.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the manifest contradicts itself or there is a checkpoint with its token;
    /// [`ErrorKind::Limit`] if it is too long. [`ErrorKind::Corrupt`] or [`ErrorKind::NotFound`] if a file that it names is
    /// not there in full, or was read back other than written. [`ErrorKind::Io`] if the directory fails. There is no
    /// checkpoint then, and what was written of the manifest is removed; a later attempt begins anew.
    pub fn write(&self, manifest: &Manifest) -> Result<()> {
        let bytes = manifest.to_bytes()?;
        let name = manifest.token.manifest_file();
        if self.exists(&name)? {
            return Err(self
                .about(Error::new(ErrorKind::Config, "there is a checkpoint with this token already"), &name)
                .help("take another token: CheckpointToken::random() never gives one twice"));
        }
        self.check_files(manifest)?;
        let unfinished = manifest.token.file(Role::Unfinished);
        self.write_unfinished(&unfinished, &bytes)
            .and_then(|()| self.directory.rename(&unfinished, &name))
            // A sync that failed proves nothing when it is repeated, so the checkpoint is given up. If the name is there
            // after a crash all the same, it names a whole checkpoint: everything else was durable before.
            .and_then(|()| self.directory.sync())
            .inspect_err(|_| {
                // If this fails as well, what is left is swept or replaced later.
                for left in [&name, &unfinished] {
                    let _ = self.directory.remove(left);
                }
            })
    }

    fn write_unfinished(&self, name: &str, bytes: &[u8]) -> Result<()> {
        // What an earlier attempt left is not written over: after a failed sync nobody knows what of it is durable.
        self.directory.remove(name)?;
        let file = self.directory.create(name)?;
        file.write_at(0, bytes)?;
        file.sync()?;
        drop(file);
        let read = self.read_manifest_file(name)?;
        if read != bytes {
            let offset = read.iter().zip(bytes).take_while(|(read, written)| read == written).count();
            let error = Error::new(ErrorKind::Corrupt, "a manifest was read back other than it was written");
            return Err(self
                .about(error, name)
                .with("offset", offset)
                .help("check the disk: it does not keep what it is given"));
        }
        self.directory.sync()
    }

    /// Everything in the directory that concerns checkpoints.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the directory cannot be listed. A manifest that cannot be read is in the result.
    pub fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        let mut others = Vec::new();
        for name in self.directory.names()? {
            match FileName::parse(&name) {
                Some(FileName { token, role: Role::Manifest }) => match self.load(token) {
                    Ok(manifest) => listing.checkpoints.push(manifest),
                    // It was removed since the directory was listed.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => listing.broken.push(Broken { file: name, token: Some(token), error }),
                },
                Some(_) => others.push(name),
                None if FileName::claims_to_be_a_manifest(&name) => {
                    let error = Error::new(ErrorKind::Corrupt, "the name of a manifest does not begin with its token");
                    let error = self.about(error, &name).with("offset", 0).help("give the file its name back");
                    listing.broken.push(Broken { file: name, token: None, error });
                }
                None => {}
            }
        }
        listing.checkpoints.sort_by_key(|manifest| (manifest.version, manifest.created, manifest.token));
        listing.broken.sort_by(|one, other| one.file.cmp(&other.file));
        let claimed = listing.claimed();
        listing.unclaimed = others.into_iter().filter(|name| !claimed.contains(name)).collect();
        listing.unclaimed.sort();
        Ok(listing)
    }

    /// The manifest of one checkpoint, checked in full.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none; [`ErrorKind::Corrupt`] or [`ErrorKind::Unsupported`], with file and offset,
    /// if it cannot be used; [`ErrorKind::Io`].
    pub fn load(&self, token: CheckpointToken) -> Result<Manifest> {
        let name = token.manifest_file();
        let bytes = self.read_manifest_file(&name)?;
        let manifest = Manifest::from_bytes(&bytes).map_err(|error| self.about(error, &name))?;
        if manifest.token != token {
            return Err(self
                .about(Error::new(ErrorKind::Corrupt, "a manifest has the name of another checkpoint's"), &name)
                .with("offset", 0)
                .with("token", manifest.token)
                .help("give the file its name back: the token in it, and `.manifest`"));
        }
        Ok(manifest)
    }

    /// Whether the files that a manifest names are there and have the right length. Their contents are not looked at.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Corrupt`], with the file; [`ErrorKind::Io`].
    pub fn check_files(&self, manifest: &Manifest) -> Result<()> {
        self.check_log_files(manifest)?;
        manifest.index.as_ref().map_or(Ok(()), |index| self.check_length(&index.file, index.bytes))
    }

    pub(super) fn check_log_files(&self, manifest: &Manifest) -> Result<()> {
        let Some(map) = BlockMap::new(manifest.schema.page_bits) else { return Ok(()) };
        let pieces = manifest.log.iter().flat_map(|log| &log.pieces);
        for (file, piece) in pieces.filter_map(|piece| Some((piece.file.as_ref()?, piece))) {
            self.check_length(file, map.blocks_between(piece.from, piece.to) * BLOCK_SIZE as u64)?;
        }
        Ok(())
    }

    pub(super) fn check_length(&self, name: &str, expected: u64) -> Result<()> {
        let length = self.directory.open(name).and_then(|file| file.len());
        let length = length.map_err(|error| self.about(error, name).help("restore the file from a copy"))?;
        if length == expected {
            return Ok(());
        }
        Err(self
            .about(Error::new(ErrorKind::Corrupt, "a file of a checkpoint has the wrong length"), name)
            .with("offset", length.min(expected))
            .with("bytes", length)
            .with("bytes expected", expected)
            .help("restore the file from a copy"))
    }

    /// The error with the file it is about, and where that is.
    pub(super) fn about(&self, error: Error, name: &str) -> Error {
        let error = if error.field("file").is_none() { error.with("file", name) } else { error };
        if error.field("directory").is_none() { error.with("directory", self.directory.place()) } else { error }
    }

    fn exists(&self, name: &str) -> Result<bool> {
        match self.directory.open(name) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read_manifest_file(&self, name: &str) -> Result<Vec<u8>> {
        let read = || {
            let file = self.directory.open(name)?;
            let length = file.len()?;
            if length > Manifest::SIZE_MAX {
                return Err(Error::new(ErrorKind::Corrupt, "a manifest is longer than any")
                    .with("offset", Manifest::SIZE_MAX)
                    .with("bytes", length));
            }
            read_all(&*file, length as usize)
        };
        read().map_err(|error| self.about(error, name))
    }
}

fn read_all(file: &dyn DirectoryFile, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

impl std::fmt::Debug for Catalog<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("directory", &self.directory.place()).finish()
    }
}
