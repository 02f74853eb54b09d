//! Directories whose names are there after a crash.

use std::fs;
use std::io;
use std::path::Path;

/// Makes the directory at `path` and its missing ancestors, one in the other, and has `sync` make the names durable in each directory that
/// got a new one.
///
/// So of what an attempt left that came to nothing, or was cut short, the name of the last one at most is not durable: that of the lowest
/// directory that is there, which is therefore made so first.
pub(crate) fn make_directory(path: &Path, mut sync: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    if missing.is_empty() && !path.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let there = path.ancestors().nth(missing.len()).filter(|there| there.file_name().is_some());
    match there.map_or(Ok(()), |there| sync(parent(there))) {
        Err(error) if !is_ours_to_sync(&error) => {}
        synced => synced?,
    }
    for directory in missing.into_iter().rev() {
        match fs::create_dir(directory) {
            // Somebody else was faster, and its name may not be durable yet.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            made => made?,
        }
        sync(parent(directory))?;
    }
    Ok(())
}

/// False if whoever gets this from a sync of a directory has made nothing in it: he may not look into it, or it is that of another file
/// system, which a directory is mounted into and which knows no such syncs.
fn is_ours_to_sync(error: &io::Error) -> bool {
    let others = [io::ErrorKind::PermissionDenied, io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported];
    !others.contains(&error.kind())
}

/// The directory that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn names_are_synced_from_the_top_down_and_that_of_what_was_there_too() {
        let place = tempfile::tempdir().unwrap();
        let path = |names: &str| place.path().join(names);
        let make = |names: &str, fails_at: usize| {
            let mut synced: Vec<PathBuf> = Vec::new();
            let made = make_directory(&path(names), |directory| {
                synced.push(directory.to_path_buf());
                if synced.len() == fails_at { Err(io::Error::other("test")) } else { Ok(()) }
            });
            (made.is_ok(), synced)
        };
        let above = place.path().parent().unwrap().to_path_buf();
        let to = |count: usize| [above.clone(), path(""), path("a"), path("a/b")][..count].to_vec();
        assert_eq!(make("a/b/c", 3), (false, to(3)), "b was made, and its name is not durable");
        assert!(path("a/b").is_dir() && !path("a/b/c").exists());
        assert_eq!(make("a/b/c", 0), (true, vec![path("a"), path("a/b")]), "it is now");
        assert_eq!(make("a/b/c", 0), (true, vec![path("a/b")]));
        assert_eq!(make("a/b/c", 1), (false, vec![path("a/b")]), "who opens it is told");
    }

    #[test]
    fn what_is_in_the_way_is_told() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, b"x").unwrap();
        assert!(make_directory(&file.join("directory"), |_| Ok(())).is_err());
        assert_eq!(make_directory(&file, |_| Ok(())).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(parent(Path::new("relative")), Path::new("."));
        make_directory(Path::new("."), |_| Err(io::Error::other("nothing to be made durable"))).unwrap();
        for others in [io::ErrorKind::PermissionDenied, io::ErrorKind::InvalidInput] {
            make_directory(place.path(), |_| Err(others.into())).unwrap();
            assert!(
                make_directory(&place.path().join("new"), |at| if at == place.path() {
                    Err(others.into())
                } else {
                    Ok(())
                })
                .is_err()
            );
            fs::remove_dir(place.path().join("new")).unwrap();
        }
    }
}
