//! The byte-level BPE tokenizer.

use crate::{Gguf, Result};
use std::sync::Arc;

/// Whether text that spells a special token (`<|im_end|>`) becomes that token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// As Hugging Face's tokenizers do by default: special tokens in the text are parsed.
    Parse,
    /// Untrusted text: special tokens are split as ordinary text.
    Plain,
}

/// The tokenizer of one model. Immutable and shared.
pub struct Tokenizer {}

#[allow(unused_variables)]
impl Tokenizer {
    /// Builds the tokenizer from `tokenizer.ggml.*`.
    pub fn from_gguf(gguf: &Gguf) -> Result<Tokenizer> {
        todo!()
    }
    /// Ids of `text`, no BOS added.
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<u32>> {
        todo!()
    }
    /// As [`Tokenizer::encode`] with specials parsed, with BOS in front where the file says so and the text does not already start with it.
    pub fn encode_with_bos(&self, text: &str) -> Result<Vec<u32>> {
        todo!()
    }
    /// The text of `ids`; special tokens are spelled out or left away.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        todo!()
    }
    /// A token's stored text, if the id exists.
    pub fn token(&self, id: u32) -> Option<&str> {
        todo!()
    }
    /// The id of a token's text.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        todo!()
    }
    /// Number of ids, holes included.
    pub fn vocab_size(&self) -> usize {
        todo!()
    }
    /// The begin-of-sequence id.
    pub fn bos(&self) -> Option<u32> {
        todo!()
    }
    /// Every id that ends a generation: all eos ids and `<|endoftext|>`.
    pub fn eos_ids(&self) -> &[u32] {
        todo!()
    }
    /// Whether the id is a control token.
    pub fn is_special(&self, id: u32) -> bool {
        todo!()
    }
}

/// Streams ids to text; never yields half a character.
pub struct TokenDecoder {
    _tokenizer: Arc<Tokenizer>,
}

#[allow(unused_variables)]
impl TokenDecoder {
    /// Starts a stream. With `skip_special`, control tokens yield nothing.
    pub fn new(tokenizer: Arc<Tokenizer>, skip_special: bool) -> Self {
        TokenDecoder { _tokenizer: tokenizer }
    }
    /// The text that `id` completes, possibly empty.
    pub fn push(&mut self, id: u32) -> Result<String> {
        todo!()
    }
    /// What is left at the end: an incomplete character as U+FFFD, as Hugging Face decodes it.
    pub fn finish(&mut self) -> String {
        todo!()
    }
}
