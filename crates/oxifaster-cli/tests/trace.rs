//! `oxifaster bench --trace` as a user runs it, on traces that are made up here.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its expectation does")]
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const VERBS: [(&str, u64); 11] = [
    ("get", 60),
    ("gets", 5),
    ("set", 12),
    ("add", 4),
    ("replace", 3),
    ("cas", 3),
    ("append", 3),
    ("prepend", 2),
    ("delete", 4),
    ("incr", 2),
    ("decr", 2),
];

/// A trace of so many requests, and what a cache without bounds answers: for each operation, how many there were and how many
/// found their key (of `add`, how many did not).
fn made_up(requests: u64) -> (String, BTreeMap<&'static str, (u64, u64)>) {
    let (mut text, mut answers, mut lengths) = (String::new(), BTreeMap::new(), HashMap::<u64, (u64, u64)>::new());
    let mut state = 7_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for number in 0..requests {
        // The square of an even draw prefers low numbers.
        let key = draw(500) * draw(500) / 500;
        let (mut share, size) = (draw(100), 1 + draw(700));
        let verb = VERBS.iter().find(|(_, of_hundred)| {
            let is_it = share < *of_hundred;
            share = share.saturating_sub(*of_hundred);
            is_it
        });
        let verb = verb.unwrap().0;
        let (second, ttl) = (number / 50, if verb == "set" { 1 + draw(60) } else { 0 });
        let had = lengths.get(&key).copied().filter(|(_, end)| *end > second);
        let end = if ttl > 0 { second + ttl } else { u64::MAX };
        let is_successful = if verb == "add" { had.is_none() } else { verb == "set" || had.is_some() };
        if is_successful {
            match verb {
                "set" | "add" | "replace" | "cas" => _ = lengths.insert(key, (size, end)),
                "append" | "prepend" => _ = lengths.insert(key, had.map(|(had, end)| (had + size, end)).unwrap()),
                "delete" => _ = lengths.remove(&key),
                _ => {}
            }
        }
        let answer: &mut (u64, u64) = answers.entry(verb).or_default();
        *answer = (answer.0 + 1, answer.1 + u64::from(is_successful));
        writeln!(text, "{second},ns:{key:x},12,{size},{},{verb},{ttl}", number % 9).unwrap();
    }
    (text, answers)
}

fn bench(place: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxifaster"));
    command
        .arg("bench")
        .args(arguments.split_whitespace())
        .current_dir(place)
        .env("TMPDIR", place)
        .stdin(Stdio::null());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn document(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

fn answers(document: &Value) -> BTreeMap<String, (u64, u64)> {
    let operations = document["by_operation"].as_object().unwrap();
    let answer = |of: &Value| (of["requests"].as_u64().unwrap(), of["successful"].as_u64().unwrap());
    operations.iter().map(|(name, operation)| (name.clone(), answer(operation))).collect()
}

#[test]
fn a_trace_gives_the_answers_of_a_cache_with_any_number_of_threads() {
    let place = tempfile::tempdir().unwrap();
    let (text, expected) = made_up(20_000);
    let expected: BTreeMap<String, (u64, u64)> = expected.into_iter().map(|(verb, of)| (verb.to_owned(), of)).collect();
    std::fs::write(place.path().join("trace.csv"), text).unwrap();
    for arguments in [
        "--threads 1",
        "--threads 3 --verify every",
        "--threads 2 --device memory --memory 32MiB",
        "--threads 2 --verify every --revivification",
    ] {
        let output = bench(place.path(), &format!("--trace trace.csv --json {arguments}")).output().unwrap();
        let document = document(&output);
        assert_eq!(answers(&document), expected, "{arguments}");
        let gets = ["get", "gets"].map(|verb| expected[verb]);
        let rate = (gets[0].1 + gets[1].1) as f64 / (gets[0].0 + gets[1].0) as f64;
        assert!((document["hit_rate"].as_f64().unwrap() - rate).abs() < 1e-9 && rate > 0.2, "{arguments}: {document}");
        assert_eq!((&document["requests"], &document["trace"]["span_seconds"]), (&20_000.into(), &399.into()));
        let verification = &document["verification"];
        assert_eq!(verification["faults"], 0, "{verification}");
        let checked = verification["answers_checked"].as_u64().unwrap();
        assert!(if arguments.contains("every") { checked == 20_000 } else { checked > 200 }, "{arguments}: {checked}");
        assert_eq!(document["writes_with_ttl"], expected["set"].0);
        let reused = document["revivification"]["reused"].as_u64();
        assert_eq!(reused.is_some_and(|reused| reused > 0), arguments.contains("revivification"), "{reused:?}");
        for path in [
            "/latency_ns/p99",
            "/requests_per_second",
            "/bytes_read",
            "/bytes_written",
            "/keys",
            "/memory/peak_resident_bytes",
        ] {
            assert!(
                document.pointer(path).and_then(Value::as_f64).is_some_and(|value| value > 0.0),
                "{path}: {document}"
            );
        }
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "the temporary directories are gone");
}

#[test]
fn a_trace_comes_through_a_pipe_and_is_reported_for_people() {
    let place = tempfile::tempdir().unwrap();
    let (text, expected) = made_up(3_000);
    let mut child = bench(place.path(), "--trace - --threads 2 --dir kept")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let requests = |verb: &str| expected[verb].0.to_string();
    for part in [
        "trace standard input, 2 threads",
        "hits ",
        "| prepend",
        &requests("incr"),
        "a time to live",
        "nothing wrong",
        "memory ",
        "(kept)",
    ] {
        assert!(said.contains(part), "{part:?} is missing in\n{said}");
    }
    assert!(said.lines().all(|line| line.len() <= 110), "{said}");
    assert!(place.path().join("kept").is_dir());
}

#[test]
fn lines_that_are_no_requests_are_left_out_and_told() {
    let place = tempfile::tempdir().unwrap();
    let text = "0,a,1,5,0,set,0\n\n0,a,1,5,0,steal,0\nnonsense\r\n0,a,1,0,0,get,0\r\n0,b,1,0,0,get,0";
    std::fs::write(place.path().join("trace"), text).unwrap();
    let output = bench(place.path(), "--trace trace --json --threads 1").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let trace = &document["trace"];
    assert_eq!((&trace["malformed_lines"], &trace["first_malformed"]["line"]), (&2.into(), &3.into()), "{trace}");
    assert_eq!((&document["requests"], &document["hit_rate"]), (&3.into(), &0.5.into()));
    let output = bench(place.path(), "--trace trace --threads 1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("MALFORMED 2 lines") && said.contains("line 3: \"steal\" is no operation"), "{said}");
}

#[test]
fn what_does_not_go_with_a_trace_is_refused_in_one_line() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("trace"), "").unwrap();
    for (wrong, said) in [
        ("--trace nowhere", "nowhere"),
        ("--trace .", "is a directory"),
        ("--trace trace --records 5", "--records"),
        ("--trace trace --device none", "--device memory"),
        ("--trace trace --threads 0", "--threads"),
        ("--trace trace --device memory --dir x", "--dir"),
        ("--trace trace --memory 1MiB", "--memory"),
    ] {
        let output = bench(place.path(), wrong).output().unwrap();
        let error = stderr(&output);
        assert!(output.status.code().is_some_and(|code| code > 0) && error.lines().count() == 1, "{wrong}: {error}");
        assert!(error.contains(said), "{wrong}: {error}");
    }
    let empty = document(&bench(place.path(), "--trace trace --json").output().unwrap());
    assert_eq!((&empty["requests"], &empty["hit_rate"]), (&0.into(), &Value::Null));
}
