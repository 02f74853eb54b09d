//! Rust sources as tokens and comments: just enough of the language to tell code from prose.

/// A piece of code with the line it starts on (from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Word(String),
    Sign(char),
    /// The contents of a string literal, escapes left as they stand.
    Text(String),
    /// A number, a character, a lifetime.
    Other,
}

impl Token {
    pub(crate) fn is(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }

    pub(crate) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(crate) fn is_word(&self, wanted: &str) -> bool {
        self.word() == Some(wanted)
    }
}

/// One line of a comment, without its markers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comment {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// Takes a source apart. Text that is not Rust gives some tokens or other; nothing here can fail.
pub(crate) fn lex(source: &str) -> (Vec<Token>, Vec<Comment>) {
    let mut lexer = Lexer { rest: source.chars().collect(), at: 0, line: 1, tokens: Vec::new(), comments: Vec::new() };
    while lexer.at < lexer.rest.len() {
        lexer.advance();
    }
    (lexer.tokens, lexer.comments)
}

struct Lexer {
    rest: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
    comments: Vec<Comment>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.at + ahead).copied()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(next == '\n');
        Some(next)
    }

    fn push(&mut self, line: usize, kind: Kind) {
        self.tokens.push(Token { line, kind });
    }

    fn advance(&mut self) {
        let line = self.line;
        match (self.peek(0), self.peek(1)) {
            (Some('/'), Some('/')) => self.line_comment(),
            (Some('/'), Some('*')) => self.block_comment(),
            (Some('"'), _) => self.text(line),
            (Some('\''), _) => self.quote(line),
            (Some(first), _) if first.is_alphabetic() || first == '_' => self.word(line),
            (Some(first), _) if first.is_ascii_digit() => {
                self.word_characters();
                self.push(line, Kind::Other);
            }
            _ => {
                if let Some(sign) = self.bump().filter(|sign| !sign.is_whitespace()) {
                    self.push(line, Kind::Sign(sign));
                }
            }
        }
    }

    fn line_comment(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while self.peek(0).is_some_and(|next| next != '\n') {
            text.extend(self.bump());
        }
        let text = text.trim_start_matches(['/', '!']).trim().to_string();
        self.comments.push(Comment { line, text });
    }

    fn block_comment(&mut self) {
        let (mut depth, mut text) = (0, String::new());
        loop {
            let line = self.line;
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (Some('\n'), _) | (None, _) => {
                    let whole = std::mem::take(&mut text);
                    self.comments.push(Comment { line, text: whole.trim().to_string() });
                    if self.bump().is_none() {
                        return;
                    }
                    continue;
                }
                (Some(other), _) => {
                    text.push(other);
                    self.bump();
                    continue;
                }
            }
            self.at += 2;
            if depth == 0 {
                self.comments.push(Comment { line, text: text.trim().to_string() });
                return;
            }
        }
    }

    fn text(&mut self, line: usize) {
        self.bump();
        let mut text = String::new();
        while let Some(next) = self.bump() {
            match next {
                '"' => break,
                '\\' => {
                    text.push(next);
                    text.extend(self.bump());
                }
                other => text.push(other),
            }
        }
        self.push(line, Kind::Text(text));
    }

    fn raw_text(&mut self, line: usize) {
        let mut hashes = 0;
        while self.peek(0) == Some('#') {
            hashes += 1;
            self.bump();
        }
        self.bump();
        let mut text = String::new();
        while let Some(next) = self.bump() {
            if next == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.at += hashes;
                break;
            }
            text.push(next);
        }
        self.push(line, Kind::Text(text));
    }

    /// A character literal or a lifetime.
    fn quote(&mut self, line: usize) {
        self.bump();
        let is_lifetime = self.peek(0) != Some('\\') && self.peek(1) != Some('\'');
        if is_lifetime {
            self.word_characters();
        } else {
            if self.bump() == Some('\\') {
                self.bump();
            }
            while self.bump().is_some_and(|next| next != '\'') {}
        }
        self.push(line, Kind::Other);
    }

    fn word(&mut self, line: usize) {
        let word = self.word_characters();
        match (word.as_str(), self.peek(0), self.peek(1)) {
            ("b" | "c", Some('"'), _) => self.text(line),
            ("b", Some('\''), _) => self.quote(line),
            ("r" | "br" | "cr", Some('"'), _) | ("r" | "br" | "cr", Some('#'), Some('"' | '#')) => self.raw_text(line),
            ("r", Some('#'), Some(_)) => {
                self.bump();
                let word = self.word_characters();
                self.push(line, Kind::Word(word));
            }
            _ => self.push(line, Kind::Word(word)),
        }
    }

    fn word_characters(&mut self) -> String {
        let mut word = String::new();
        while self.peek(0).is_some_and(|next| next.is_alphanumeric() || next == '_') {
            word.extend(self.bump());
        }
        word
    }
}

/// The index of the token that closes the bracket at `open`, or of the last token if nothing does.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        if let Kind::Sign('(' | '[' | '{') = token.kind {
            depth += 1;
        } else if let Kind::Sign(')' | ']' | '}') = token.kind {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return index;
            }
        }
    }
    tokens.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        lex(source).0.iter().filter_map(|token| token.word().map(String::from)).collect()
    }

    #[test]
    fn prose_and_literals_are_not_code() {
        let source = "let a = \"unsafe \\\" x\"; // unsafe\n/* unsafe /* nested */ unsafe */ let b = r#\"unsafe\"#;";
        assert_eq!(words(source), ["let", "a", "let", "b"]);
    }

    #[test]
    fn lifetimes_characters_and_raw_words_are_told_apart() {
        assert_eq!(words("fn f<'a>(x: &'a u8) { '\\''; 'x'; b'\"'; r#type }"), ["fn", "f", "x", "u8", "type"]);
    }

    #[test]
    fn raw_strings_end_at_their_own_mark() {
        assert_eq!(words("br##\"a \"# b\"## end"), ["end"]);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let (tokens, comments) = lex("\"a\nb\"\n/* x\n y */ word");
        assert_eq!(tokens.last().unwrap(), &Token { line: 4, kind: Kind::Word("word".to_string()) });
        assert_eq!(comments.iter().map(|comment| comment.line).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn a_bracket_finds_its_partner() {
        let (tokens, _) = lex("f(a, [b], {c}) d");
        assert!(tokens[closing(&tokens, 1)].is(')'));
        assert_eq!(closing(&tokens, 1), tokens.len() - 2);
    }
}
