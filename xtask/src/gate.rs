//! The gate: which steps there are and in which order. Read-only, except for [`fix`].

use crate::metadata::{self, Target, Workspace};
use crate::step::{self, Invocation, Outcome, root};
use crate::tidy;
use std::path::Path;
use std::time::Duration;

/// How often a model may take the processor away from a thread at an arbitrary point. Nearly every known ordering bug
/// needs two; three is what the gate has time for.
pub(crate) const LOOM_PREEMPTIONS: u32 = 3;
/// The gate has no time for more: what three find, a soak does.
const LOOM_PREEMPTIONS_IN_GATE: u32 = 2;

/// An example is a page of code that shows something; one that takes this long is broken.
const EXAMPLE_LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn ci() -> Outcome {
    lint()?;
    test()
}

pub(crate) fn lint() -> Outcome {
    step::run("format", &Invocation::cargo(&["fmt", "--all", "--check"]))?;
    step::run("clippy", &clippy(&[]))?;
    step::run("clippy, all features", &clippy(&["--all-features"]))?;
    tidy()?;
    docs()?;
    msrv()?;
    if_installed("deny", &["deny", "--version"], Invocation::cargo(&["deny", "check"]))?;
    let typos = Invocation::new("typos", &[]);
    match Invocation::new("typos", &["--version"]).output() {
        Some(_) => step::run("typos", &typos),
        None => {
            step::skip("typos", "not installed");
            Ok(())
        }
    }
}

/// Everything a person who has just cloned the project should see pass. The library's unit and integration tests come
/// last, so that the screen ends with their summary.
pub(crate) fn test() -> Outcome {
    step::run("doctests", &Invocation::cargo(&["test", "-p", "oxifaster", "--doc"]))?;
    examples()?;
    loom(LOOM_PREEMPTIONS_IN_GATE)?;
    step::run("tests of the tools", &Invocation::cargo(&["test", "--workspace", "--exclude", "oxifaster"]))?;
    paths()?;
    step::run_last("tests", &Invocation::cargo(&["test", "-p", "oxifaster", "--lib", "--tests"]))
}

pub(crate) fn fix() -> Outcome {
    let mut clippy = vec!["clippy", "--fix", "--allow-dirty", "--allow-staged", "--workspace"];
    clippy.extend(["--all-targets", "--all-features"]);
    step::run("clippy --fix", &Invocation::cargo(&clippy))?;
    step::run("format", &Invocation::cargo(&["fmt", "--all"]))
}

pub(crate) fn tidy() -> Outcome {
    step::step("tidy", "cargo x tidy", || tidy::run(&root(), &metadata::workspace()?))
}

/// Runs every example of the library. They assert their own results, so the exit code is the verdict.
pub(crate) fn examples() -> Outcome {
    let workspace = metadata::workspace()?;
    let examples: Vec<&Target> = workspace.targets.iter().filter(|target| target.is_example).collect();
    if examples.is_empty() {
        step::skip("examples", "there are none yet");
        return Ok(());
    }
    step::run("build of the examples", &Invocation::cargo(&["build", "--workspace", "--examples", "--all-features"]))?;
    examples.into_iter().try_for_each(|example| run_example(&workspace, example))
}

fn run_example(workspace: &Workspace, example: &Target) -> Outcome {
    let mut repeat = format!("cargo run -p {} --example {}", example.package, example.name);
    if !example.required_features.is_empty() {
        repeat.push_str(&format!(" --features {}", example.required_features.join(",")));
    }
    let file_name = format!("{}{}", example.name, std::env::consts::EXE_SUFFIX);
    let program = workspace.target_directory.join("debug").join("examples").join(file_name);
    let invocation = Invocation::new(&program.to_string_lossy(), &[]);
    step::run_within(&format!("example {}", example.name), &invocation, &repeat, EXAMPLE_LIMIT)
}

/// Runs the models: modules named `loom`, compiled with loom's atomics in place of the standard library's. They get a
/// target directory of their own, because the flag would otherwise rebuild everything twice.
pub(crate) fn loom(preemptions: u32) -> Outcome {
    if !holds_a_model(&root().join("src")) {
        step::skip("loom", "there are no models yet");
        return Ok(());
    }
    let arguments = ["test", "-p", "oxifaster", "--release", "--lib", "--target-dir", "target/loom", "loom::"];
    let models =
        Invocation::cargo(&arguments).env("RUSTFLAGS", "--cfg oxifaster_loom").env("LOOM_MAX_PREEMPTIONS", preemptions);
    step::run("loom", &models)
}

/// Plants classic mistakes in the library, one after the other, and has the simulator find each. A target directory of its
/// own, as for the models.
pub(crate) fn mutations() -> Outcome {
    let arguments = [
        "test",
        "-p",
        "oxifaster-sim",
        "--test",
        "mutations",
        "--target-dir",
        "target/mutate",
        "classic_mistakes",
        "--",
        "--nocapture",
    ];
    step::run("mutations", &Invocation::cargo(&arguments).env("RUSTFLAGS", "--cfg oxifaster_mutate"))
}

/// How often real processes of each kind are killed by a soak.
const KILLS: u32 = 200;

/// What takes too long for the gate and finds what it has no time for: models with more preemptions, many killed processes, and new
/// seeds of the simulator.
pub(crate) fn soak(minutes: &str) -> Outcome {
    loom(LOOM_PREEMPTIONS)?;
    let kill = Invocation::cargo(&["test", "-p", "oxifaster", "--release", "--test", "kill"]);
    step::run("killed processes", &kill.env("OXIFASTER_KILL_ROUNDS", KILLS))?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let simulator = ["run", "--release", "-p", "oxifaster-sim", "--", "soak", "--minutes", minutes, "--jobs", &jobs];
    step::run("new seeds of the simulator", &Invocation::cargo(&simulator))
}

/// Ways through the library that this processor and kernel would not take by themselves, by the environment variables that
/// choose them. A level that the processor does not have is the best below it, so each can be asked for everywhere.
const PATHS: [(&str, &[(&str, &str)]); 2] = [
    ("tests, without vectors and rings", &[("OXIFASTER_TAG_MATCH", "portable"), ("OXIFASTER_IO_URING", "0")]),
    ("tests, with short vectors", &[("OXIFASTER_TAG_MATCH", "sse4.1")]),
];

/// The tests of what operations do, alone and at the same time, on every path.
pub(crate) fn paths() -> Outcome {
    let arguments = ["test", "-p", "oxifaster", "--test", "it", "--", "model::", "concurrency::"];
    PATHS.into_iter().try_for_each(|(name, settings)| {
        let on_path = settings.iter().fold(Invocation::cargo(&arguments), |run, (name, value)| run.env(name, value));
        step::run(name, &on_path)
    })
}

fn holds_a_model(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() { holds_a_model(&path) } else { entry.file_name() == "loom.rs" }
    })
}

fn clippy(features: &[&str]) -> Invocation {
    let mut arguments = vec!["clippy", "--workspace", "--all-targets"];
    arguments.extend(features);
    arguments.extend(["--", "-D", "warnings"]);
    Invocation::cargo(&arguments)
}

/// The public documentation, then once more with the private items: half of the design is written down beside them, and
/// its links can break as well.
fn docs() -> Outcome {
    let public = ["doc", "--no-deps", "-p", "oxifaster", "--all-features"];
    let private = [public.as_slice(), &["--document-private-items"]].concat();
    step::run("docs, private items", &Invocation::cargo(&private).env("RUSTDOCFLAGS", "-D warnings"))?;
    step::run("docs", &Invocation::cargo(&public).env("RUSTDOCFLAGS", "-D warnings"))
}

/// The stated minimal compiler. Clippy's `incompatible_msrv` has already looked at every call of the standard library;
/// the compiler itself is asked where it is at hand.
fn msrv() -> Outcome {
    let Some(version) = metadata::workspace()?.rust_version else {
        return Err("step `msrv` failed: the library states no rust-version".to_string());
    };
    let installed = Invocation::new("rustup", &["toolchain", "list"]).output().unwrap_or_default();
    let Some(toolchain) = toolchain_of(&installed, &version) else {
        step::skip("msrv", &format!("Rust {version} is not installed; clippy's incompatible_msrv was the check"));
        return Ok(());
    };
    let check =
        ["run", toolchain, "cargo", "check", "-p", "oxifaster", "--all-features", "--target-dir", "target/msrv"];
    step::run("msrv", &Invocation::new("rustup", &check))
}

/// The installed toolchain whose version is `version` or a patch release of it.
fn toolchain_of<'a>(installed: &'a str, version: &str) -> Option<&'a str> {
    installed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .find(|name| name.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-'])))
}

fn if_installed(name: &str, probe: &[&str], invocation: Invocation) -> Outcome {
    match Invocation::cargo(probe).output() {
        Some(_) => step::run(name, &invocation),
        None => {
            step::skip(name, "not installed");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_is_found_by_its_version_and_not_by_a_longer_one() {
        let installed = "stable-x86_64 (default)\n1.880.0-x86_64\n1.88.0-x86_64-unknown-linux-gnu (active)\n";
        assert_eq!(toolchain_of(installed, "1.88"), Some("1.88.0-x86_64-unknown-linux-gnu"));
        assert_eq!(toolchain_of("stable-x86_64\n", "1.88"), None);
    }
}
