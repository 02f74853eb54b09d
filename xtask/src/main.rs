//! The project's own tooling: `cargo x ci`, `cargo x tidy`.
#![forbid(unsafe_code)]

fn main() {}
