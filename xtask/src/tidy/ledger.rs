//! `unsafe` stands in few, listed files, and each use of it says on which invariant it rests.

use super::lexer::Token;
use super::report::Report;
use super::rules::{FILE, Rules};
use super::source::Source;
use std::collections::BTreeSet;

const RULE: &str = "unsafe";
/// The document that argues for every file on the list.
const DOCUMENT: &str = "docs/unsafe.md";

pub(crate) fn check(sources: &[Source], documents: &[(String, String)], rules: &Rules, report: &mut Report) {
    for source in sources {
        let is_listed = rules.unsafe_files.contains(&source.path);
        let labels = if is_listed { known_labels(source, sources) } else { BTreeSet::new() };
        for (index, token) in source.tokens.iter().enumerate() {
            if token.is_word("unsafe") {
                if is_listed {
                    check_use(source, index, &labels, report);
                } else {
                    let message = format!("`unsafe` outside the files listed in {FILE}");
                    report.fail(&source.path, token.line, RULE, message);
                }
            }
            let allows = token.is_word("unsafe_code") && index >= 2 && source.tokens[index - 2].is_word("allow");
            if allows && !is_listed {
                report.fail(&source.path, token.line, RULE, format!("`unsafe` is allowed here and not in {FILE}"));
            }
        }
        check_crate_root(source, report);
    }
    check_list(sources, documents, rules, report);
}

/// A block or an implementation is argued for in a SAFETY comment above it; a function tells its callers what they owe.
fn check_use(source: &Source, index: usize, labels: &BTreeSet<String>, report: &mut Report) {
    let line = source.tokens[index].line;
    let next = source.tokens.get(index + 1);
    if next.is_some_and(|next| next.is_word("fn") || next.is_word("trait")) {
        let names_duties = source.comments_above(source.statement_line(index)).contains(&"# Safety");
        let is_type = source.tokens.get(index + 2).is_some_and(|after| after.is('('));
        if !names_duties && !is_type {
            report.fail(&source.path, line, RULE, "no `# Safety` section says what the caller owes");
        }
        return;
    }
    if !next.is_some_and(|next: &Token| next.is('{') || next.is_word("impl")) {
        return;
    }
    let mut argument = source.comments_above(line);
    if argument.is_empty() {
        argument = source.comments_above(source.statement_line(index));
    }
    let Some(start) = argument.iter().position(|text| text.starts_with("SAFETY:")) else {
        report.fail(&source.path, line, RULE, "no `// SAFETY:` comment stands above it");
        return;
    };
    let cited: Vec<String> = argument[..=start].iter().flat_map(|text| labels_in(text)).collect();
    if cited.is_empty() {
        report.fail(&source.path, line, RULE, "its SAFETY comment cites no invariant (like `M1`)");
    }
    for label in cited.iter().filter(|label| !labels.contains(*label)) {
        let message =
            format!("its SAFETY comment cites {label}, which neither the file nor its folder's mod.rs states");
        report.fail(&source.path, line, RULE, message);
    }
}

/// Words of one capital letter and a number.
fn labels_in(text: &str) -> Vec<String> {
    let is_label = |word: &&str| {
        let mut characters = word.chars();
        characters.next().is_some_and(|first| first.is_ascii_uppercase())
            && word.len() > 1
            && characters.all(|rest| rest.is_ascii_digit())
    };
    text.split(|next: char| !next.is_alphanumeric() && next != '_').filter(is_label).map(String::from).collect()
}

/// The invariants stated in bold (`**M1**`) in the file itself or in its folder's `mod.rs`.
fn known_labels(source: &Source, sources: &[Source]) -> BTreeSet<String> {
    let home = format!("{}/mod.rs", source.folder());
    let stated_in = |source: &Source| {
        let bold = source.comments.iter().flat_map(|comment| comment.text.split("**").skip(1).step_by(2));
        bold.flat_map(labels_in).collect::<Vec<_>>()
    };
    sources.iter().filter(|other| other.path == source.path || other.path == home).flat_map(stated_in).collect()
}

/// Every crate but the library forbids `unsafe` outright.
fn check_crate_root(source: &Source, report: &mut Report) {
    let is_root = !source.is_library() && (source.path.ends_with("src/main.rs") || source.path.ends_with("src/lib.rs"));
    let forbids = source.tokens.windows(3).any(|three| three[0].is_word("forbid") && three[2].is_word("unsafe_code"));
    if is_root && !forbids {
        report.fail(&source.path, 1, RULE, "the crate lacks `#![forbid(unsafe_code)]`");
    }
}

/// The list, the sources and the document name the same files.
fn check_list(sources: &[Source], documents: &[(String, String)], rules: &Rules, report: &mut Report) {
    for listed in &rules.unsafe_files {
        let source = sources.iter().find(|source| source.path == *listed);
        if !source.is_some_and(|source| source.tokens.iter().any(|token| token.is_word("unsafe"))) {
            report.fail(FILE, 1, RULE, format!("`{listed}` is listed and holds no `unsafe`"));
        }
    }
    let Some((_, text)) = documents.iter().find(|(path, _)| path == DOCUMENT) else {
        report.fail(DOCUMENT, 1, RULE, "the document is missing");
        return;
    };
    let quoted = text.split('`').skip(1).step_by(2);
    let described: BTreeSet<&str> = quoted.filter(|name| name.starts_with("src/") && name.ends_with(".rs")).collect();
    let listed: BTreeSet<&str> = rules.unsafe_files.iter().map(String::as_str).collect();
    for missing in listed.difference(&described) {
        report.fail(DOCUMENT, 1, RULE, format!("`{missing}` is listed in {FILE} and not described"));
    }
    for surplus in described.difference(&listed) {
        report.fail(DOCUMENT, 1, RULE, format!("`{surplus}` is described and not listed in {FILE}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    const STATED: (&str, &str) = ("src/low/mod.rs", "//! * **L1** The pointer is valid.");
    const DESCRIBED: &str = "# Unsafe\n\n`src/low/raw.rs`";

    fn findings_with(files: &[(&str, &str)], document: &str) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        let mut report = Report::default();
        check(&sources, &[(DOCUMENT.to_string(), document.to_string())], &sample::rules(), &mut report);
        report.messages()
    }

    fn findings(raw: &str) -> Vec<String> {
        findings_with(&[STATED, ("src/low/raw.rs", raw)], DESCRIBED)
    }

    #[test]
    fn an_argued_use_in_a_listed_file_is_fine() {
        let found = findings(
            "// SAFETY: L1; it lives\n// long enough.\nunsafe impl Send for A {}\n\
             fn f() {\n // SAFETY: L1 holds.\n let a = unsafe { g() };\n // SAFETY: L1.\n let b =\n unsafe { g() };\n}\n\
             /// Reads.\n///\n/// # Safety\n/// Be careful.\npub unsafe fn g() {}",
        );
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_use_without_argument_is_found() {
        for raw in ["fn f() { unsafe { g() } }", "// no reason\nunsafe impl Send for A {}", "unsafe fn f() {}"] {
            assert_eq!(findings(raw).len(), 1, "{raw}");
        }
    }

    #[test]
    fn an_argument_must_cite_an_invariant_that_is_stated() {
        assert!(findings("// SAFETY: trust me.\nunsafe impl Send for A {}")[0].contains("cites no invariant"));
        assert!(findings("// SAFETY: L7.\nunsafe impl Send for A {}")[0].contains("cites L7"));
    }

    #[test]
    fn a_use_in_another_file_is_found_and_prose_is_not() {
        let raw = ("src/low/raw.rs", "// SAFETY: L1.\nunsafe impl Send for A {}");
        let fine = ("src/top.rs", "// unsafe\nfn f() { \"unsafe\"; }");
        assert!(findings_with(&[STATED, raw, fine], DESCRIBED).is_empty());
        for stray in ["fn f() { unsafe { g() } }", "#![allow(unsafe_code)]"] {
            assert_eq!(findings_with(&[STATED, raw, ("src/top.rs", stray)], DESCRIBED).len(), 1, "{stray}");
        }
    }

    #[test]
    fn other_crates_forbid_it() {
        let raw = ("src/low/raw.rs", "// SAFETY: L1.\nunsafe impl Send for A {}");
        let fine = ("crates/a/src/main.rs", "#![forbid(unsafe_code)]");
        assert!(findings_with(&[STATED, raw, fine], DESCRIBED).is_empty());
        assert_eq!(findings_with(&[STATED, raw, ("crates/a/src/lib.rs", "")], DESCRIBED).len(), 1);
    }

    #[test]
    fn list_sources_and_document_agree() {
        assert!(findings("fn f() {}")[0].contains("holds no `unsafe`"));
        let raw = ("src/low/raw.rs", "// SAFETY: L1.\nunsafe impl Send for A {}");
        assert!(findings_with(&[STATED, raw], "# Unsafe")[0].contains("not described"));
        let more = "# Unsafe\n\n`src/low/raw.rs` `src/top.rs`";
        assert!(findings_with(&[STATED, raw], more)[0].contains("not listed"));
        let sources = [Source::new(STATED.0, STATED.1), Source::new(raw.0, raw.1)];
        let mut report = Report::default();
        check(&sources, &[], &sample::rules(), &mut report);
        assert_eq!(report.messages(), ["the document is missing"]);
    }
}
