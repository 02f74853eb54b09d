//! Tests that need a process of their own, because they measure or spoil it.

use std::process::Command;

/// Set in a process in which a test runs alone.
const ALONE: &str = "OXIFASTER_TEST_ALONE";

/// Runs the test called `name` again in a process of its own, with these environment variables; true in that process.
pub(super) fn alone(name: &str, settings: &[(&str, &str)]) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ALONE, "1");
    let output = command.envs(settings.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}
