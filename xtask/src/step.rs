//! One step of the gate: what is run, how it is announced, and how a person repeats it alone.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Why the gate is red: one line that names the step.
pub(crate) type Outcome = Result<(), String>;

/// The root of the workspace: every command runs there, wherever `cargo x` was called.
pub(crate) fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map(PathBuf::from).unwrap_or(own)
}

/// A command line that can be run and shown.
pub(crate) struct Invocation {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Invocation {
    pub(crate) fn new(program: &str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        Self { program: program.to_string(), arguments, environment: Vec::new() }
    }

    pub(crate) fn cargo(arguments: &[&str]) -> Self {
        Self::new("cargo", arguments)
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.environment.push((name, value.to_string()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(root());
        command
    }

    /// What the command prints, if it can be run and succeeds.
    pub(crate) fn output(&self) -> Option<String> {
        let output = self.command().stderr(Stdio::null()).stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn run(&self) -> Outcome {
        match self.command().status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{status}")),
            Err(error) => Err(format!("cannot run `{}`: {error}", self.program)),
        }
    }

    /// Like `run`, but a command that has not ended after `limit` is stopped and fails.
    fn run_within(&self, limit: Duration) -> Outcome {
        let mut child = self.command().spawn().map_err(|error| format!("cannot run `{}`: {error}", self.program))?;
        let deadline = Instant::now() + limit;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("{status}")),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                Ok(None) => {
                    // A child that has just ended cannot be killed; either way it is gone and reaped afterwards.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("not finished after {} s", limit.as_secs()));
                }
                Err(error) => return Err(format!("cannot wait for `{}`: {error}", self.program)),
            }
        }
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(f, "{name}={} ", quoted(value))?;
        }
        write!(f, "{}", self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", quoted(argument)))
    }
}

fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("\"{word}\"") } else { word.to_string() }
}

/// Announces a step, runs it and says how long it took.
pub(crate) fn run(name: &str, invocation: &Invocation) -> Outcome {
    step(name, &invocation.to_string(), || invocation.run())
}

/// Like [`run`], with a bound on the time.
pub(crate) fn run_within(name: &str, invocation: &Invocation, repeat: &str, limit: Duration) -> Outcome {
    step(name, repeat, || invocation.run_within(limit))
}

/// Like [`run`], but silent at the end, so that the last thing on the screen is the command's own summary.
pub(crate) fn run_last(name: &str, invocation: &Invocation) -> Outcome {
    announce(name, &invocation.to_string());
    invocation.run().map_err(|reason| failure(name, &invocation.to_string(), &reason))
}

/// A step that is a piece of this program.
pub(crate) fn step(name: &str, repeat: &str, work: impl FnOnce() -> Outcome) -> Outcome {
    announce(name, repeat);
    let started = Instant::now();
    work().map_err(|reason| failure(name, repeat, &reason))?;
    eprintln!("    ok: {name} ({:.1} s)", started.elapsed().as_secs_f64());
    Ok(())
}

/// Says that a step is not done, and why: a gate that leaves something out must not look complete.
pub(crate) fn skip(name: &str, reason: &str) {
    eprintln!("\n==> {name}\n    skipped: {reason}");
}

fn announce(name: &str, repeat: &str) {
    eprintln!("\n==> {name}\n    {repeat}");
}

fn failure(name: &str, repeat: &str, reason: &str) -> String {
    format!("step `{name}` failed: {reason}\n         to repeat it alone: {repeat}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_is_shown_as_one_would_type_it() {
        let invocation = Invocation::cargo(&["test", "--lib"]).env("RUSTFLAGS", "--cfg oxifaster_loom");
        assert_eq!(invocation.to_string(), "RUSTFLAGS=\"--cfg oxifaster_loom\" cargo test --lib");
    }

    #[test]
    fn a_failing_step_names_itself_and_how_to_repeat_it() {
        let outcome = step("tidy", "cargo x tidy", || Err("2 findings".to_string()));
        let message = outcome.unwrap_err();
        assert!(message.contains("step `tidy` failed: 2 findings"), "{message}");
        assert!(message.contains("cargo x tidy"), "{message}");
    }

    #[test]
    #[cfg(unix)]
    fn a_command_that_fails_or_is_missing_is_a_failed_step() {
        assert!(run("fine", &Invocation::new("true", &[])).is_ok());
        assert!(run("failing", &Invocation::new("false", &[])).is_err());
        assert!(run("missing", &Invocation::new("no-such-program-here", &[])).is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_command_that_never_ends_is_stopped() {
        let endless = Invocation::new("sleep", &["1000"]);
        let message = run_within("endless", &endless, "sleep 1000", Duration::from_millis(50)).unwrap_err();
        assert!(message.contains("not finished"), "{message}");
    }
}
