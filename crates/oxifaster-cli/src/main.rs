//! The oxifaster command.
#![forbid(unsafe_code)]

fn main() {}
