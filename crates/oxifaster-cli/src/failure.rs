//! Why a command could not do its work.

use std::fmt;
use std::path::Path;

/// A failure that ends a command. What a benchmark finds wrong in the data is no failure of the benchmark: it is in its
/// report.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line asks for something that cannot be.
    Usage { what: String, next: String },
    /// What was given to read is not what it should be; the text says where, and what to do.
    Input { what: String },
    /// The store refused or failed.
    Store(oxifaster::Error),
    /// The system refused something outside of the store.
    System { what: String, source: std::io::Error },
}

impl Failure {
    pub(crate) fn usage(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), next: next.into() }
    }

    pub(crate) fn path(what: &str, path: &Path, source: std::io::Error) -> Self {
        Self::System { what: format!("{what} {}", path.display()), source }
    }

    /// What the process exits with: 2 for what the user can mend on the command line, 1 for the rest.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => 2,
            Self::Store(error) if error.kind() == oxifaster::ErrorKind::Config => 2,
            Self::Input { .. } | Self::Store(_) | Self::System { .. } => 1,
        }
    }
}

/// One line: what is wrong, and what to do next.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage { what, next } => write!(f, "{what}; {next}"),
            Self::Input { what } => f.write_str(what),
            Self::Store(error) => write!(f, "{error}"),
            Self::System { what, source } => write!(f, "{what}: {source}"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Usage { .. } | Self::Input { .. } => None,
            Self::Store(error) => Some(error),
            Self::System { source, .. } => Some(source),
        }
    }
}

impl From<oxifaster::Error> for Failure {
    fn from(error: oxifaster::Error) -> Self {
        Self::Store(error)
    }
}
