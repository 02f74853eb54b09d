//! `oxifaster bench` as a user runs it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its expectation does")]
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn oxifaster(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxifaster"));
    command.args(arguments.split_whitespace());
    command
}

/// A run of a fraction of a second whose temporary directory lies in `parent`.
fn small(arguments: &str, parent: &Path) -> Output {
    let shared = "bench --records 20k --memory 32MiB --seconds 0.1 --threads 2";
    oxifaster(shared).args(arguments.split_whitespace()).env("TMPDIR", parent).output().unwrap()
}

fn document(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}\n{}", stderr(output)))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn every_workload_runs_and_is_verified_and_the_temporary_directory_goes() {
    let parent = tempfile::tempdir().unwrap();
    let output = small("--json", parent.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
    let document = document(&output);
    let names: Vec<String> = document["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| format!("{} {}", run["workload"].as_str().unwrap(), run["distribution"].as_str().unwrap()))
        .collect();
    let expected = [
        "A zipfian",
        "A uniform",
        "B zipfian",
        "B uniform",
        "C zipfian",
        "C uniform",
        "D latest",
        "F zipfian",
        "F uniform",
    ];
    assert_eq!(names, expected);
    for run in document["runs"].as_array().unwrap() {
        assert!(run["operations_per_second"].as_f64().unwrap() > 0.0, "{run}");
        let latency = &run["latency_ns"];
        let quantiles = ["p50", "p99", "p99_9", "max"].map(|name| latency[name].as_u64().unwrap());
        assert!(quantiles[0] > 0 && quantiles.is_sorted(), "{run}");
        assert!((0.0..=1.0).contains(&run["served_from_memory"].as_f64().unwrap()), "{run}");
    }
    assert_eq!(document["load"]["records"], 20_000);
    let verification = &document["verification"];
    assert_eq!((&verification["complete"], &verification["faults"]), (&Value::from(true), &Value::from(0)));
    assert!(verification["keys_read"].as_u64().unwrap() > 20_000, "workload D inserts keys: {verification}");
    assert!(verification["exact_versions_checked"].as_u64().unwrap() > 1_000, "{verification}");
    assert_eq!(document["interrupted"], false);
    assert!(is_empty(parent.path()), "the temporary directory is still there");
}

#[test]
fn without_json_a_table_and_the_memory_are_printed() {
    let parent = tempfile::tempdir().unwrap();
    let output = small("--workload B --distribution zipfian", parent.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for part in ["B: 95% read, 5% update", "zipfian", "p99.9", "load      20,000 records", "memory ", "nothing wrong"] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn blocking_calls_and_every_version_followed_are_verified_too() {
    let parent = tempfile::tempdir().unwrap();
    let output = small("--json --depth 1 --verify every --workload A,F --distribution uniform", parent.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let verification = &document(&output)["verification"];
    assert_eq!(verification["followed_keys"], 20_000);
    assert_eq!(verification["values_checked"], verification["exact_versions_checked"]);
}

#[test]
fn every_value_size_loads_and_verifies() {
    let parent = tempfile::tempdir().unwrap();
    for size in [8, 16, 24, 32, 64, 100, 128, 256, 512, 1024, 2048, 4096] {
        let arguments =
            format!("bench --json --workload load --records 2k --memory 32MiB --threads 2 --value-size {size}");
        let output = oxifaster(&arguments).env("TMPDIR", parent.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{size} bytes: {}", stderr(&output));
        let document = document(&output);
        assert_eq!(document["load"]["data_bytes"], 2_000 * (8 + size), "{size} bytes");
        assert_eq!(document["verification"]["complete"], true, "{size} bytes");
    }
}

#[test]
fn values_of_any_length_load_run_and_verify() {
    let parent = tempfile::tempdir().unwrap();
    for (sizes, mean) in [
        ("uniform:16..1015", 500..=530),
        ("zipf:16..3000", 200..=600),
        ("lognormal:100,1", 140..=190),
        ("300", 300..=300),
    ] {
        let output = small(&format!("--json --workload A,D,F --value-size {sizes}"), parent.path());
        assert_eq!(output.status.code(), Some(0), "{sizes}: {}", stderr(&output));
        let document = document(&output);
        let options = &document["options"];
        assert!(options["value_sizes"].as_str().unwrap().contains(sizes), "{options}");
        let bytes = document["load"]["data_bytes"].as_u64().unwrap() / 20_000 - 8;
        assert!(mean.contains(&bytes) && mean.contains(&options["value_bytes"].as_u64().unwrap()), "{sizes}: {bytes}");
        let verification = &document["verification"];
        assert_eq!((&verification["complete"], &verification["faults"]), (&true.into(), &0.into()), "{verification}");
    }
}

#[test]
fn space_is_used_again_if_that_is_asked_for() {
    let parent = tempfile::tempdir().unwrap();
    let load = "--json --workload A --value-size uniform:16..1015";
    assert!(document(&small(load, parent.path()))["revivification"].is_null());
    let output = small(&format!("{load} --revivification"), parent.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document = document(&output);
    let space = &document["revivification"];
    let [freed, reused, dropped, free] =
        ["freed", "reused", "dropped", "free"].map(|name| space[name].as_u64().unwrap());
    assert!(reused > 0 && reused + dropped + free <= freed, "{space}");
    assert_eq!(document["verification"]["faults"], 0, "{document}");
}

#[test]
fn a_gibibyte_of_data_is_served_from_64_mebibytes_of_memory() {
    let parent = tempfile::tempdir().unwrap();
    let arguments = "bench --json --records 262144 --value-size 4096 --memory 64MiB --seconds 1 --workload A,C";
    let output = oxifaster(arguments).env("TMPDIR", parent.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document = document(&output);
    assert!(document["load"]["data_bytes"].as_u64().unwrap() > 1 << 30);
    assert!(document["disk"]["used_bytes"].as_u64().unwrap() > 1 << 30, "{}", document["disk"]);
    assert_eq!(document["verification"]["complete"], true);
    if cfg!(target_os = "linux") {
        let memory = &document["memory"];
        assert_eq!(memory["within_budget"], true, "{memory}");
        assert!(memory["peak_resident_bytes"].as_u64().unwrap() > 32 << 20, "the budget is used: {memory}");
    }
}

#[test]
fn a_named_directory_is_kept_and_one_with_files_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let named = parent.path().join("new");
    let arguments = format!("--json --workload load --dir {}", named.display());
    let output = small(&arguments, parent.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(named.is_dir());
    std::fs::write(named.join("precious"), "data").unwrap();
    let output = small(&arguments, parent.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("not empty"), "{}", stderr(&output));
}

#[test]
fn the_memory_device_needs_no_directory() {
    let parent = tempfile::tempdir().unwrap();
    let output = small("--json --device memory --workload C --distribution uniform", parent.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document = document(&output);
    assert!(document["disk"]["directory"].is_null() && document["memory"]["within_budget"].is_null());
}

/// Loads, runs and verifies with every way of calling the store on `device`; gives the devices that were used.
fn every_api_on(device: &str, workloads: &str) -> Vec<String> {
    let parent = tempfile::tempdir().unwrap();
    let run = |calls: &str| {
        let arguments = format!(
            "bench --json --records 20k --memory 32MiB --seconds 0.1 --threads 2 --verify every --distribution uniform \
             --workload {workloads} --device {device} {calls}"
        );
        let output = oxifaster(&arguments).env("TMPDIR", parent.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{device}, {calls}: {}", stderr(&output));
        let document = document(&output);
        let api = calls.split_whitespace().nth(1).unwrap();
        assert_eq!((&document["options"]["api"], &document["options"]["device"]), (&api.into(), &device.into()));
        let verification = &document["verification"];
        assert_eq!(verification["complete"], true, "{device}, {calls}");
        assert_eq!(verification["values_checked"], verification["exact_versions_checked"], "{device}, {calls}");
        let mut operations = 0;
        for run in document["runs"].as_array().unwrap() {
            assert!(run["latency_ns"]["p50"].as_u64().unwrap() > 0, "{device}, {calls}: {run}");
            let reads = run["by_operation"]["read"]["count"].as_u64().unwrap();
            let changes = run["by_operation"]["read_modify_write"]["count"].as_u64();
            operations += reads + changes.unwrap_or(0);
        }
        let read = verification["keys_read"].as_u64().unwrap();
        assert_eq!(verification["values_checked"], operations + read, "{device}, {calls}: every answer is checked");
        document["device"]["used"].as_str().unwrap().to_owned()
    };
    ["--api sync", "--api pending --depth 8", "--api batch --batch 100", "--api async --depth 8"].map(run).to_vec()
}

#[test]
fn every_api_is_verified_on_the_device_that_is_chosen_by_default() {
    let used = every_api_on("file", "A,D,F");
    assert!(used.iter().all(|used| used == "uring" || used == "threads"), "{used:?}");
}

#[test]
fn every_api_is_verified_on_the_device_with_rings_and_futures_say_that_they_do_not_use_them() {
    let used = every_api_on("uring", "A,D,F");
    assert!(used[..3].iter().all(|other| *other == used[0]) && used[3] == "threads", "{used:?}");
}

#[test]
fn every_api_is_verified_on_the_device_with_threads() {
    assert_eq!(every_api_on("threads", "A,D,F"), ["threads"; 4]);
}

#[test]
fn every_api_is_verified_on_the_memory_device() {
    assert_eq!(every_api_on("memory", "A,D,F"), ["memory"; 4]);
}

#[test]
fn every_api_is_verified_on_the_device_that_keeps_nothing() {
    assert_eq!(every_api_on("none", "A,F"), ["none"; 4]);
}

#[test]
fn a_fallback_to_threads_is_reported_with_its_reason() {
    let parent = tempfile::tempdir().unwrap();
    let arguments = "bench --records 1k --memory 32MiB --seconds 0.05 --workload C --device uring";
    let run = |form: &str| {
        let mut command = oxifaster(arguments);
        command.args(form.split_whitespace()).env("TMPDIR", parent.path()).env("OXIFASTER_IO_URING", "0");
        command.output().unwrap()
    };
    let document = document(&run("--json"));
    assert_eq!((&document["options"]["device"], &document["device"]["used"]), (&"uring".into(), &"threads".into()));
    assert!(document["device"]["why"].as_str().is_some_and(|why| !why.is_empty()), "{}", document["device"]);
    let text = String::from_utf8_lossy(&run("").stdout).into_owned();
    assert!(text.contains("device    threads instead of uring: "), "{text}");
    assert!(text.contains("calls     pending: up to 64 operations"), "{text}");
}

#[test]
fn records_that_memory_cannot_hold_are_refused_with_a_memory_that_can() {
    let shared = "bench --records 200k --workload load --threads 2 --device none --memory";
    let output = oxifaster(shared).arg("16MiB").output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let memory = said.split("--memory ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    let output = oxifaster(shared).arg(memory).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "--memory {memory}: {}", stderr(&output));
}

#[test]
fn wrong_options_exit_with_2_and_one_line_that_names_the_option_and_the_next_step() {
    for (arguments, option, next) in [
        ("--records many", "--records", "10M"),
        ("--records 0", "--records", "from 1"),
        ("--value-size 7", "--value-size", "16 to"),
        ("--memory lots", "--memory", "MiB"),
        ("--memory 1MiB", "--memory", "at least"),
        ("--workload E", "--workload", "A, B, C, D, F"),
        ("--workload A,load", "--workload", "give load"),
        ("--distribution pareto", "--distribution", "zipfian, uniform, both"),
        ("--theta 1.5", "--theta", "uniform"),
        ("--seconds 0", "--seconds", "load"),
        ("--depth 0", "--depth", "from 1"),
        ("--threads 0", "--threads", "from 1"),
        ("--recods 5", "--recods", "--records"),
        ("--device memory --dir x", "--device memory", "--dir"),
        ("--device none --dir x", "--device none", "--dir"),
        ("--device none --workload D", "--device none", "leave D out"),
        ("--device none --memory 32MiB", "--device none", "--records"),
        ("--device tape", "--device", "file, uring, threads, memory, none"),
        ("--api grpc", "--api", "sync, pending, batch, async"),
        ("--api sync --depth 8", "--api sync", "leave --depth out"),
        ("--api async --batch 8", "--batch 8", "--api batch"),
        ("--batch 0", "--batch", "from 1"),
        ("--batch many", "--batch", "10M"),
    ] {
        let output = oxifaster("bench").args(arguments.split_whitespace()).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments}: {said}");
        assert!(said.starts_with("error: ") && said.contains(option) && said.contains(next), "{arguments}: {said}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
}

#[test]
fn help_shows_examples_workloads_and_exit_codes() {
    let output = oxifaster("bench --help").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    for example in ["--batch 256", "--api async", "--device threads", "--device memory", "--device none", "--json"] {
        let line = format!("      oxifaster bench {example}");
        assert!(text.contains(&line), "{line:?} is missing in\n{text}");
    }
    for part in ["Examples:", "D  95% read of the latest", "whole process", "Exit codes:"] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let output = oxifaster("--help").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("Begin with `oxifaster bench`"));
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_reports_what_there_is_and_leaves_nothing_behind() {
    let parent = tempfile::tempdir().unwrap();
    let child = oxifaster("bench --records 20k --memory 32MiB --seconds 3600 --threads 2 --json")
        .env("TMPDIR", parent.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The directory appears after the process has begun to listen to signals.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while is_empty(parent.path()) {
        assert!(std::time::Instant::now() < deadline, "the benchmark does not begin");
        std::thread::yield_now();
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_eq!(document(&output)["interrupted"], true);
    assert!(is_empty(parent.path()), "the temporary directory is still there");
}

#[test]
fn checkpoints_of_every_kind_are_taken_during_a_run_and_what_they_cost_is_reported() {
    for kind in ["fold-over", "snapshot", "incremental", "index"] {
        let parent = tempfile::tempdir().unwrap();
        let run = format!(
            "bench --json --records 20k --memory 32MiB --threads 2 --workload A --distribution zipfian --seconds 1 --checkpoint {kind} --every 0.05"
        );
        let output = oxifaster(&run).env("TMPDIR", parent.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{kind}: {}", stderr(&output));
        let document = document(&output);
        let checkpoints = &document["runs"][0]["checkpoints"];
        assert_eq!(checkpoints["kind"], kind);
        assert!(checkpoints["count"].as_u64().unwrap() > 0, "{checkpoints}");
        for side in ["with", "without"] {
            assert!(checkpoints[side]["operations"].as_u64().unwrap() > 0, "{checkpoints}");
            assert!(checkpoints[side]["operations_per_second"].as_f64().unwrap() > 0.0, "{checkpoints}");
        }
        let sides = ["with", "without"].map(|side| checkpoints[side]["operations"].as_u64().unwrap());
        assert_eq!(sides.iter().sum::<u64>(), document["runs"][0]["operations"].as_u64().unwrap());
        assert_eq!(document["verification"]["faults"], 0);
        assert!(is_empty(parent.path()), "the temporary directory is still there");
    }
}

#[test]
fn a_store_comes_back_with_an_image_of_its_index_and_without() {
    let parent = tempfile::tempdir().unwrap();
    let output = small("--json --workload load --recovery", parent.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let recoveries = &document(&output)["recoveries"];
    assert_eq!((&recoveries[0]["with_image"], &recoveries[1]["with_image"]), (&Value::from(false), &Value::from(true)));
    assert_eq!(recoveries[0]["records"], 20_000, "all are replayed without an image");
    assert_eq!(recoveries[1]["records"], 0, "and none with one");
    let output = small("--workload load --recovery", parent.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("from the log alone") && text.contains("with an image of the index"), "{text}");
}
