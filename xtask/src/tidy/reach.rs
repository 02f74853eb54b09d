//! No dead files: cargo or a `mod` declaration leads to every source, and there is something to be found in it.

use super::lexer::{Kind, Token, closing};
use super::report::Report;
use super::source::Source;
use std::collections::{BTreeMap, BTreeSet};

const RULE: &str = "dead files";

/// `roots` are the files cargo starts from.
pub(crate) fn check(sources: &[Source], roots: &[String], report: &mut Report) {
    let by_path: BTreeMap<&str, &Source> = sources.iter().map(|source| (source.path.as_str(), source)).collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<String> = roots.to_vec();
    while let Some(path) = open.pop() {
        let Some(source) = by_path.get(path.as_str()) else { continue };
        if reached.insert(path.clone()) {
            let is_root = roots.contains(&path);
            open.extend(children(source, is_root));
        }
    }
    for source in sources.iter().filter(|source| !reached.contains(&source.path)) {
        report.fail(&source.path, 1, RULE, "neither cargo nor a `mod` declaration leads here");
    }
    for source in sources {
        check_contents(source, report);
    }
}

/// A file without code, or a file of tests without a test, looks like something and is nothing.
fn check_contents(source: &Source, report: &mut Report) {
    if source.tokens.is_empty() {
        report.fail(&source.path, 1, RULE, "holds no code");
    } else if matches!(source.file_name(), "tests.rs" | "loom.rs") {
        let is_test = |three: &[Token]| three[0].is('[') && three[1].is_word("test") && three[2].is(']');
        if !source.tokens.windows(3).any(is_test) {
            report.fail(&source.path, 1, RULE, "holds no test");
        }
    }
}

/// The files that the declarations of a source may mean.
fn children(source: &Source, is_root: bool) -> Vec<String> {
    let stem = source.file_name().trim_end_matches(".rs");
    let own_folder = if is_root || stem == "mod" || source.folder().is_empty() {
        source.folder().to_string()
    } else {
        format!("{}/{stem}", source.folder())
    };
    let mut found = Vec::new();
    for index in 0..source.tokens.len() {
        let Some(name) = declared(&source.tokens, index) else { continue };
        let inline = inline_modules(&source.tokens, index);
        if let Some(path) = path_attribute(&source.tokens, index) {
            let base = if inline.is_empty() { source.folder() } else { &own_folder };
            found.push(joined(base, &inline, path));
        } else {
            let base = joined(&own_folder, &inline, name);
            found.push(format!("{base}.rs"));
            found.push(format!("{base}/mod.rs"));
        }
    }
    found
}

/// The name in `mod name;` if that is what starts at `index`.
fn declared(tokens: &[Token], index: usize) -> Option<&str> {
    let ends = tokens.get(index + 2).is_some_and(|token| token.is(';'));
    if tokens[index].is_word("mod") && ends { tokens[index + 1].word() } else { None }
}

fn inline_modules(tokens: &[Token], token: usize) -> Vec<&str> {
    let opens = |index: &usize| {
        tokens[*index].is_word("mod") && tokens[*index + 2].is('{') && closing(tokens, *index + 2) > token
    };
    (0..token.saturating_sub(2)).filter(opens).filter_map(|index| tokens[index + 1].word()).collect()
}

/// The string of a `#[path = "..."]` among the attributes of the declaration at `index`.
fn path_attribute(tokens: &[Token], index: usize) -> Option<&str> {
    let start = (0..index).rev().find(|at| matches!(tokens[*at].kind, Kind::Sign(';' | '{' | '}'))).unwrap_or(0);
    let named = (start..index).find(|at| tokens[*at].is_word("path") && tokens[*at + 1].is('='))?;
    match &tokens.get(named + 2)?.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}

fn joined(base: &str, inline: &[&str], name: &str) -> String {
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    parts.extend(inline);
    for part in name.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(files: &[(&str, &str)], roots: &[&str]) -> usize {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        let roots: Vec<String> = roots.iter().map(|root| root.to_string()).collect();
        let mut report = Report::default();
        check(&sources, &roots, &mut report);
        report.failures()
    }

    #[test]
    fn declared_files_are_alive() {
        let files = [
            ("src/lib.rs", "mod a; pub mod b; #[cfg(x)] mod c; mod inner { mod d; } #[path = \"odd/name.rs\"] mod e;"),
            ("src/a.rs", "mod deep;"),
            ("src/a/deep.rs", "x;"),
            ("src/b/mod.rs", "#[cfg(test)] mod tests;"),
            ("src/b/tests.rs", "#[test] fn f() {}"),
            ("src/c.rs", "x;"),
            ("src/inner/d.rs", "x;"),
            ("src/odd/name.rs", "x;"),
            ("examples/one.rs", "x;"),
        ];
        assert_eq!(dead(&files, &["src/lib.rs", "examples/one.rs"]), 0);
    }

    #[test]
    fn an_undeclared_file_is_dead_and_so_is_what_only_it_declares() {
        let files = [("src/lib.rs", "x; // mod a;"), ("src/a.rs", "mod b;"), ("src/a/b.rs", "x;")];
        assert_eq!(dead(&files, &["src/lib.rs"]), 2);
    }

    #[test]
    fn an_example_or_a_test_that_cargo_does_not_know_is_dead() {
        let files = [
            ("src/lib.rs", "x;"),
            ("examples/set/one.rs", "x;"),
            ("tests/it/main.rs", "mod a;"),
            ("tests/it/a.rs", "x;"),
        ];
        assert_eq!(dead(&files, &["src/lib.rs", "tests/it/main.rs"]), 1);
    }

    #[test]
    fn a_file_without_code_and_a_model_file_without_a_model_are_dead() {
        let one = |path, text| dead(&[(path, text)], &[path]);
        assert_eq!(one("src/a.rs", "// to be written\n"), 1);
        assert_eq!(one("src/loom.rs", "use x;"), 1);
        assert_eq!(one("src/loom.rs", "#[test] fn f() {}"), 0);
    }
}
