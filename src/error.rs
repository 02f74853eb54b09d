//! What went wrong, where, and what to do about it.

use std::fmt;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of a failure: what a program matches on. The text is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A configuration value makes no sense; the error names the field, the value and the accepted range.
    Config,
    /// The operating system refused a file operation.
    Io,
    /// Bytes read back are not the bytes that were written; the error says where.
    Corrupt,
    /// A bound was reached: memory on a device that keeps nothing, a record larger than a page.
    Limit,
    /// A bounded wait ran out because something else held on.
    Busy,
    /// The device failed, and what depends on it cannot be done until it works again.
    DeviceFailed,
    /// The store was closed.
    Closed,
    /// What was asked for by name is not there.
    NotFound,
    /// Somebody asked for it to be given up.
    Cancelled,
    /// Intact, but written in a format that this version does not know.
    Unsupported,
    /// A value that is larger than a page was asked for as a whole; it is read piece by piece.
    LargeValue,
}

impl ErrorKind {
    /// The word that begins the message.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "invalid configuration",
            Self::Io => "input/output error",
            Self::Corrupt => "corrupt data",
            Self::Limit => "limit reached",
            Self::Busy => "busy",
            Self::DeviceFailed => "device failed",
            Self::Closed => "closed",
            Self::NotFound => "not found",
            Self::Cancelled => "cancelled",
            Self::Unsupported => "unsupported format",
            Self::LargeValue => "large value",
        }
    }
}

type Source = std::sync::Arc<dyn std::error::Error + Send + Sync + 'static>;

#[derive(Clone)]
struct Details {
    kind: ErrorKind,
    what: &'static str,
    fields: Vec<(&'static str, String)>,
    help: Option<&'static str>,
    source: Option<Source>,
}

/// A failure with its kind, what was being done, the values that matter, and the next step.
///
/// One pointer wide, so that a successful result costs nothing extra. Cloning shares the cause: one failed write can be
/// reported to every caller that depended on it.
#[derive(Clone)]
pub struct Error(Box<Details>);

impl Error {
    /// A failure of `kind` while doing `what`.
    #[cold]
    pub fn new(kind: ErrorKind, what: &'static str) -> Self {
        Self(Box::new(Details { kind, what, fields: Vec::new(), help: None, source: None }))
    }

    /// Adds a named value to the message.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.fields.push((name, value.to_string()));
        self
    }

    /// Says what the reader can do about it.
    #[must_use]
    pub fn help(mut self, next_step: &'static str) -> Self {
        self.0.help = Some(next_step);
        self
    }

    /// Names the failure that caused this one.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Source::from(Box::new(source) as Box<dyn std::error::Error + Send + Sync>));
        self
    }

    /// What a program matches on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done.
    pub fn what(&self) -> &'static str {
        self.0.what
    }

    /// The value of a named field of the message, if it has one.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.0.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// One line: kind, what, the fields, the cause, the next step.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.name(), self.0.what)?;
        for (index, (name, value)) in self.0.fields.iter().enumerate() {
            write!(f, "{}{name}: {value}", if index == 0 { " (" } else { ", " })?;
        }
        if !self.0.fields.is_empty() {
            f.write_str(")")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        if let Some(help) = self.0.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Config => std::io::ErrorKind::InvalidInput,
            ErrorKind::Corrupt => std::io::ErrorKind::InvalidData,
            ErrorKind::Busy => std::io::ErrorKind::TimedOut,
            ErrorKind::Closed => std::io::ErrorKind::NotConnected,
            ErrorKind::NotFound => std::io::ErrorKind::NotFound,
            ErrorKind::Cancelled => std::io::ErrorKind::Interrupted,
            ErrorKind::Unsupported | ErrorKind::LargeValue => std::io::ErrorKind::Unsupported,
            ErrorKind::Io | ErrorKind::Limit | ErrorKind::DeviceFailed => error
                .0
                .source
                .as_ref()
                .and_then(|source| source.downcast_ref::<std::io::Error>())
                .map_or(std::io::ErrorKind::Other, std::io::Error::kind),
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_where_why_and_what_next() {
        let cause = std::io::Error::new(std::io::ErrorKind::StorageFull, "no space");
        let error = Error::new(ErrorKind::Io, "writing a log page")
            .with("file", "/data/log.0")
            .with("offset", 4096)
            .because(cause)
            .help("free some space and call again");
        let line = "input/output error: writing a log page (file: /data/log.0, offset: 4096): no space; \
                    free some space and call again";
        assert_eq!(error.to_string(), line);
        assert_eq!(error.field("offset"), Some("4096"));
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::StorageFull);
    }

    #[test]
    fn an_error_is_one_pointer_wide_and_free_on_success() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
