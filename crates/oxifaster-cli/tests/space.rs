//! `oxifaster space`: small runs of every measurement, in which no value may be wrong.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test panics when it fails")]

use std::process::Command;

/// What a measurement prints.
fn space(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxifaster"));
    let output = command.arg("space").args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn assert_no_value_is_wrong(report: &str) {
    let wrong = report.lines().find_map(|line| line.strip_prefix("wrong values")).unwrap();
    assert_eq!(wrong.trim(), "0", "{report}");
}

#[test]
fn what_was_overwritten_and_deleted_under_compaction_is_right() {
    for order in ["sequential", "random"] {
        let report = space(&[
            "overwrite",
            "--data",
            "4MiB",
            "--memory",
            "2MiB",
            "--rounds",
            "3",
            "--rounds-without",
            "1",
            "--give-back-within",
            "1",
            "--order",
            order,
        ]);
        assert_no_value_is_wrong(&report);
        assert!(report.contains("times the data"), "{report}");
    }
}

#[test]
fn what_was_inserted_while_the_index_grew_is_right() {
    for batch in ["1", "64"] {
        let report = space(&["growth", "--keys", "200k", "--from-bits", "4", "--to-bits", "15", "--batch", batch]);
        assert_no_value_is_wrong(&report);
        assert!(report.contains("2^4 buckets to 2^15"), "{report}");
    }
}

#[test]
fn rates_have_the_raw_rate_beside_them() {
    let report = space(&["rates", "--data", "8MiB", "--repetitions", "1", "--value-size", "1000"]);
    for line in ["raw reads of the disk", "scan of the log, from disk", "compaction, all in memory"] {
        assert!(report.contains(line), "{report}");
    }
}

#[test]
fn a_size_that_there_is_not_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxifaster"));
    let output = command.args(["space", "rates", "--value-size", "9"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("choose 104 or 1000"));
}
