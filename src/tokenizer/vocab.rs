//! The vocabulary: texts by id, and ids by text.

use super::TokenizerError;
use super::metadata::{TokenKind, twice};
use crate::Result;
use hashbrown::DefaultHashBuilder;
use hashbrown::hash_table::{Entry, HashTable};
use std::hash::BuildHasher;

/// The tokens of a model. Texts are kept once, one after the other; what finds them by text are their ids.
pub(super) struct Vocab {
    tokens: Vec<Token>,
    texts: String,
    ids: HashTable<u32>,
    hashes: DefaultHashBuilder,
}

/// One id: where its text ends (it starts where the one before ends) and what it is.
struct Token {
    text_end: u32,
    kind: TokenKind,
}

impl Vocab {
    /// With the text and the kind of each id.
    ///
    /// # Errors
    /// A token that is there twice.
    pub fn new(tokens: &[(&str, TokenKind)]) -> Result<Vocab> {
        let mut vocab = Vocab {
            tokens: Vec::with_capacity(tokens.len()),
            texts: String::with_capacity(tokens.iter().map(|(text, _)| text.len()).sum()),
            ids: HashTable::with_capacity(tokens.len()),
            hashes: DefaultHashBuilder::default(),
        };
        for (id, &(text, kind)) in (0..).zip(tokens) {
            if kind != TokenKind::Hole {
                vocab.texts.push_str(text);
            }
            let text_end = u32::try_from(vocab.texts.len())
                .map_err(|_| TokenizerError::Unsupported("the tokens' texts exceed 4 GiB".into()))?;
            vocab.tokens.push(Token { text_end, kind });
            if kind == TokenKind::Hole {
                continue;
            }
            let hash = |text: &str| vocab.hashes.hash_one(text);
            let text_of = |id: &u32| text_of(&vocab.tokens, &vocab.texts, *id);
            match vocab.ids.entry(hash(text), |id| text_of(id) == text, |id| hash(text_of(id))) {
                Entry::Vacant(place) => place.insert(id),
                Entry::Occupied(_) => return Err(twice(text)),
            };
        }
        Ok(vocab)
    }

    /// Number of ids, holes included.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// What an id is for, if there is such.
    pub fn kind(&self, id: u32) -> Option<TokenKind> {
        self.tokens.get(id as usize).map(|token| token.kind)
    }

    /// The text of an id that has a token.
    pub fn text(&self, id: u32) -> Option<&str> {
        self.kind(id).filter(|kind| *kind != TokenKind::Hole)?;
        Some(text_of(&self.tokens, &self.texts, id))
    }

    /// The id of a text.
    pub fn id(&self, text: &str) -> Option<u32> {
        let hash = self.hashes.hash_one(text);
        self.ids.find(hash, |id| text_of(&self.tokens, &self.texts, *id) == text).copied()
    }

    /// As [`Vocab::id`], of a text that BPE may make: a control token is found in the text before, and where the text is not
    /// trusted BPE must not make it.
    pub fn normal_id(&self, text: &str) -> Option<u32> {
        self.id(text).filter(|&id| self.kind(id) != Some(TokenKind::Control))
    }
}

fn text_of<'a>(tokens: &[Token], texts: &'a str, id: u32) -> &'a str {
    let index = id as usize;
    let start = index.checked_sub(1).map_or(0, |before| tokens[before].text_end);
    &texts[start as usize..tokens[index].text_end as usize]
}
