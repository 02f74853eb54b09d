//! Checkpoints that are damaged, cut short, removed and verified.

mod choices;
mod crash_directory;
mod crashes;
mod damage;
mod large;
mod retention;
pub(super) mod sample;
