//! One Rust source file, and what the rules want to know of it.

use super::lexer::{Comment, Kind, Token, closing, lex};
use std::ops::Range;

pub(crate) struct Source {
    /// Relative to the root of the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    pub(crate) comments: Vec<Comment>,
    /// Token ranges of items that exist in test builds only.
    test_items: Vec<Range<usize>>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (tokens, comments) = lex(text);
        let test_items = test_items(&tokens);
        Self { path: path.to_string(), text: text.to_string(), tokens, comments, test_items }
    }

    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The path of the folder the file lies in.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// True for a source of the library.
    pub(crate) fn is_library(&self) -> bool {
        self.path.starts_with("src/")
    }

    /// True for a file that holds tests or models and nothing else.
    pub(crate) fn is_test_file(&self) -> bool {
        matches!(self.file_name(), "tests.rs" | "loom.rs")
            || self.path.split('/').any(|part| matches!(part, "tests" | "loom"))
    }

    /// True if the token at `index` belongs to tests or models.
    pub(crate) fn is_test(&self, index: usize) -> bool {
        self.is_test_file() || self.test_items.iter().any(|range| range.contains(&index))
    }

    /// Lines of the test items within a file that is not a test file.
    pub(crate) fn test_lines(&self) -> usize {
        let lines = |range: &Range<usize>| self.tokens[range.end - 1].line - self.tokens[range.start].line + 1;
        self.test_items.iter().map(lines).sum()
    }

    pub(crate) fn line_count(&self) -> usize {
        self.text.lines().count()
    }

    /// The comment lines that stand directly above `line`, nearest first. Attributes between do not separate them.
    pub(crate) fn comments_above(&self, line: usize) -> Vec<&str> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut found = Vec::new();
        for above in (1..line).rev() {
            let text = lines.get(above - 1).map_or("", |text| text.trim());
            if text.starts_with("#[") {
                continue;
            }
            match self.comment_alone_at(above) {
                Some(comment) => found.push(comment),
                None => break,
            }
        }
        found
    }

    /// The comment on `line`, if there is no code beside it.
    fn comment_alone_at(&self, line: usize) -> Option<&str> {
        let from = self.tokens.partition_point(|token| token.line < line);
        if self.tokens.get(from).is_some_and(|token| token.line == line) {
            return None;
        }
        self.comments.iter().find(|comment| comment.line == line).map(|comment| comment.text.as_str())
    }

    /// The line on which the statement or item around the token at `index` begins.
    pub(crate) fn statement_line(&self, index: usize) -> usize {
        let ends = |token: &Token| matches!(token.kind, Kind::Sign(';' | '{' | '}' | ','));
        let mut first = index;
        while first > 0 && !ends(&self.tokens[first - 1]) {
            first -= 1;
        }
        self.tokens[first].line
    }
}

/// Ranges of the items under an attribute like `#[cfg(test)]` or `#[cfg(all(test, ...))]`.
fn test_items(tokens: &[Token]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut index = 0;
    while index + 2 < tokens.len() {
        let is_cfg = tokens[index].is('#') && tokens[index + 1].is('[') && tokens[index + 2].is_word("cfg");
        if is_cfg {
            let end = closing(tokens, index + 1);
            if needs_test(&tokens[index + 3..end]) {
                let range = index..item_end(tokens, end + 1);
                index = range.end;
                found.push(range);
                continue;
            }
        }
        index += 1;
    }
    found
}

/// True if a condition mentions `test` (or the model checker's flag) other than to negate it.
fn needs_test(condition: &[Token]) -> bool {
    condition.iter().enumerate().any(|(index, token)| {
        let negated = index >= 2 && condition[index - 1].is('(') && condition[index - 2].is_word("not");
        token.is_word("test") && !negated
    })
}

/// One past the last token of the item that starts at `start`, its further attributes included.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut index = start;
    while index < tokens.len() {
        match tokens[index].kind {
            Kind::Sign(';') => return index + 1,
            Kind::Sign('{') => return closing(tokens, index) + 1,
            Kind::Sign('(' | '[') => index = closing(tokens, index) + 1,
            _ => index += 1,
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested_words(text: &str) -> Vec<(String, bool)> {
        let source = Source::new("src/a.rs", text);
        let words = source.tokens.iter().enumerate();
        words.filter_map(|(index, token)| token.word().map(|word| (word.to_string(), source.is_test(index)))).collect()
    }

    #[test]
    fn test_items_are_found_whole() {
        let words = tested_words("a; #[cfg(all(test, not(x)))] #[path = \"t.rs\"] mod tests { inner; } b;");
        assert!(words.contains(&("a".to_string(), false)));
        assert!(words.contains(&("inner".to_string(), true)));
        assert!(words.contains(&("b".to_string(), false)));
    }

    #[test]
    fn what_is_there_without_tests_is_not_a_test() {
        assert!(tested_words("#[cfg(not(test))] mod a { inner; }").contains(&("inner".to_string(), false)));
        assert!(tested_words("#[cfg(feature = \"test\")] fn f() {}").contains(&("f".to_string(), false)));
    }

    #[test]
    fn a_comment_above_is_seen_through_attributes_but_not_through_code() {
        let source = Source::new("src/a.rs", "// far\nlet a;\n// near\n#[x]\nfn f() {}\n");
        assert_eq!(source.comments_above(5), ["near"]);
        assert!(source.comments_above(6).is_empty());
    }

    #[test]
    fn lines_of_tests_are_counted_apart() {
        let source = Source::new("src/a.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    x;\n}\n");
        assert_eq!((source.line_count(), source.test_lines()), (5, 4));
    }
}
