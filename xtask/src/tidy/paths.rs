//! The paths a source names: `use` trees taken apart, paths within code, and where each of them leads.

use super::lexer::{Kind, Token, closing};
use super::source::Source;

/// A path as written, with the place it stands at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamedPath {
    pub(crate) segments: Vec<String>,
    /// Index of its first token.
    pub(crate) token: usize,
    pub(crate) line: usize,
}

/// Every path of two or more segments, and every path of a `use`.
pub(crate) fn named_paths(tokens: &[Token]) -> Vec<NamedPath> {
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if tokens[index].is_word("use") && !is_precise_capturing(tokens, index) {
            index = use_tree(tokens, index + 1, &[], &mut found);
        } else if tokens[index].word().is_some() {
            index = inline_path(tokens, index, &mut found);
        } else {
            index += 1;
        }
    }
    found
}

/// `impl Trait + use<'a>` names no path.
fn is_precise_capturing(tokens: &[Token], index: usize) -> bool {
    tokens.get(index + 1).is_some_and(|next| next.is('<'))
}

fn is_separator(tokens: &[Token], index: usize) -> bool {
    tokens.get(index).is_some_and(|sign| sign.is(':')) && tokens.get(index + 1).is_some_and(|sign| sign.is(':'))
}

fn inline_path(tokens: &[Token], start: usize, found: &mut Vec<NamedPath>) -> usize {
    let mut segments = Vec::new();
    let mut index = start;
    while let Some(word) = tokens.get(index).and_then(Token::word) {
        segments.push(word.to_string());
        index += 1;
        if !is_separator(tokens, index) {
            break;
        }
        index += 2;
    }
    if segments.len() > 1 {
        found.push(NamedPath { segments, token: start, line: tokens[start].line });
    }
    index.max(start + 1)
}

/// Reads one tree; returns the index behind it.
fn use_tree(tokens: &[Token], start: usize, prefix: &[String], found: &mut Vec<NamedPath>) -> usize {
    let mut segments = prefix.to_vec();
    let mut index = start;
    if is_separator(tokens, index) {
        index += 2;
    }
    while let Some(token) = tokens.get(index) {
        match &token.kind {
            Kind::Word(word) if word == "as" => index += 1,
            Kind::Word(word) => {
                let is_alias = tokens[index - 1].is_word("as");
                if !is_alias {
                    segments.push(word.clone());
                }
                index += 1;
            }
            Kind::Sign('*') => {
                segments.push("*".to_string());
                index += 1;
            }
            Kind::Sign(':') => index += 1,
            Kind::Sign('{') => {
                let end = closing(tokens, index);
                index += 1;
                while index < end {
                    index = use_tree(tokens, index, &segments, found);
                    if tokens.get(index).is_some_and(|sign| sign.is(',')) {
                        index += 1;
                    }
                }
                return end + 1;
            }
            _ => break,
        }
    }
    if segments.last().is_some_and(|last| last == "self") && segments.len() > 1 {
        segments.pop();
    }
    let line = tokens.get(start).map_or(0, |token| token.line);
    found.push(NamedPath { segments, token: start, line });
    index.max(start + 1)
}

/// The module path of a library source below the crate root: `src/memory/words.rs` is `[memory, words]`.
pub(crate) fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut parts: Vec<String> = inner.split('/').map(String::from).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

/// The path from the crate root, if `path` starts with `crate`, `self` or `super`.
pub(crate) fn absolute(source: &Source, path: &NamedPath) -> Option<Vec<String>> {
    let mut segments = path.segments.as_slice();
    let mut base = match segments.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => enclosing_module(source, path.token),
        _ => return None,
    };
    if matches!(segments.first()?.as_str(), "crate" | "self") {
        segments = &segments[1..];
    }
    while let Some((first, rest)) = segments.split_first() {
        if first != "super" {
            break;
        }
        base.pop();
        segments = rest;
    }
    base.extend(segments.iter().cloned());
    Some(base)
}

/// The module around a token: the file's own and the inline ones it lies in.
fn enclosing_module(source: &Source, token: usize) -> Vec<String> {
    let mut module = module_of(&source.path);
    let tokens = &source.tokens;
    for index in 0..token.saturating_sub(1) {
        let Some(name) = tokens.get(index + 1).and_then(Token::word) else { continue };
        let is_inline = tokens[index].is_word("mod") && tokens.get(index + 2).is_some_and(|sign| sign.is('{'));
        if is_inline && closing(tokens, index + 2) > token {
            module.push(name.to_string());
        }
    }
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<String> {
        let source = Source::new("src/a.rs", text);
        named_paths(&source.tokens).iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn a_use_tree_is_taken_apart() {
        let text = "pub(crate) use std::{sync::{self, atomic as a, Arc}, io::*};";
        assert_eq!(named(text), ["std::sync", "std::sync::atomic", "std::sync::Arc", "std::io::*"]);
    }

    #[test]
    fn paths_in_code_are_found_and_single_words_are_not() {
        assert_eq!(named("fn f() -> crate::b::C { x; <T as d::E>::new(y) }"), ["crate::b::C", "d::E"]);
        assert!(named("fn f() -> impl Copy + use<'_> { x }").is_empty());
    }

    #[test]
    fn super_counts_inline_modules() {
        let source = Source::new("src/a/b.rs", "use super::x; mod imp { use super::super::y; } use self::z;");
        let paths = named_paths(&source.tokens);
        let resolved: Vec<String> =
            paths.iter().filter_map(|path| absolute(&source, path)).map(|path| path.join("::")).collect();
        assert_eq!(resolved, ["a::x", "a::y", "a::b::z"]);
    }

    #[test]
    fn module_paths_follow_the_files() {
        assert_eq!(module_of("src/memory/words.rs"), ["memory", "words"]);
        assert_eq!(module_of("src/memory/mod.rs"), ["memory"]);
        assert!(module_of("src/lib.rs").is_empty());
    }
}
