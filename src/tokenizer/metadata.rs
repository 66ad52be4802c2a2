//! What a GGUF file says of its tokenizer, checked.

use super::TokenizerError;
use super::added::AddedToken;
use super::bpe::{Merge, Merges};
use super::vocab::Vocab;
use crate::gguf::{Array, Value, ValueKind};
use crate::{Gguf, Result};

/// LFM2's pre-tokenizer, which `tokenizer.ggml.pre` = `lfm2` stands for.
const LFM2_REGEX: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPE: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const ADDED: &str = "brooklet.tokenizer.added_tokens";

/// Template variable and the key of its id (`seperator` is how GGUF spells it).
const NAMED: [(&str, &str); 7] = [
    ("bos_token", "tokenizer.ggml.bos_token_id"),
    ("eos_token", "tokenizer.ggml.eos_token_id"),
    ("unk_token", "tokenizer.ggml.unknown_token_id"),
    ("sep_token", "tokenizer.ggml.seperator_token_id"),
    ("pad_token", "tokenizer.ggml.padding_token_id"),
    ("cls_token", "tokenizer.ggml.cls_token_id"),
    ("mask_token", "tokenizer.ggml.mask_token_id"),
];

/// More tokens, and merges, than any model has; ids stay far from the limits of u32.
const MAX_TOKENS: usize = 1 << 24;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Made by BPE.
    Normal,
    /// Steers the model; never comes from untrusted text.
    Control,
    /// Found in the text before BPE.
    UserDefined,
    /// An id that no token has; its text is a filler.
    Hole,
}

impl TokenKind {
    /// From `tokenizer.ggml.token_type`; unknown and byte tokens are nothing special in a byte-level vocabulary.
    fn from_ggml(code: i64) -> Option<TokenKind> {
        Some(match code {
            1 | 2 | 6 => TokenKind::Normal,
            3 => TokenKind::Control,
            4 => TokenKind::UserDefined,
            5 => TokenKind::Hole,
            _ => return None,
        })
    }
}

/// The tokenizer's metadata.
pub(super) struct Metadata<'a> {
    /// Text and kind of each id.
    pub tokens: Vec<(&'a str, TokenKind)>,
    pub added: Vec<AddedToken>,
    pub pre_regex: &'a str,
    pub bos: Option<u32>,
    pub add_bos: bool,
    /// In the order of the keys, possibly repeated.
    pub eos_ids: Vec<u32>,
    pub named: Vec<(&'static str, u32)>,
    pub ignore_merges: bool,
    merges: Array<'a>,
}

impl<'a> Metadata<'a> {
    pub fn read(gguf: &'a Gguf) -> Result<Metadata<'a>> {
        let model = gguf.get_str("tokenizer.ggml.model")?.unwrap_or("none");
        if model != "gpt2" {
            return Err(key_error("tokenizer.ggml.model", "gpt2 (byte-level BPE)", model));
        }
        let mut tokens = read_tokens(gguf)?;
        let added = read_added(gguf, &mut tokens)?;
        let vocab_size = tokens.len();
        let id = |key: &str| -> Result<Option<u32>> {
            gguf.get_usize(key)?.map(|id| in_vocabulary(key, id, vocab_size)).transpose()
        };

        let mut named = Vec::new();
        for (name, key) in NAMED {
            named.extend(id(key)?.map(|id| (name, id)));
        }
        let bos = named.iter().find(|(name, _)| *name == "bos_token").map(|&(_, id)| id);
        let mut eos_ids = Vec::new();
        eos_ids.extend(id("tokenizer.ggml.eos_token_id")?);
        for value in gguf.get_array("brooklet.eos_token_ids")?.iter().flat_map(Array::iter) {
            eos_ids.push(in_vocabulary("brooklet.eos_token_ids", value.as_usize(), vocab_size)?);
        }
        eos_ids.extend(id("tokenizer.ggml.eot_token_id")?);

        let pre = gguf.get_str("tokenizer.ggml.pre")?.unwrap_or("none");
        let pre_regex = match gguf.get_str("brooklet.tokenizer.pre_regex")? {
            Some(regex) => regex,
            None if pre == "lfm2" => LFM2_REGEX,
            None => {
                let expected = "lfm2 (convert the model with brooklet, which keeps other pre-tokenizers)";
                return Err(key_error("tokenizer.ggml.pre", expected, pre));
            }
        };
        // As llama.cpp, for files that do not say: LFM2's tokenizer adds it.
        let add_bos = gguf.get_bool("tokenizer.ggml.add_bos_token")?.unwrap_or(pre == "lfm2");
        if gguf.get_bool("tokenizer.ggml.add_eos_token")? == Some(true) {
            return Err(key_error("tokenizer.ggml.add_eos_token", "false", "true"));
        }
        Ok(Metadata {
            tokens,
            added,
            pre_regex,
            bos,
            add_bos,
            eos_ids,
            named,
            merges: strings(gguf, MERGES)?,
            ignore_merges: gguf.get_bool("brooklet.tokenizer.ignore_merges")?.unwrap_or(false),
        })
    }

    /// The merges, but for those with control tokens, which BPE must not make.
    ///
    /// # Errors
    /// One that is none.
    pub fn merges(&self, vocab: &Vocab) -> Result<Merges> {
        if self.merges.len() > MAX_TOKENS {
            let found = self.merges.len().to_string();
            return Err(key_error(MERGES, &format!("at most {MAX_TOKENS} entries"), &found));
        }
        let mut merges = Merges::with_capacity(self.merges.len());
        let mut merged = String::new();
        // Most vocabularies list what merges make in the order of the merges.
        let mut next = 0;
        for (rank, value) in (0..).zip(self.merges.iter()) {
            let Value::String(merge) = value else { continue };
            let Some((left, right)) = merge.split_once(' ').filter(|(_, right)| !right.contains(' ')) else {
                let found = format!("'{merge}' at index {rank}");
                return Err(key_error(MERGES, "two tokens with one space between", &found));
            };
            merged.clear();
            merged.push_str(left);
            merged.push_str(right);
            let parts = [left, right, &merged];
            let id = if vocab.text(next) == Some(&merged) { Some(next) } else { vocab.id(&merged) };
            next = id.map_or(next, |id| id + 1);
            let ids = [vocab.id(left), vocab.id(right), id];
            let is_control = |id: &Option<u32>| id.and_then(|id| vocab.kind(id)) == Some(TokenKind::Control);
            if ids.iter().any(is_control) {
                continue;
            }
            let [Some(left), Some(right), Some(id)] = ids else {
                let part = parts.iter().zip(ids).find_map(|(part, id)| id.is_none().then_some(part));
                let found = format!("'{merge}' at index {rank}, where '{}' is none", part.unwrap_or(&""));
                return Err(key_error(MERGES, "tokens of the vocabulary", &found));
            };
            merges.insert((left, right), Merge { rank, id });
        }
        Ok(merges)
    }
}

fn read_tokens(gguf: &Gguf) -> Result<Vec<(&str, TokenKind)>> {
    let texts = strings(gguf, TOKENS)?;
    if texts.is_empty() || texts.len() > MAX_TOKENS {
        return Err(key_error(TOKENS, &format!("1 to {MAX_TOKENS} entries"), &texts.len().to_string()));
    }
    let types = gguf.get_array(TOKEN_TYPE)?.ok_or_else(|| missing(TOKEN_TYPE))?;
    if types.len() != texts.len() {
        let expected = format!("{} entries, one a token", texts.len());
        return Err(key_error(TOKEN_TYPE, &expected, &types.len().to_string()));
    }
    let texts = texts.iter().map(|value| match value {
        Value::String(text) => text,
        _ => "",
    });
    texts
        .zip(types.iter())
        .enumerate()
        .map(|(id, (text, ty))| {
            let kind = ty.as_usize().and_then(|code| TokenKind::from_ggml(code as i64));
            let kind = kind.ok_or_else(|| {
                key_error(TOKEN_TYPE, "a token type from 1 to 6", &format!("{ty:?} for id {id}"))
            })?;
            Ok((text, kind))
        })
        .collect()
}

/// The added tokens: as tokenizer.json had them where the file keeps that, else by their types with the flags
/// that Hugging Face gives by default. Kinds in `tokens` are made to agree.
fn read_added(gguf: &Gguf, tokens: &mut [(&str, TokenKind)]) -> Result<Vec<AddedToken>> {
    let Some(json) = gguf.get_str(ADDED)? else {
        let added = (0..).zip(tokens.iter()).filter_map(|(id, &(text, kind))| match kind {
            TokenKind::Control => Some(AddedToken::new(id, text, true)),
            TokenKind::UserDefined => Some(AddedToken::new(id, text, false)),
            TokenKind::Normal | TokenKind::Hole => None,
        });
        return Ok(added.collect());
    };
    let mut added: Vec<AddedToken> = serde_json::from_str(json)
        .map_err(|error| key_error(ADDED, "the added_tokens of a tokenizer.json", &error.to_string()))?;
    for token in &mut added {
        let AddedToken { id, ref content, .. } = *token;
        let Some((text, kind)) = tokens.get_mut(id as usize) else {
            return Err(key_error(
                ADDED,
                &format!("ids below {}", tokens.len()),
                &format!("{id} ('{content}')"),
            ));
        };
        if text != content {
            return Err(key_error(
                ADDED,
                &format!("'{text}' for id {id}, as in {TOKENS}"),
                &format!("'{content}'"),
            ));
        }
        // llama.cpp's converter makes control tokens of some that only look special.
        token.special |= *kind == TokenKind::Control;
        *kind = if token.special { TokenKind::Control } else { TokenKind::UserDefined };
    }
    Ok(added)
}

pub(super) fn twice(text: &str) -> crate::Error {
    key_error(TOKENS, "every token once", &format!("'{text}' twice"))
}

fn strings<'a>(gguf: &'a Gguf, key: &str) -> Result<Array<'a>> {
    let array = gguf.get_array(key)?.ok_or_else(|| missing(key))?;
    if array.kind() != ValueKind::String && !array.is_empty() {
        return Err(key_error(key, "an array of strings", &format!("one of {:?}", array.kind())));
    }
    Ok(array)
}

fn in_vocabulary(key: &str, id: impl Into<Option<usize>>, vocab_size: usize) -> Result<u32> {
    let id = id.into();
    match id.filter(|&id| id < vocab_size) {
        Some(id) => Ok(id as u32),
        None => {
            let found = id.map_or("no id".into(), |id| id.to_string());
            Err(key_error(key, &format!("token ids below {vocab_size}"), &found))
        }
    }
}

fn missing(key: &str) -> crate::Error {
    key_error(key, "an array", "none")
}

fn key_error(key: &str, expected: &str, found: &str) -> crate::Error {
    TokenizerError::Unsupported(format!("{key}: expected {expected}, found {found}")).into()
}
