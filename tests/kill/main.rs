//! Real processes, killed at random moments while four sessions write and checkpoints of every kind are taken without a
//! pause: after each kill the store comes back with every session at one serial number, none below what was reported. And
//! processes whose changes are durable without a checkpoint: what a call has returned from is there. Both with words for values, and
//! with values of which some are larger than a page.
//!
//! A program of its own, because it starts itself: `cargo test --test kill`, or with more rounds
//! `OXIFASTER_KILL_ROUNDS=200 cargo test --release --test kill`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test, though without the harness that clippy would know it by"
)]

mod child;
mod durable;
mod life;

use life::{GUIDS, Large, Life, Model, WRITERS, Words, open};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEFAULT_ROUNDS: u64 = 12;

/// Large values, as rare where thousands of operations are done in a life as a disk bears it.
type Some200 = Large<200>;
/// Where every operation waits for the disk there are few.
type Some10 = Large<10>;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words[..] {
        ["child", Words::NAME, directory, how] => child::run::<Words>(Path::new(directory), how),
        ["child", Some200::NAME, directory, how] => child::run::<Some200>(Path::new(directory), how),
        ["durable", Words::NAME, directory, how] => durable::run::<Words>(Path::new(directory), how),
        ["durable", Some10::NAME, directory, how] => durable::run::<Some10>(Path::new(directory), how),
        ["--list", ..] => println!("kill words: test\nkill large: test\ndurable words: test\ndurable large: test"),
        _ => parent(),
    }
}

fn parent() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rounds, seed) = (number("OXIFASTER_KILL_ROUNDS", DEFAULT_ROUNDS), number("OXIFASTER_KILL_SEED", 0x5eed));
    println!("\nrunning 4 tests: {rounds} kills or half as many, seed {seed}");
    let begun = Instant::now();
    kill_checkpoints::<Words>(rounds, seed);
    kill_checkpoints::<Some200>(rounds.div_ceil(2), seed);
    kill_durable::<Words>(rounds, seed);
    kill_durable::<Some10>(rounds.div_ceil(2), seed);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "\ntest result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in {seconds:.2}s\n"
    );
}

/// An empty directory for a test.
fn place(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("oxifaster-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn kill_checkpoints<L: Life>(rounds: u64, seed: u64) {
    let directory = place("kill");
    let (mut random, mut models) = (seed, Model::<L>::all());
    let (mut void, mut operations) = (0, 0);
    for round in 0..rounds {
        random = next(random);
        let kind = ["fold-over", "snapshot", "incremental"][(random % 3) as usize];
        let life = Duration::from_millis(5 + random / 3 % 300);
        let acknowledged = checkpointed(live_and_die(&directory, ["child", L::NAME, kind], life));
        let before: u64 = models.iter().map(|model| model.serial).sum();
        if !verify(&directory, &acknowledged, &mut models, round, kind) {
            void += 1;
        }
        operations += models.iter().map(|model| model.serial).sum::<u64>() - before;
    }
    assert!(
        void * 2 <= rounds,
        "{void} of {rounds} processes died before their first checkpoint: the rounds prove little"
    );
    std::fs::remove_dir_all(&directory).unwrap();
    println!("test kill {} ... ok ({operations} operations kept over {} recoveries)", L::NAME, rounds - void);
}

fn kill_durable<L: Life>(rounds: u64, seed: u64) {
    let directory = place("kill-durable");
    let (mut random, mut models) = (seed, Model::<L>::all());
    let mut operations = 0;
    for round in 0..rounds {
        random = next(random);
        let mode = durable::MODES[(random % 3) as usize];
        let life = Duration::from_millis(5 + random / 3 % 300);
        let acknowledged =
            durable::acknowledged(live_and_die(&directory, ["durable", L::NAME, mode], life).into_iter());
        operations +=
            acknowledged.iter().zip(&models).map(|(now, model)| now.saturating_sub(model.serial)).sum::<u64>();
        durable::verify(&directory, mode, &acknowledged, &mut models, round);
    }
    assert!(operations > rounds * 5, "{operations} operations were durable in {rounds} lives: the rounds prove little");
    std::fs::remove_dir_all(&directory).unwrap();
    println!("test durable {} ... ok ({operations} operations were said to be durable, and were)", L::NAME);
}

fn next(random: u64) -> u64 {
    let mut x = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Starts a process, kills it after a while, and returns what it said.
fn live_and_die(directory: &Path, what: [&str; 3], life: Duration) -> Vec<String> {
    let mut child = start(directory, what);
    let stdout = child.stdout.take().unwrap();
    let mut lines = BufReader::new(stdout);
    let mut ready = String::new();
    lines.read_line(&mut ready).unwrap();
    if ready != "ready\n" {
        let mut complaint = String::new();
        child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        panic!("the process did not come up: {ready}{complaint}");
    }
    // Somebody listens all the time, or a process that says much would wait.
    let listener = std::thread::spawn(move || lines.lines().map_while(Result::ok).collect::<Vec<_>>());
    // A clock of its own: how long a process lives is the one thing here that is to be random.
    std::thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert!(complaint.is_empty(), "the process complained: {complaint}");
    listener.join().unwrap()
}

/// The serial numbers of the last checkpoint that was reported.
fn checkpointed(lines: Vec<String>) -> HashMap<u128, u64> {
    let mut acknowledged = HashMap::new();
    for line in lines {
        // A line that the kill cut short was not reported.
        if let Some(serials) = line.strip_prefix("checkpoint ").and_then(|rest| rest.strip_suffix(" .")) {
            let pair = |text: &str| {
                let (guid, serial) = text.split_once('=').unwrap();
                (guid.parse().unwrap(), serial.parse().unwrap())
            };
            acknowledged = serials.split(' ').map(pair).collect();
        }
    }
    acknowledged
}

fn start(directory: &Path, [what, life, how]: [&str; 3]) -> Child {
    let program = std::env::current_exe().unwrap();
    let arguments = [what.as_ref(), life.as_ref(), directory.as_os_str(), how.as_ref()];
    Command::new(program).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Recovers and looks at every key. False if there is no checkpoint yet.
fn verify<L: Life>(
    directory: &Path,
    acknowledged: &HashMap<u128, u64>,
    models: &mut [Model<L>; WRITERS],
    round: u64,
    kind: &str,
) -> bool {
    let Some(store) = open::<L>(directory).unwrap() else {
        assert!(acknowledged.is_empty(), "round {round}: a checkpoint was reported and is not there");
        return false;
    };
    let cuts: HashMap<u128, u64> = store.get_recovered_sessions().iter().map(|cut| (cut.guid, cut.serial)).collect();
    let mut session = store.start_session();
    for (writer, model) in models.iter_mut().enumerate() {
        let serial = cuts[&GUIDS[writer]];
        let least = acknowledged.get(&GUIDS[writer]).copied().unwrap_or(0).max(model.serial);
        assert!(serial >= least, "round {round}, {kind}: writer {writer} is back at {serial}, {least} was reported");
        model.advance(writer as u64, serial);
        model.check(&mut session, writer as u64, &format!("round {round}, {kind}"));
    }
    true
}
