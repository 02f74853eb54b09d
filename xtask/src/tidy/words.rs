//! Names say what a thing is: some words say nothing. And sources are plain ASCII.

use super::report::Report;
use super::rules::Rules;
use super::source::Source;
use std::collections::BTreeSet;

const RULE: &str = "words";

pub(crate) fn check(sources: &[Source], rules: &Rules, report: &mut Report) {
    for source in sources {
        for part in source.path.trim_end_matches(".rs").split('/') {
            if let Some(word) = forbidden(part, rules) {
                report.fail(&source.path, 1, RULE, format!("`{word}` in the name of a file says nothing"));
            }
        }
        let mut told = BTreeSet::new();
        for token in &source.tokens {
            let Some(name) = token.word() else { continue };
            if let Some(word) = forbidden(name, rules).filter(|_| told.insert(name)) {
                report.fail(&source.path, token.line, RULE, format!("`{word}` in `{name}` says nothing"));
            }
        }
        for (index, line) in source.text.lines().enumerate() {
            if let Some(odd) = line.chars().find(|next| !next.is_ascii()) {
                report.fail(&source.path, index + 1, RULE, format!("{odd:?} is not ASCII"));
            }
        }
    }
}

/// The forbidden word that is a whole part of `name`. A word with an underscore at one end must have a neighbour there.
fn forbidden<'a>(name: &str, rules: &'a Rules) -> Option<&'a str> {
    let name = snake_case(name);
    let parts: Vec<&str> = name.split('_').filter(|part| !part.is_empty()).collect();
    let is_in = |word: &&String| {
        parts.iter().enumerate().any(|(index, part)| {
            *part == word.trim_matches('_')
                && (!word.starts_with('_') || index > 0)
                && (!word.ends_with('_') || index + 1 < parts.len())
        })
    };
    rules.forbidden_words.iter().find(is_in).map(String::as_str)
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut after_lower = false;
    for next in name.chars() {
        if next.is_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = next.is_lowercase() || next.is_ascii_digit();
        snake.extend(next.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        let mut report = Report::default();
        check(&[Source::new(path, text)], &sample::rules(), &mut report);
        report.failures()
    }

    #[test]
    fn empty_words_are_found_in_identifiers() {
        for name in ["LogManager", "log_manager", "MANAGER_SIZE", "internal_read", "read_v2", "tests_part1"] {
            assert_eq!(findings("src/a.rs", &format!("fn f() {{ {name} }}")), 1, "{name}");
        }
    }

    #[test]
    fn words_that_merely_contain_them_are_fine() {
        for name in ["uncommon", "internal", "v2", "part10", "management"] {
            assert_eq!(findings("src/a.rs", &format!("fn f() {{ {name} }} // manager")), 0, "{name}");
        }
    }

    #[test]
    fn empty_words_are_found_in_file_names() {
        assert_eq!(findings("src/common/a.rs", ""), 1);
        assert_eq!(findings("src/log_helper.rs", ""), 1);
        assert_eq!(findings("src/log.rs", ""), 0);
    }

    #[test]
    fn sources_are_ascii() {
        assert_eq!(findings("src/a.rs", "// fine"), 0);
        assert_eq!(findings("src/a.rs", "// na\u{ef}ve"), 1);
    }
}
