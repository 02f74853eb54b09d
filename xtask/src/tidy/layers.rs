//! Arrows point downward: a unit names units of lower layers only.

use super::paths::{absolute, module_of, named_paths};
use super::report::Report;
use super::rules::{FILE, Rules};
use super::source::Source;
use std::collections::{BTreeMap, BTreeSet};

const RULE: &str = "layers";
const ROOT_FILE: &str = "src/lib.rs";

pub(crate) fn check(sources: &[Source], rules: &Rules, report: &mut Report) {
    let exported = root_exports(sources);
    let modules: BTreeSet<String> = sources
        .iter()
        .filter(|source| source.is_library())
        .filter_map(|source| module_of(&source.path).first().cloned())
        .collect();
    let mut seen = BTreeSet::new();
    for source in sources.iter().filter(|source| source.is_library() && source.path != ROOT_FILE) {
        let Some(from) = unit_of(&module_of(&source.path), rules) else {
            report.fail(&source.path, 1, RULE, format!("its unit is not listed in {FILE}"));
            continue;
        };
        for path in named_paths(&source.tokens) {
            if source.is_test(path.token) {
                continue;
            }
            let Some(mut target) = absolute(source, &path) else { continue };
            if let Some(home) = target.first().and_then(|name| exported.get(name)) {
                target.insert(0, home.clone());
            }
            let shown = path.segments.join("::");
            match unit_of(&target, rules) {
                Some(to) => {
                    judge_edge(source, path.line, (&from, &to), &shown, rules, report);
                    seen.insert((from.clone(), to));
                }
                None => {
                    let hides_units = target.first().is_none_or(|first| first == "*" || modules.contains(first));
                    if hides_units {
                        let message = format!("`{shown}` leads to no unit listed in {FILE}");
                        report.fail(&source.path, path.line, RULE, message);
                    }
                }
            }
        }
    }
    if rules.strict_units {
        check_seats(sources, rules, &seen, report);
    }
}

/// Names that `lib.rs` re-exports, with the module they come from: `crate::Error` is an edge to `error`.
fn root_exports(sources: &[Source]) -> BTreeMap<String, String> {
    let mut exported = BTreeMap::new();
    for source in sources.iter().filter(|source| source.path == ROOT_FILE) {
        for path in named_paths(&source.tokens) {
            let inner: Vec<&String> =
                path.segments.iter().filter(|segment| !matches!(segment.as_str(), "crate" | "self")).collect();
            if let [home, .., name] = inner.as_slice() {
                exported.insert((*name).clone(), (*home).clone());
            }
        }
    }
    exported
}

/// The longest listed unit that the module path starts with.
fn unit_of(module: &[String], rules: &Rules) -> Option<String> {
    (1..=module.len()).rev().map(|len| module[..len].join("::")).find(|unit| rules.levels.contains_key(unit))
}

fn judge_edge(source: &Source, line: usize, (from, to): (&str, &str), shown: &str, rules: &Rules, report: &mut Report) {
    let (Some(above), Some(below)) = (rules.levels.get(from), rules.levels.get(to)) else { return };
    if from == to || below < above {
        return;
    }
    if below == above && rules.edges.iter().any(|edge| edge.from == from && edge.to == to) {
        return;
    }
    let direction = if below == above { "sideways" } else { "upward" };
    let message = format!("`{shown}` points {direction}: `{from}` is in layer {above}, `{to}` in layer {below}");
    report.fail(&source.path, line, RULE, message);
}

/// Everything listed is there.
fn check_seats(sources: &[Source], rules: &Rules, seen: &BTreeSet<(String, String)>, report: &mut Report) {
    for unit in rules.levels.keys() {
        let stem = format!("src/{}", unit.replace("::", "/"));
        let is_there = |source: &Source| source.path == format!("{stem}.rs") || source.path == format!("{stem}/mod.rs");
        if !sources.iter().any(is_there) {
            report.fail(FILE, 1, RULE, format!("the unit `{unit}` has no file"));
        }
    }
    for edge in &rules.edges {
        if !seen.contains(&(edge.from.clone(), edge.to.clone())) {
            report.fail(FILE, 1, RULE, format!("nothing uses the edge `{}` to `{}` any more", edge.from, edge.to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        let mut report = Report::default();
        check(&sources, &sample::rules(), &mut report);
        report.messages()
    }

    #[test]
    fn a_downward_edge_and_a_listed_sideways_edge_are_fine() {
        let found = findings(&[
            ("src/top.rs", "use crate::low::A; fn f() { crate::base::g() }"),
            ("src/low/mod.rs", "use crate::base::B;"),
            ("src/base.rs", "use super::other::C;"),
            ("src/other.rs", ""),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn an_upward_edge_is_found_in_uses_and_in_code() {
        let top = ("src/top.rs", "use crate::base::x;");
        for text in ["use crate::{base, top::X};", "fn f() { crate::top::g() }", "mod m { use super::super::top::X; }"]
        {
            let found = findings(&[("src/low.rs", text), top]);
            assert!(found.iter().any(|line| line.contains("upward")), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_sideways_edge_that_is_not_listed_is_found() {
        let found = findings(&[("src/other.rs", "use crate::base::X;"), ("src/base.rs", "use crate::other::C;")]);
        assert_eq!(found.iter().filter(|line| line.contains("sideways")).count(), 1, "{found:?}");
    }

    #[test]
    fn a_name_that_the_root_exports_is_an_edge_to_its_home() {
        let found = findings(&[
            ("src/lib.rs", "mod top; pub use top::{Thing, Other};"),
            ("src/top.rs", ""),
            ("src/low.rs", "use crate::Thing;"),
        ]);
        assert!(found.iter().any(|line| line.contains("upward")), "{found:?}");
    }

    #[test]
    fn tests_and_models_may_look_anywhere() {
        let text = "#[cfg(test)]\nmod tests { use crate::top::X; }";
        let found =
            findings(&[("src/low/mod.rs", text), ("src/low/loom.rs", "use crate::top::X;"), ("src/top.rs", "")]);
        assert!(!found.iter().any(|line| line.contains("upward")), "{found:?}");
    }

    #[test]
    fn an_unlisted_unit_and_an_edge_to_it_are_found() {
        let found = findings(&[("src/stray.rs", ""), ("src/top.rs", "use crate::stray::X;")]);
        assert_eq!(found.iter().filter(|line| line.contains("listed")).count(), 2, "{found:?}");
    }

    #[test]
    fn an_empty_seat_and_an_unused_edge_are_found_when_strict() {
        let found = findings(&[("src/top.rs", ""), ("src/low.rs", ""), ("src/base.rs", "")]);
        assert!(found.iter().any(|line| line.contains("`other` has no file")), "{found:?}");
        assert!(found.iter().any(|line| line.contains("nothing uses the edge")), "{found:?}");
    }
}
