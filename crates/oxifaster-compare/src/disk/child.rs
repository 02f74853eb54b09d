//! An engine's process, seen from the run.

use super::cgroup::Cgroup;
use super::protocol::{Answer, Order};
use crate::failure::{Failure, Result};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// What a process is started with.
pub(super) struct Place<'a> {
    pub(super) engine: &'a str,
    pub(super) directory: &'a Path,
    pub(super) keys: u64,
    pub(super) memory: u64,
    pub(super) batch: usize,
    pub(super) in_cgroup: bool,
}

/// A process that is stopped whenever nothing is asked of it.
pub(super) struct Engine {
    process: Child,
    lines: Receiver<String>,
    cgroup: Option<Cgroup>,
}

/// Memory that each process gets beside its engine's: its program, its stacks, and what the measurement keeps.
pub(super) const BESIDE: u64 = 32 << 20;

impl Engine {
    pub(super) fn start(place: &Place<'_>) -> Result<Self> {
        let cgroup = if place.in_cgroup {
            let made = Cgroup::new(place.engine, place.memory + BESIDE);
            Some(made.map_err(Failure::of("making a memory cgroup (needs root; --no-cgroup does without)"))?)
        } else {
            None
        };
        let mut process = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg(place.engine)
            .args(["--dir".as_ref(), place.directory.as_os_str()])
            .args(["--keys", &place.keys.to_string(), "--memory", &place.memory.to_string()])
            .args(["--batch", &place.batch.to_string()])
            // Memory that the C library keeps for threads that have ended would count against the engine.
            .env("MALLOC_ARENA_MAX", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let Some(out) = process.stdout.take() else { return Err(Failure::new("it has no standard output")) };
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(std::result::Result::ok) {
                // Whoever does not listen any more has given up on the process.
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let engine = Self { process, lines, cgroup };
        // It has taken next to nothing yet: it waits for its first order.
        if let Some(cgroup) = &engine.cgroup {
            cgroup.add(engine.process.id())?;
        }
        Ok(engine)
    }

    /// Gives an order and waits for its answer.
    pub(super) fn ask(&mut self, order: &Order, limit: Duration) -> Result<Answer> {
        self.signal("-CONT")?;
        let text = serde_json::to_string(order).map_err(Failure::of("writing an order"))?;
        let Some(input) = &mut self.process.stdin else { return Err(Failure::new("it has no standard input")) };
        // A process that has ended cannot take the order; how it ended says more than that.
        let given = writeln!(input, "{text}").and_then(|()| input.flush());
        let answer = match self.lines.recv_timeout(limit) {
            Ok(line) => serde_json::from_str(&line).map_err(Failure::of("reading an answer"))?,
            Err(RecvTimeoutError::Timeout) => {
                self.process.kill()?;
                return Err(Failure::new(format!("did not answer within {} s and was ended", limit.as_secs())));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.process.wait()?;
                let why = if given.is_err() { "had ended" } else { "ended" };
                return Err(Failure::new(format!("the process {why} with {status} (signal 9 is the memory bound)")));
            }
        };
        self.signal("-STOP")?;
        match answer {
            Answer::Failed(what) => Err(Failure::new(what)),
            answer => Ok(answer),
        }
    }

    /// The most memory it took, its page cache included, where that is known.
    pub(super) fn peak(&self) -> Option<u64> {
        self.cgroup.as_ref()?.peak()
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let sent =
            Command::new("kill").args([signal, &self.process.id().to_string()]).stderr(Stdio::null()).status()?;
        // A process that has ended is noticed when it does not answer.
        let _ = sent;
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended by itself; it is waited for before its cgroup goes.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
