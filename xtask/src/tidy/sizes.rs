//! A file fits in the head, a function on a screen.

use super::lexer::{Kind, closing};
use super::report::Report;
use super::rules::Rules;
use super::source::Source;

const RULE: &str = "sizes";

pub(crate) fn check(sources: &[Source], rules: &Rules, report: &mut Report) {
    for source in sources {
        check_file(source, rules, report);
        for (index, pair) in source.tokens.windows(2).enumerate() {
            if let (true, Some(name)) = (pair[0].is_word("fn"), pair[1].word()) {
                check_function(source, index, name, rules, report);
            }
        }
    }
}

/// Tests and the code they test are counted apart.
fn check_file(source: &Source, rules: &Rules, report: &mut Report) {
    let sizes = &rules.sizes;
    let tests = if source.is_test_file() { source.line_count() } else { source.test_lines() };
    let code = source.line_count() - tests;
    if code > sizes.file_fail {
        report.fail(&source.path, 1, RULE, format!("{code} lines of code (the limit is {})", sizes.file_fail));
    } else if code > sizes.file_warn {
        report.warn(&source.path, 1, RULE, format!("{code} lines of code (aim at {} or less)", sizes.file_warn));
    }
    if tests > sizes.test_file_warn {
        report.warn(&source.path, 1, RULE, format!("{tests} lines of tests (aim at {} or less)", sizes.test_file_warn));
    }
}

fn check_function(source: &Source, index: usize, name: &str, rules: &Rules, report: &mut Report) {
    let Some(open) = body(source, index) else { return };
    let sizes = &rules.sizes;
    let line = source.tokens[index].line;
    let lines = source.tokens[closing(&source.tokens, open)].line - line + 1;
    if lines <= sizes.function_warn {
        return;
    }
    let is_explained = source
        .comments_above(source.statement_line(index))
        .iter()
        .any(|comment| comment.strip_prefix("long:").is_some_and(|reason| !reason.trim().is_empty()));
    if is_explained {
        return;
    }
    if lines > sizes.function_fail {
        let limit = sizes.function_fail;
        let message = format!("`{name}` has {lines} lines (the limit is {limit}, or `// long: <reason>` above it)");
        report.fail(&source.path, line, RULE, message);
    } else {
        let message = format!("`{name}` has {lines} lines (aim at {} or less)", sizes.function_warn);
        report.warn(&source.path, line, RULE, message);
    }
}

/// The bracket that opens the body of the function whose `fn` is at `index`.
fn body(source: &Source, index: usize) -> Option<usize> {
    let mut at = index;
    while let Some(token) = source.tokens.get(at) {
        match token.kind {
            Kind::Sign('{') => return Some(at),
            Kind::Sign(';') => return None,
            Kind::Sign('(' | '[') => at = closing(&source.tokens, at) + 1,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn counts(path: &str, text: &str) -> (usize, usize) {
        let mut report = Report::default();
        check(&[Source::new(path, text)], &sample::rules(), &mut report);
        (report.failures(), report.warnings())
    }

    #[test]
    fn long_files_are_found() {
        assert_eq!(counts("src/a.rs", &"x;\n".repeat(5)), (0, 0));
        assert_eq!(counts("src/a.rs", &"x;\n".repeat(6)), (0, 1));
        assert_eq!(counts("src/a.rs", &"x;\n".repeat(9)), (1, 0));
    }

    #[test]
    fn tests_are_counted_apart() {
        let tests = |lines| format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "x;\n".repeat(5), "y;\n".repeat(lines));
        assert_eq!(counts("src/a.rs", &tests(3)), (0, 0));
        assert_eq!(counts("src/a.rs", &tests(4)), (0, 1));
        assert_eq!(counts("src/a/tests.rs", &"x;\n".repeat(6)), (0, 0));
        assert_eq!(counts("tests/it/a.rs", &"x;\n".repeat(9)), (0, 1));
    }

    #[test]
    fn long_functions_are_found() {
        let function = |lines| format!("fn f(a: [u8; 3]) {{\n{}}}\n", "x;\n".repeat(lines));
        assert_eq!(counts("src/a.rs", &function(1)), (0, 0));
        assert_eq!(counts("src/a.rs", &function(3)), (0, 1));
        assert_eq!(counts("src/a/tests.rs", &function(4)).0, 1);
    }

    #[test]
    fn a_long_function_with_a_reason_is_fine_and_without_is_not() {
        let long = |above: &str| format!("{above}\npub fn f() {{{}}}\n", "\n".repeat(5));
        assert_eq!(counts("src/a/tests.rs", &long("// long: a table of cases")).0, 0);
        assert_eq!(counts("src/a/tests.rs", &long("// long:")).0, 1);
    }

    #[test]
    fn a_declaration_without_body_has_no_length() {
        assert_eq!(counts("src/a.rs", "trait A { fn f(&self);\n\n fn g(&self); }\n"), (0, 0));
    }
}
