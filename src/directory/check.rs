//! What a directory refuses before it touches anything: what is no name, and what lies beyond the end of every file.

use crate::error::{Error, ErrorKind, Result};

/// Room for a suffix remains on every file system.
const NAME_LEN_MAX: usize = 128;
/// No file ends later: file offsets are signed.
const OFFSET_MAX: u64 = i64::MAX as u64;

/// Clause D5: is this the name of a file? It consists of 1 to 128 letters, digits, `.`, `-` and `_` (ASCII), and neither
/// begins with `.` or `-` nor ends with `.`: no path, nothing hidden, nothing that some system reads differently.
///
/// # Errors
/// [`ErrorKind::Config`] names what is wrong with it.
pub fn check_name(name: &str) -> Result<()> {
    let wrong = |what| {
        // What is not a name may be anything, and long.
        let shown: String = name.escape_debug().take(NAME_LEN_MAX).collect();
        Err(Error::new(ErrorKind::Config, what).with("name", shown))
    };
    let is_allowed = |next: char| next.is_ascii_alphanumeric() || matches!(next, '.' | '-' | '_');
    if name.is_empty() || name.len() > NAME_LEN_MAX {
        return wrong("the name of a file has 1 to 128 characters");
    }
    if !name.chars().all(is_allowed) {
        return wrong("the name of a file consists of letters, digits, '.', '-' and '_'");
    }
    if name.starts_with(['.', '-']) || name.ends_with('.') {
        return wrong("the name of a file neither begins with '.' or '-' nor ends with '.'");
    }
    Ok(())
}

/// Can a file have `len` bytes at `offset`?
///
/// # Errors
/// [`ErrorKind::Config`] if not.
pub fn check_range(offset: u64, len: usize) -> Result<()> {
    if offset.checked_add(len as u64).is_some_and(|end| end <= OFFSET_MAX) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Config, "an access beyond the largest offset of a file")
        .with("offset", offset)
        .with("length", len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_not_paths() {
        let longest = "x".repeat(NAME_LEN_MAX);
        for name in ["a", "0f.manifest", "0f.manifest.tmp", "_-.x", "A_b-c.9", &longest] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let too_long = "x".repeat(NAME_LEN_MAX + 1);
        let wrong = ["", ".", "..", ".x", "-x", "x.", "a/b", "a\\b", "/a", "c:x", "a b", "a\0", "\u{e4}", &too_long];
        for name in wrong {
            let error = check_name(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{name:?}");
            assert!(error.to_string().len() < 300, "{error}");
        }
    }

    #[test]
    fn ranges_end_where_files_can() {
        assert!(
            check_range(0, 0).is_ok() && check_range(OFFSET_MAX, 0).is_ok() && check_range(OFFSET_MAX - 5, 5).is_ok()
        );
        assert!(check_range(OFFSET_MAX, 1).is_err() && check_range(u64::MAX, 1).is_err());
    }
}
