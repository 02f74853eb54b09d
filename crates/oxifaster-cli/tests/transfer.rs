//! `oxifaster import` and `export` as a user runs them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its expectation does")]
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn oxifaster(place: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxifaster"));
    command.args(arguments.split_whitespace()).current_dir(place).stdin(Stdio::null());
    command
}

fn run(place: &Path, arguments: &str) -> Output {
    oxifaster(place, arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// So many lines of NDJSON, whose last third overwrites keys of the first.
fn lines(count: u64) -> String {
    let mut text = String::new();
    for number in 0..count {
        let key = number % (count * 2 / 3);
        writeln!(text, "{{\"key\":\"key {key}\",\"value\":\"value {number}\"}}").unwrap();
    }
    text
}

/// What is in the store after that.
fn expected(count: u64) -> Vec<String> {
    let keys = count * 2 / 3;
    let newest = |key: u64| if key + keys < count { key + keys } else { key };
    let line = |key| format!("{{\"key\":\"key {key}\",\"value\":\"value {}\"}}", newest(key));
    let mut lines: Vec<String> = (0..keys).map(line).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn both_formats_go_in_and_out_of_files_and_pipes() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    std::fs::write(place.join("in.ndjson"), lines(3000)).unwrap();
    let said = text(&run(place, "import store in.ndjson"));
    assert!(said.starts_with("imported 3,000 records in ") && said.lines().count() == 1, "{said}");
    let out = text(&run(place, "export store"));
    assert_eq!(sorted(&out), expected(3000));
    let said = text(&run(place, "export store -o out.csv"));
    assert!(said.contains("2,000 records to out.csv"), "{said}");
    let csv = std::fs::read_to_string(place.join("out.csv")).unwrap();
    assert!(csv.starts_with("key,value,base64\nkey ") && csv.lines().count() == 2001, "{}", &csv[..100]);
    assert_eq!(std::fs::read_dir(place).unwrap().count(), 3, "nothing is left beside it");

    let mut source = oxifaster(place, "export store --format csv").stdout(Stdio::piped()).spawn().unwrap();
    let piped = source.stdout.take().unwrap();
    let copied = oxifaster(place, "import copy --format csv --json").stdin(piped).output().unwrap();
    assert_eq!(source.wait().unwrap().code(), Some(0));
    assert_eq!((copied.status.code(), &document(&copied)["imported"]), (Some(0), &2000.into()));
    assert_eq!(sorted(&text(&run(place, "export copy"))), expected(3000));
    assert!(!place.join("copy/import.json").exists(), "nothing to go on with");
}

#[test]
fn numbers_are_numbers() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    std::fs::write(place.join("in.csv"), "value,key\n18446744073709551615,1\n2,\"2\"\n").unwrap();
    let said = text(&run(place, "import store in.csv --key-size 8 --value-size 8"));
    assert!(said.contains("2 records"), "{said}");
    let out = text(&run(place, "export store"));
    assert_eq!(sorted(&out), ["{\"key\":1,\"value\":18446744073709551615}", "{\"key\":2,\"value\":2}"]);
    assert_eq!(text(&run(place, "get store 1")), "18446744073709551615\n");
    let store: oxifaster::Store<u64, u64> = oxifaster::Store::open(place.join("store")).unwrap();
    assert_eq!(store.get(&2).unwrap(), Some(2));
}

#[test]
fn an_error_names_its_place_and_the_import_goes_on_there_when_it_is_mended() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let good = lines(1000);
    let middle = good[..good.len() / 2].rfind('\n').unwrap() + 1;
    let (first, second) = good.split_at(middle);
    let broken = format!("{first}{{\"key\":\"a\",\"value_base64\":\"?\"}}\n{second}");
    std::fs::write(place.join("in.ndjson"), broken).unwrap();
    let output = run(place, "import store in.ndjson");
    let line = first.lines().count() + 1;
    let error = stderr(&output);
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(
        error.contains(&format!("in.ndjson: line {line}, column 28: ")) && error.contains("--on-error skip"),
        "{error}"
    );
    // What came before is there.
    let before = text(&run(place, "export store"));
    assert_eq!(before.lines().count(), first.lines().count());
    // Another input is not mistaken for the rest of this one.
    std::fs::write(place.join("other.ndjson"), lines(2000).replace("value", "worth")).unwrap();
    let refused = run(place, "import store other.ndjson");
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--restart") && stderr(&refused).contains("in.ndjson"), "{}", stderr(&refused));
    // Mended, it goes on at that line; what was before it is not read as records again.
    std::fs::write(place.join("in.ndjson"), format!("{first}{{\"key\":\"a\",\"value_base64\":\"YQ==\"}}\n{second}"))
        .unwrap();
    let output = run(place, "import store in.ndjson --json");
    let told = document(&output);
    assert_eq!((&told["gone_on_at_line"], &told["imported"]), (&line.into(), &1001.into()), "{told}");
    let out = text(&run(place, "export store"));
    let mut all = expected(1000);
    all.push("{\"key\":\"a\",\"value\":\"a\"}".to_owned());
    all.sort_unstable();
    assert_eq!(sorted(&out), all);
}

#[test]
fn what_cannot_be_imported_is_skipped_if_the_user_says_so() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let huge = "x".repeat(2 << 20);
    let text_in = format!("key,value\na,1\nb\nc,3\n\nd,{huge}\ne,5\n\"f,6\ng,7\n");
    std::fs::write(place.join("in.csv"), text_in).unwrap();
    let output = run(place, "import store in.csv --on-error skip --memory 8MiB");
    let (said, errors) = (String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output));
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(said.contains("imported 3 records") && said.contains("SKIPPED 3"), "{said}");
    for part in [
        "line 3, column 1: 1 fields",
        "line 6, column 1: the store does not take it",
        "line 8, column 1: the input ends within quotes",
    ] {
        assert!(errors.contains(part), "{part} is missing in {errors}");
    }
    assert_eq!(sorted(&text(&run(place, "export store"))).len(), 3);
    let stopped = run(place, "import store in.csv --memory 8MiB");
    assert_eq!(stopped.status.code(), Some(1));
    assert!(stderr(&stopped).contains("line 3, column 1"), "{}", stderr(&stopped));
    let header = run(place, "import other in.csv --format ndjson");
    assert!(stderr(&header).contains("line 1, column 1: no entry"), "{}", stderr(&header));
}

/// Waits until the import says that it is at or behind `line`.
fn wait_for_line(place: &Path, child: &mut Child, line: u64) -> u64 {
    let began = Instant::now();
    loop {
        let cursor = std::fs::read(place.join("store/import.json")).ok();
        let at = cursor.and_then(|text| serde_json::from_slice::<Value>(&text).ok()?["line"].as_u64()).unwrap_or(0);
        if at >= line {
            return at;
        }
        assert!(child.try_wait().unwrap().is_none(), "the import has ended at line {at}");
        assert!(began.elapsed() < Duration::from_secs(60), "the import is still at line {at}");
        std::thread::yield_now();
    }
}

/// An import that was given all of the input but the end, and has come behind `line`.
fn under_way(place: &Path, input: &str, line: u64) -> (Child, std::process::ChildStdin) {
    let mut command = oxifaster(place, "import store --commit-every 500 --memory 16MiB");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(input.as_bytes()).unwrap();
    wait_for_line(place, &mut child, line);
    (child, pipe)
}

#[test]
fn an_import_that_is_killed_goes_on_where_it_was_and_loses_nothing() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let input = lines(30_000);
    let mut reached = 0;
    for round in 1..=3 {
        let part: String = input.lines().take(round * 8_000).map(|line| format!("{line}\n")).collect();
        let (mut child, pipe) = under_way(place, &part, reached + 3_000);
        child.kill().unwrap();
        child.wait().unwrap();
        drop(pipe);
        let cursor: Value = serde_json::from_slice(&std::fs::read(place.join("store/import.json")).unwrap()).unwrap();
        let line = cursor["line"].as_u64().unwrap();
        assert!(line > reached, "{line}, and {reached} before");
        // Everything in front of the cursor is there.
        let out = text(&run(place, "export store --memory 16MiB"));
        let there: std::collections::HashSet<&str> = out.lines().collect();
        let mut newest = std::collections::HashMap::new();
        for text in input.lines().take(line as usize - 1) {
            newest.insert(text.split_once(",\"value").unwrap().0, text);
        }
        // A later value of the key may be there as well as this one.
        let later: std::collections::HashSet<&str> =
            input.lines().skip(line as usize - 1).map(|text| text.split_once(",\"value").unwrap().0).collect();
        let missing = newest.iter().find(|(key, text)| !there.contains(*text) && !later.contains(*key));
        assert!(missing.is_none(), "{missing:?} is missing behind line {line}");
        reached = line;
    }
    std::fs::write(place.join("in.ndjson"), &input).unwrap();
    let told = document(&run(place, "import store in.ndjson --json"));
    assert_eq!((&told["gone_on_at_line"], &told["imported"]), (&reached.into(), &30_000.into()), "{told}");
    assert_eq!(sorted(&text(&run(place, "export store"))), expected(30_000));
}

#[cfg(unix)]
#[test]
fn an_import_that_is_interrupted_says_where_and_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let input = lines(30_000);
    let (first, rest) = input.split_at(input.len() / 10);
    let (mut child, mut pipe) = under_way(place, first, 2_000);
    let signal = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signal.success());
    // It looks up when it has something to read, and the signal may take its time.
    for line in rest.split_inclusive('\n') {
        if child.try_wait().unwrap().is_some() || pipe.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    assert!(child.wait().unwrap().code().is_some());
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}{}", stderr(&output));
    assert!(said.contains("stopped at line") && said.contains("go on"), "{said}");
    std::fs::write(place.join("in.ndjson"), &input).unwrap();
    let told = document(&run(place, "import store in.ndjson --json"));
    assert!(told["gone_on_at_line"].as_u64().unwrap() > 2_000 && told["imported"] == 30_000, "{told}");
    assert_eq!(sorted(&text(&run(place, "export store"))), expected(30_000));
}

#[test]
fn what_cannot_be_is_said_in_one_line() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    std::fs::write(place.join("in.csv"), "name,value\n").unwrap();
    for (wrong, code, said) in [
        ("export nowhere", 2, "no directory"),
        ("import store nowhere.csv", 1, "nowhere.csv"),
        ("import store .", 2, "is a directory"),
        ("import store in.csv", 1, "key,value"),
        ("import store in.csv --commit-every 0", 2, "--commit-every"),
        ("import other in.csv --key-size 3", 2, "keys of 3 bytes"),
        ("import store --format xml", 2, "possible values"),
    ] {
        let output = run(place, wrong);
        let error = stderr(&output);
        assert_eq!((output.status.code(), error.lines().count()), (Some(code), 1), "{wrong}: {error}");
        assert!(error.contains(said), "{wrong}: {error}");
    }
    // Whoever reads the output may stop.
    std::fs::write(place.join("in.ndjson"), lines(30_000)).unwrap();
    text(&run(place, "import store in.ndjson"));
    let mut child = oxifaster(place, "export store").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}
