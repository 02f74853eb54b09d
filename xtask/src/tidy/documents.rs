//! Every document has one title, and it comes first.

use super::report::Report;

const RULE: &str = "documents";

pub(crate) fn check(documents: &[(String, String)], report: &mut Report) {
    for (path, text) in documents {
        let titles = title_lines(text);
        if titles.first() != Some(&1) {
            report.fail(path, 1, RULE, "does not begin with a title (`# ...`)");
        }
        if let Some(second) = titles.get(1) {
            report.fail(path, *second, RULE, "a second title");
        }
    }
}

/// Lines of the titles outside of code blocks, from 1.
fn title_lines(text: &str) -> Vec<usize> {
    let mut in_code = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code && line.starts_with("# ") {
            found.push(index + 1);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        let mut report = Report::default();
        check(&[("docs/a.md".to_string(), text.to_string())], &mut report);
        report.failures()
    }

    #[test]
    fn one_title_at_the_top_is_fine() {
        assert_eq!(findings("# Title\n\n## Section\n\n```sh\n# a comment\n```\n"), 0);
    }

    #[test]
    fn a_missing_late_or_second_title_is_found() {
        assert_eq!(findings("text\n"), 1);
        assert_eq!(findings("\n# Late\n"), 1);
        assert_eq!(findings("# One\n\n# Two\n"), 1);
    }
}
