//! Added tokens: those that are found in the text before BPE sees it.
//!
//! The rules are those of Hugging Face's `AddedVocabulary`: leftmost match, the longest of those, tokens
//! that are not "normalized" before those that are, and the flags `lstrip`, `rstrip`, `single_word`.

use super::Special;
use fancy_regex::Regex;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::LazyLock;

/// An added token, with the field names of tokenizer.json.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct AddedToken {
    pub id: u32,
    pub content: String,
    /// Matches only where no word character touches it.
    #[serde(default)]
    pub single_word: bool,
    /// Swallows the white space on its left.
    #[serde(default)]
    pub lstrip: bool,
    /// Swallows the white space on its right.
    #[serde(default)]
    pub rstrip: bool,
    /// Is looked for after those that are not.
    #[serde(default)]
    pub normalized: bool,
    /// A control token.
    #[serde(default)]
    pub special: bool,
}

impl AddedToken {
    /// With the flags that Hugging Face gives by default.
    pub fn new(id: u32, content: &str, special: bool) -> Self {
        AddedToken {
            id,
            content: content.into(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: !special,
            special,
        }
    }
}

/// A stretch of a split text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    /// Ordinary text, for BPE.
    Text(&'t str),
    /// An added token.
    Token(u32),
}

/// All added tokens of a tokenizer.
#[derive(Debug, Default)]
pub(super) struct AddedTokens {
    verbatim: Matcher,
    normalized: Matcher,
}

impl AddedTokens {
    pub fn new(tokens: Vec<AddedToken>) -> Self {
        let (normalized, verbatim) = tokens.into_iter().partition(|token: &AddedToken| token.normalized);
        AddedTokens { verbatim: Matcher::new(verbatim), normalized: Matcher::new(normalized) }
    }

    pub fn iter(&self) -> impl Iterator<Item = &AddedToken> {
        self.verbatim.tokens.iter().chain(&self.normalized.tokens)
    }

    /// Splits `text` at its added tokens; with [`Special::Plain`] control tokens stay text.
    pub fn split<'t>(&self, text: &'t str, special: Special) -> Vec<Piece<'t>> {
        let mut outer = Vec::new();
        self.verbatim.split(text, special, &mut outer);
        if self.normalized.tokens.is_empty() {
            return outer;
        }
        let mut pieces = Vec::with_capacity(outer.len());
        for piece in outer {
            match piece {
                Piece::Text(text) => self.normalized.split(text, special, &mut pieces),
                token => pieces.push(token),
            }
        }
        pieces
    }
}

/// Finds a set of tokens in a text.
#[derive(Debug)]
struct Matcher {
    tokens: Vec<AddedToken>,
    by_content: HashMap<Box<[u8]>, usize>,
    /// Lengths that occur, longest first.
    lengths: Vec<usize>,
    /// Whether any token starts with the byte.
    starts: [bool; 256],
}

impl Default for Matcher {
    fn default() -> Self {
        Matcher::new(Vec::new())
    }
}

impl Matcher {
    fn new(tokens: Vec<AddedToken>) -> Self {
        let mut by_content = HashMap::with_capacity(tokens.len());
        let mut lengths = Vec::new();
        let mut starts = [false; 256];
        for (index, token) in tokens.iter().enumerate() {
            let content = token.content.as_bytes();
            let Some(&first) = content.first() else { continue };
            starts[usize::from(first)] = true;
            lengths.push(content.len());
            by_content.insert(content.into(), index);
        }
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        Matcher { tokens, by_content, lengths, starts }
    }

    /// The leftmost, longest token at or after byte `from`, and where it starts. Tokens are whole characters,
    /// so a match of bytes is one of characters.
    fn find(&self, text: &str, from: usize) -> Option<(usize, &AddedToken)> {
        let bytes = text.as_bytes();
        (from..bytes.len()).filter(|&at| self.starts[usize::from(bytes[at])]).find_map(|at| {
            let found = self.lengths.iter().find_map(|&len| self.by_content.get(bytes.get(at..at + len)?))?;
            Some((at, &self.tokens[*found]))
        })
    }

    fn split<'t>(&self, text: &'t str, special: Special, out: &mut Vec<Piece<'t>>) {
        let mut from = 0; // where to look on
        let mut done = 0; // what has been put out
        while let Some((mut start, token)) = self.find(text, from) {
            let mut end = start + token.content.len();
            from = end;
            if token.special && special == Special::Plain {
                continue;
            }
            let (before, after) = (&text[..start], &text[end..]);
            if token.single_word
                && (before.chars().next_back().is_some_and(is_word)
                    || after.chars().next().is_some_and(is_word))
            {
                continue;
            }
            if token.lstrip {
                start = before.trim_end().len().max(done);
            }
            if token.rstrip {
                end += after.len() - after.trim_start().len();
            }
            if done < start {
                out.push(Piece::Text(&text[done..start]));
            }
            out.push(Piece::Token(token.id));
            done = end;
        }
        if done < text.len() {
            out.push(Piece::Text(&text[done..]));
        }
    }
}

/// A word character as the regex `\w` has it.
fn is_word(c: char) -> bool {
    static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\w").expect("a valid regex"));
    WORD.is_match(c.encode_utf8(&mut [0; 4])).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::Piece::{Text, Token};
    use super::*;

    type Change = fn(&mut AddedToken);

    fn added(tokens: &[(&str, Change)]) -> AddedTokens {
        let tokens = tokens.iter().enumerate().map(|(id, (content, change))| {
            let mut token = AddedToken::new(id as u32, content, true);
            change(&mut token);
            token
        });
        AddedTokens::new(tokens.collect())
    }

    #[test]
    fn the_longest_of_the_leftmost_wins() {
        let added = added(&[("<a>", |_| ()), ("<a>b", |_| ()), ("a>bc", |_| ())]);
        assert_eq!(added.split("x<a>bc<a>", Special::Parse), [Text("x"), Token(1), Text("c"), Token(0)]);
        assert_eq!(added.split("", Special::Parse), []);
        assert_eq!(added.split("<a", Special::Parse), [Text("<a")]);
    }

    #[test]
    fn plain_leaves_control_tokens_but_not_others() {
        let added = added(&[("<a>", |_| ()), ("py", |t| (t.special, t.normalized) = (false, true))]);
        assert_eq!(added.split("<a>py<a>", Special::Plain), [Text("<a>"), Token(1), Text("<a>")]);
        assert_eq!(added.split("<a>py<a>", Special::Parse), [Token(0), Token(1), Token(0)]);
    }

    #[test]
    fn flags_are_honoured() {
        let added = added(&[
            ("<l>", |t| t.lstrip = true),
            ("<r>", |t| t.rstrip = true),
            ("w", |t| t.single_word = true),
        ]);
        assert_eq!(added.split("a \n<l> b", Special::Parse), [Text("a"), Token(0), Text(" b")]);
        assert_eq!(added.split("a <r>\t b", Special::Parse), [Text("a "), Token(1), Text("b")]);
        assert_eq!(added.split("w ow wé -w", Special::Parse), [Token(2), Text(" ow wé -"), Token(2)]);
    }
}
