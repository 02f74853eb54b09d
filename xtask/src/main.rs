//! The project's own tooling, reached as `cargo x`. It is the one place where the gate is defined: the command line, the
//! continuous integration and the documentation all name the commands below.
#![forbid(unsafe_code)]

mod figures;
mod gate;
mod metadata;
mod step;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo x <command>

  ci              the whole gate: lint, then test
  lint            fmt, clippy, tidy, docs, msrv, deny, typos; changes nothing
  test            doctests, examples, loom models, tests on every path, unit and integration tests
  tidy            the rules of the house: layers, unsafe ledger, sizes, names, dead files
  examples        runs every example and looks at its exit code
  loom [N]        the models of the concurrent parts, with up to N preemptions (3 if not given)
  mutations       classic mistakes are planted in the library, and the simulator finds each
  soak [MINUTES]  beside the gate: the models, 200 killed processes of each kind, new seeds of the simulator (30 if not given)
  figures [N]     what checkpoints cost and how fast a store comes back, in N rounds (5 if not given)
  paths           tests of operations on the paths that this processor and kernel would not take
  fix             cargo fmt and clippy --fix; the only command that changes sources";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["ci"] => gate::ci(),
        ["lint"] => gate::lint(),
        ["test"] => gate::test(),
        ["tidy"] => gate::tidy(),
        ["examples"] => gate::examples(),
        ["loom"] => gate::loom(gate::LOOM_PREEMPTIONS),
        ["loom", preemptions] => match preemptions.parse() {
            Ok(preemptions) => gate::loom(preemptions),
            Err(_) => Err(format!("`{preemptions}` is not a number of preemptions\n\n{USAGE}")),
        },
        ["mutations"] => gate::mutations(),
        ["soak"] => gate::soak("30"),
        ["soak", minutes] if minutes.parse::<f64>().is_ok() => gate::soak(minutes),
        ["figures"] => figures::figures(figures::ROUNDS),
        ["figures", rounds] => match rounds.parse() {
            Ok(rounds) => figures::figures(rounds),
            Err(_) => Err(format!("`{rounds}` is not a number of rounds\n\n{USAGE}")),
        },
        ["paths"] => gate::paths(),
        ["fix"] => gate::fix(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("no such command\n\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\ncargo x: {failure}");
            ExitCode::FAILURE
        }
    }
}
