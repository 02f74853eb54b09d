//! Which checkpoint, and which image of the index: nobody gets an older one than asked without being told (P4).

use super::CheckpointToken;
use super::catalog::{Broken, Catalog, Listing};
use super::check::same_log;
use super::manifest::{IndexPart, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::utility::planted;

/// The newest usable checkpoint of the log that was asked for, and what stood in the way of a newer one.
#[derive(Debug, Clone)]
#[must_use]
pub struct Selection {
    manifest: Manifest,
    passed_over: Vec<Broken>,
}

impl Selection {
    /// The checkpoint, if it is certain that there is no newer one that was asked for.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if there is one that cannot be used, or may be one: a manifest that cannot be read does not
    /// say how old it is. [`ErrorKind::Unsupported`] or [`ErrorKind::Io`] if that is why it cannot be read. The error names
    /// the file, its cause, and the checkpoint that [`or_older`](Self::or_older) gives.
    pub fn exactly(self) -> Result<Manifest> {
        let Some(broken) = self.passed_over.into_iter().next() else { return Ok(self.manifest) };
        Err(Error::new(broken.kind(), "a newer checkpoint than the newest usable one cannot be used")
            .with("file", broken.file)
            .with("newest usable", self.manifest.token)
            .with("version", self.manifest.version)
            .because(broken.error)
            .help("restore the file from a copy, or name the older checkpoint to go back to it"))
    }

    /// The checkpoint, and every file because of which a newer one was passed over, or may have been.
    pub fn or_older(self) -> (Manifest, Vec<Broken>) {
        (self.manifest, self.passed_over)
    }
}

/// An image of the index, and the checkpoint whose manifest vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexImage {
    /// Whose manifest it is in.
    pub checkpoint: CheckpointToken,
    /// The image.
    pub part: IndexPart,
}

/// The images that a log can be recovered with.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct IndexChoice {
    /// The best one first: the one that leaves the least to replay. Empty if all of the log must be replayed.
    pub images: Vec<IndexImage>,
    /// Images and manifests that cannot be used. What they cost is time, not data.
    pub passed_over: Vec<Broken>,
}

impl Catalog<'_> {
    /// The newest checkpoint of the log.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none; [`ErrorKind::Corrupt`] or [`ErrorKind::Unsupported`] if there are some and
    /// none can be used; [`ErrorKind::Io`].
    pub fn latest(&self) -> Result<Selection> {
        self.select(|_| true, |_| false)
    }

    /// The newest checkpoint of the log with this version or an earlier one.
    ///
    /// # Errors
    /// As for [`latest`](Self::latest).
    pub fn at_version(&self, version: u64) -> Result<Selection> {
        // A version is given once, so the checkpoint that has it is the one.
        self.select(|manifest| manifest.version <= version, |manifest| manifest.version == version)
    }

    /// The newest checkpoint of the log that was begun at this time, in milliseconds since the Unix epoch, or earlier.
    ///
    /// # Errors
    /// As for [`latest`](Self::latest).
    pub fn at_time(&self, milliseconds: u64) -> Result<Selection> {
        self.select(|manifest| manifest.created <= milliseconds, |_| false)
    }

    /// The newest among those `asked` for. None that cannot be read can be newer than one that is `certain`.
    fn select(&self, asked: impl Fn(&Manifest) -> bool, certain: impl Fn(&Manifest) -> bool) -> Result<Selection> {
        let Listing { checkpoints, broken, .. } = self.list()?;
        let mut passed_over = broken;
        for manifest in checkpoints.into_iter().rev().filter(|manifest| manifest.log.is_some() && asked(manifest)) {
            match self.check_log_files(&manifest) {
                Ok(()) => {
                    if certain(&manifest) {
                        passed_over.clear();
                    }
                    return Ok(Selection { manifest, passed_over });
                }
                Err(error) => {
                    passed_over.insert(0, self.broken(&manifest.token.manifest_file(), manifest.token, error))
                }
            }
        }
        Err(self.none(passed_over))
    }

    fn none(&self, passed_over: Vec<Broken>) -> Error {
        let Some(first) = passed_over.into_iter().next() else {
            return Error::new(ErrorKind::NotFound, "there is no such checkpoint")
                .with("directory", self.directory.place())
                .help("look at what is there with `oxifaster checkpoint list`");
        };
        Error::new(first.kind(), "no checkpoint can be used")
            .with("directory", self.directory.place())
            .with("file", first.file)
            .because(first.error)
            .help("restore the files from a copy")
    }

    /// The name of a file that an error is about, or `file` if it does not say.
    fn broken(&self, file: &str, token: CheckpointToken, error: Error) -> Broken {
        let file = error.field("file").unwrap_or(file).to_owned();
        Broken { file, token: Some(token), error }
    }

    /// The images of the index that this checkpoint of the log can be recovered with, from any checkpoint in the
    /// directory. Of their contents nothing is looked at but the length: who finds one damaged takes the next.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if this is no checkpoint of a log; [`ErrorKind::Io`] if the directory cannot be listed.
    pub fn index_for(&self, manifest: &Manifest) -> Result<IndexChoice> {
        self.index_among(&self.list()?, manifest)
    }

    pub(super) fn index_among(&self, listing: &Listing, manifest: &Manifest) -> Result<IndexChoice> {
        let mut choice = IndexChoice { images: Vec::new(), passed_over: listing.broken.clone() };
        for owner in &listing.checkpoints {
            let Some(part) = &owner.index else { continue };
            if owner.token != manifest.token && !fits(owner, part, manifest)? {
                continue;
            }
            match self.check_length(&part.file, part.bytes) {
                Ok(()) => choice.images.push(IndexImage { checkpoint: owner.token, part: part.clone() }),
                Err(error) => choice.passed_over.push(self.broken(&part.file, owner.token, error)),
            }
        }
        // Among equals the checkpoint's own comes first, then the youngest: the older an image, the sooner it may be removed.
        choice.images.reverse();
        choice
            .images
            .sort_by_key(|image| (std::cmp::Reverse(image.part.replay_from), image.checkpoint != manifest.token));
        Ok(choice)
    }
}

/// Whether the image of one checkpoint is of use for the log of another.
fn fits(owner: &Manifest, part: &IndexPart, manifest: &Manifest) -> Result<bool> {
    let Some(log) = &manifest.log else {
        return Err(Error::new(ErrorKind::Config, "a checkpoint of the index has no log to recover")
            .with("checkpoint", manifest.token)
            .help("name a fold-over, snapshot or incremental checkpoint"));
    };
    // Below the start all records belong to the checkpoint's version or an older one, so no entry of an image that was
    // complete there leads to a record that the cut leaves out.
    let is_within = owner.version <= manifest.version && part.complete_at <= log.start;
    Ok(owner.schema == manifest.schema
        && (is_within || planted!(UsesImageBeyondEnd))
        && log.begin <= part.replay_from
        && same_log(&part.generations, &log.generations, log.begin, part.complete_at))
}
