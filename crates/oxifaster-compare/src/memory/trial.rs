//! A trial in a process of its own, for an engine that may crash or never return.

use super::check::{self, Losses};
use super::roster;
use crate::failure::{Failure, Result};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Loads the engine and checks it, in this process; prints what it found for [`of`] to read.
pub(crate) fn run(name: &str, keys: u64, threads: usize) -> Result<()> {
    let mut engine = roster::engine(name, keys)?;
    engine.load(keys, threads)?;
    let losses = check::losses(&*engine, keys, threads)?;
    println!("{}", serde_json::to_string(&losses).map_err(Failure::of("writing the outcome"))?);
    Ok(())
}

/// Has another process run the trial, and ends it when the time is up.
pub(crate) fn of(name: &str, keys: u64, threads: usize, limit: Duration) -> Result<Losses> {
    let program = std::env::current_exe()?;
    let mut child = Command::new(program)
        .args(["trial", name, &keys.to_string(), &threads.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Err(Failure::new(format!("did not come back within {} s", limit.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("without a word");
        return Err(Failure::new(format!("ended with {}: {last}", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(Failure::of("reading the outcome"))
}
