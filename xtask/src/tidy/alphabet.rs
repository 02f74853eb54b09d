//! What the library may not say: atomics other than its own, output nobody asked for, the wall clock.

use super::paths::named_paths;
use super::report::Report;
use super::source::Source;

const RULE: &str = "alphabet";
const PRINTING: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

pub(crate) fn check(sources: &[Source], report: &mut Report) {
    for source in sources.iter().filter(|source| source.is_library()) {
        check_paths(source, report);
        for (index, pair) in source.tokens.windows(2).enumerate() {
            let Some(name) = pair[0].word().filter(|name| PRINTING.contains(name) && pair[1].is('!')) else { continue };
            let line = source.tokens[index].line;
            report.fail(&source.path, line, RULE, format!("`{name}!`: a library does not print"));
        }
    }
}

fn check_paths(source: &Source, report: &mut Report) {
    let is_alphabet =
        source.path.starts_with("src/sync/") || source.file_name() == "loom.rs" || source.path.contains("/loom/");
    for path in named_paths(&source.tokens) {
        let parts: Vec<&str> = path.segments.iter().map(String::as_str).collect();
        let shown = path.segments.join("::");
        let is_wall_clock = parts.windows(2).any(|pair| pair == ["SystemTime", "now"]);
        if is_wall_clock && source.path != "src/utility/chance.rs" {
            let message = format!(
                "`{shown}`: the wall clock jumps; use an `Instant`, or, for people to read, what `src/utility/chance.rs` gives"
            );
            report.fail(&source.path, path.line, RULE, message);
        }
        let is_foreign = matches!(parts.as_slice(), ["std" | "core", "sync", "atomic", ..] | ["loom", _, ..]);
        if is_foreign && !is_alphabet && !source.is_test(path.token) {
            let message = format!("`{shown}`: take it from `crate::sync`, so that it can be model-checked");
            report.fail(&source.path, path.line, RULE, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        let mut report = Report::default();
        check(&[Source::new(path, text)], &mut report);
        report.failures()
    }

    #[test]
    fn atomics_come_from_the_own_alphabet() {
        assert_eq!(findings("src/top.rs", "use crate::sync::AtomicU64; use std::sync::Arc;"), 0);
        assert_eq!(findings("src/top.rs", "use std::sync::{Arc, atomic::AtomicU64};"), 1);
        assert_eq!(findings("src/top.rs", "fn f() { core::sync::atomic::fence(x); loom::thread::yield_now() }"), 2);
    }

    #[test]
    fn the_alphabet_itself_models_and_tests_may_name_them() {
        assert_eq!(findings("src/sync/mod.rs", "use std::sync::atomic::AtomicU64; use loom::sync::Arc;"), 0);
        assert_eq!(findings("src/epoch/loom.rs", "use loom::thread;"), 0);
        assert_eq!(findings("src/kernel/loom/cut.rs", "use loom::thread;"), 0);
        assert_eq!(findings("src/top.rs", "#[cfg(test)] mod tests { use std::sync::atomic::AtomicU64; }"), 0);
        assert_eq!(findings("crates/a/src/main.rs", "use std::sync::atomic::AtomicU64;"), 0);
    }

    #[test]
    fn a_library_does_not_print() {
        assert_eq!(findings("src/top.rs", "fn f() { println!(\"x\"); dbg!(y); }"), 2);
        assert_eq!(findings("src/top.rs", "/// println!(x)\nfn println() { writeln!(f, \"println!\") }"), 0);
    }

    #[test]
    fn a_library_does_not_read_the_wall_clock() {
        assert_eq!(findings("src/top.rs", "fn f() { std::time::SystemTime::now(); }"), 1);
        assert_eq!(findings("src/utility/chance.rs", "fn f() { std::time::SystemTime::now(); }"), 0);
        assert_eq!(findings("src/top.rs", "fn f() { std::time::Instant::now(); }"), 0);
    }
}
