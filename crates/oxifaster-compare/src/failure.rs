//! What went wrong, in words.

use std::any::Any;
use std::fmt;

/// Something that stopped a run or an engine.
#[derive(Debug, Clone)]
pub(crate) struct Failure(String);

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// Wraps an error with what was being done.
    pub(crate) fn of<E: fmt::Display>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |error| Self(format!("{doing}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<oxifaster::Error> for Failure {
    fn from(error: oxifaster::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// What a thread returned, or what it panicked with.
pub(crate) fn joined<T>(joined: std::result::Result<T, Box<dyn Any + Send>>) -> Result<T> {
    joined.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Failure(format!("panicked: {}", text.unwrap_or("without a word")))
    })
}
