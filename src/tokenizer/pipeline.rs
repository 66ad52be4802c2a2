//! The byte-level BPE tokenizer: added tokens are split off, a regex cuts the rest into words, and each word
//! goes through BPE in the byte alphabet.
//!
//! That is Hugging Face's pipeline for LFM2, step by step and with the same ids, but over `&str` slices: its
//! own string type keeps some 150 bytes of alignment a byte of input, which 6 MB of text turn into 0.9 GB.

use super::added::{AddedToken, AddedTokens, Piece};
use super::bpe::{self, Bpe, Scratch};
use super::metadata::{Metadata, TokenKind};
use super::vocab::Vocab;
use super::{TokenizerError, byte_level};
use crate::{Gguf, Result};
use fancy_regex::Regex;

/// Whether text that spells a special token (`<|im_end|>`) becomes that token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// As Hugging Face's tokenizers do by default: special tokens in the text are parsed.
    Parse,
    /// Untrusted text: special tokens are split as ordinary text. Added tokens that are not special
    /// still count, as with `split_special_tokens` in Hugging Face's.
    Plain,
}

/// The tokenizer of one model. Immutable and shared.
pub struct Tokenizer {
    vocab: Vocab,
    bpe: Bpe,
    /// Whether a word that is a token becomes that, whatever the merges make of it.
    ignore_merges: bool,
    words: Regex,
    added: AddedTokens,
    bos: Option<u32>,
    add_bos: bool,
    eos_ids: Vec<u32>,
    /// The special tokens that a chat template may name: `bos_token`, `eos_token`, …
    named: Vec<(&'static str, u32)>,
}

impl Tokenizer {
    /// Builds the tokenizer from `tokenizer.ggml.*`, and from `brooklet.tokenizer.*` where the file was
    /// converted from a tokenizer that those keys cannot describe.
    pub fn from_gguf(gguf: &Gguf) -> Result<Tokenizer> {
        let metadata = Metadata::read(gguf)?;
        let vocab = Vocab::new(&metadata.tokens)?;
        let bpe = Bpe::new(&vocab, metadata.merges(&vocab)?);
        let words = Regex::new(metadata.pre_regex)
            .map_err(|error| TokenizerError::Unsupported(format!("pre-tokenizer regex: {error}")))?;
        let mut tokenizer = Tokenizer {
            vocab,
            bpe,
            ignore_merges: metadata.ignore_merges,
            words,
            bos: metadata.bos,
            add_bos: metadata.add_bos,
            eos_ids: metadata.eos_ids,
            named: metadata.named,
            added: AddedTokens::new(metadata.added),
        };
        let end_of_text = tokenizer.id_of("<|endoftext|>").filter(|&id| tokenizer.is_special(id));
        tokenizer.eos_ids.extend(end_of_text);
        let mut seen = std::collections::HashSet::new();
        tokenizer.eos_ids.retain(|id| seen.insert(*id));
        Ok(tokenizer)
    }

    /// Ids of `text`, no BOS added.
    ///
    /// # Errors
    /// If the pre-tokenizer regex gives up on the text: a million white spaces in a row, or a regex of the file's
    /// own that backtracks without end. If the text is longer than 4 GiB.
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 4);
        self.encode_into(text, special, &mut ids)?;
        Ok(ids)
    }

    pub(super) fn encode_into(&self, text: &str, special: Special, ids: &mut Vec<u32>) -> Result<()> {
        if text.len() > bpe::MAX_LEN {
            return Err(TokenizerError::Unsupported("a text of more than 4 GiB".into()).into());
        }
        let mut scratch = Scratch::default();
        for piece in self.added.split(text, special) {
            match piece {
                Piece::Token(id) => ids.push(id),
                Piece::Text(text) => {
                    let mut done = 0;
                    for found in self.words.find_iter(text) {
                        let found = found.map_err(|error| {
                            TokenizerError::Unsupported(format!(
                                "the pre-tokenizer regex gives up on this text: {error}"
                            ))
                        })?;
                        self.encode_word(&text[done..found.start()], &mut scratch, ids);
                        self.encode_word(found.as_str(), &mut scratch, ids);
                        done = found.end();
                    }
                    self.encode_word(&text[done..], &mut scratch, ids);
                }
            }
        }
        Ok(())
    }

    fn encode_word(&self, word: &str, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        if self.ignore_merges && !word.is_empty() {
            scratch.text.clear();
            scratch.text.extend(word.bytes().map(byte_level::to_char));
            if let Some(id) = self.vocab.normal_id(&scratch.text) {
                return ids.push(id);
            }
        }
        self.bpe.encode(word, scratch, ids);
    }

    /// As [`Tokenizer::encode`] with specials parsed, with BOS in front where the file says so and the text
    /// does not already start with it: exactly one BOS. (Hugging Face's would add a second one.)
    pub fn encode_with_bos(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode(text, Special::Parse)?;
        self.ensure_bos(&mut ids);
        Ok(ids)
    }

    /// Puts BOS in front where the file says so and it is not there.
    pub fn ensure_bos(&self, ids: &mut Vec<u32>) {
        if let Some(bos) = self.bos.filter(|_| self.add_bos)
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
    }

    /// The text of `ids`; special tokens are spelled out or left away. Bytes that are no UTF-8 become U+FFFD.
    /// Ids that no token has (holes in the vocabulary, and beyond its end) yield nothing, as Hugging Face's.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for &id in ids {
            self.bytes_into(id, skip_special, &mut bytes);
        }
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// Appends the bytes that `id` stands for.
    pub(super) fn bytes_into(&self, id: u32, skip_special: bool, out: &mut Vec<u8>) {
        if let Some(token) = self.token(id)
            && !(skip_special && self.is_special(id))
        {
            byte_level::decode_into(token, out);
        }
    }

    /// A token's stored text (byte-level, so a space reads `Ġ`), if the id has a token.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.vocab.text(id)
    }

    /// The id of a token's text.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.added
            .iter()
            .find(|added| added.content == token)
            .map(|added| added.id)
            .or_else(|| self.vocab.normal_id(token))
    }

    /// Number of ids, holes included.
    pub fn vocab_size(&self) -> usize {
        self.vocab.len()
    }

    /// The begin-of-sequence id.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Every id that ends a generation: all eos ids and `<|endoftext|>`.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }

    /// Whether the id is a control token.
    pub fn is_special(&self, id: u32) -> bool {
        self.vocab.kind(id) == Some(TokenKind::Control)
    }

    /// The control tokens.
    pub(super) fn control_tokens(&self) -> impl Iterator<Item = &AddedToken> {
        self.added.iter().filter(|token| token.special)
    }

    /// The special tokens that a chat template may name, as (`bos_token`, its text).
    pub(super) fn named_tokens(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.named.iter().filter_map(|&(name, id)| Some((name, self.token(id)?)))
    }
}
