//! `oxifaster get`, `put` and `del`: one key of a store that `oxifaster::Store` keeps in a directory.
//!
//! ```text
//! words, files, pipes -> form -> bytes -> store of any key and value length -> bytes -> form -> words, files, pipes
//! ```
//!
//! 1. Lengths are all that a directory says of its types ([`open`]): keys and values are bytes here. Those that all have 1, 2, 4 or 8 bytes
//!    are written as numbers, as `oxifaster scan` does.
//! 2. What is read is read before the store is opened, and what is written is written when it is closed: so the two ends of a
//!    pipe may work on the same store.
//! 3. Whether a key was there is the exit code; what went wrong is never told by the same one.

mod form;
mod keys;
mod open;
mod options;

use crate::failure::Failure;
pub(crate) use form::{bytes_of, is_number, number_of};
pub(crate) use open::{AnyStore, Missing, Shape, open, parts};
pub(crate) use options::{DEL_HELP, GET_HELP, PUT_HELP};
pub(crate) use options::{DelOptions, GetOptions, PutOptions};

/// Exit code of `get` and `del` if the key was not there.
const NOT_FOUND: u8 = 1;
/// Exit code if the store failed, since 1 is taken.
const FAILED: u8 = 3;

/// `oxifaster get`.
pub(crate) fn get(options: &GetOptions) -> Result<u8, Failure> {
    told_apart(keys::get(options))
}

/// `oxifaster put`.
pub(crate) fn put(options: &PutOptions) -> Result<u8, Failure> {
    told_apart(keys::put(options))
}

/// `oxifaster del`.
pub(crate) fn del(options: &DelOptions) -> Result<u8, Failure> {
    told_apart(keys::del(options))
}

/// A failure of the store is not to be taken for a key that is not there.
fn told_apart(outcome: Result<u8, Failure>) -> Result<u8, Failure> {
    match outcome {
        Err(failure) if failure.exit_code() == NOT_FOUND => {
            eprintln!("error: {failure}");
            Ok(FAILED)
        }
        other => other,
    }
}
