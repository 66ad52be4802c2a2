//! tokenizer.json and its companions to the `tokenizer.*` keys that llama.cpp's converter writes.
//!
//! LFM2 has a byte-level BPE; anything else is refused by name. What llama.cpp has no key for is kept
//! under `brooklet.tokenizer.*`, so that ids equal Hugging Face's:
//!
//! - `pre_regex` (string): the pre-tokenizer's regex, where it is not LFM2's. `tokenizer.ggml.pre` is
//!   then `brooklet`, which llama.cpp refuses instead of splitting text another way.
//! - `added_tokens` (string): tokenizer.json's `added_tokens`, where a flag is not what the token's type implies.
//! - `ignore_merges` (bool): where true.
//!
//! and `brooklet.eos_token_ids` (array of u32) where more than one id ends a generation.

use super::json;
use super::post_processor::Affixes;
use super::template::{self, ChatTemplates};
use crate::error::{ConvertError, Result, short};
use brooklet::gguf::{GgufWriter, Value as Gguf};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// LFM2's pre-tokenizer, which llama.cpp calls `lfm2`.
pub const LFM2_REGEX: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// What `ByteLevel` splits with by itself.
const GPT2_REGEX: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// Token types of `tokenizer.ggml.token_type`.
mod token_type {
    pub const NORMAL: i32 = 1;
    pub const CONTROL: i32 = 3;
    pub const USER_DEFINED: i32 = 4;
    pub const UNUSED: i32 = 5;
}

/// Everything that goes under `tokenizer.*`.
#[derive(Debug, Default)]
pub struct HfTokenizer {
    tokens: Vec<String>,
    types: Vec<i32>,
    merges: Vec<String>,
    pre_regex: Option<String>,
    added_tokens: Option<String>,
    ignore_merges: bool,
    /// ("bos", 1), …
    special: Vec<(&'static str, u32)>,
    /// ("bos", true), …
    add: Vec<(&'static str, bool)>,
    eos_ids: Vec<u32>,
    templates: ChatTemplates,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl HfTokenizer {
    /// Reads the tokenizer of `dir` for an embedding of `vocab_size` rows.
    ///
    /// `config_ids` are config.json's special tokens by kind, `generation_eos` generation_config.json's eos ids.
    ///
    /// # Errors
    /// Missing or damaged files, a tokenizer that is no byte-level BPE or does more than that, more tokens
    /// than the embedding has rows.
    pub fn read(
        dir: &Path,
        vocab_size: usize,
        config_ids: &[(&'static str, Vec<u32>)],
        generation_eos: &[u32],
    ) -> Result<HfTokenizer> {
        let path = dir.join("tokenizer.json");
        let root: Value = json::read(&path)?;
        let config_path = dir.join("tokenizer_config.json");
        let config = json::read_optional::<Map<String, Value>>(&config_path)?.unwrap_or_default();
        let map = json::read_optional::<Map<String, Value>>(&dir.join("special_tokens_map.json"))?
            .unwrap_or_default();

        let reader = Reader { path, root };
        let mut out = HfTokenizer::default();
        let ids = reader.vocabulary(vocab_size, &mut out)?;
        reader.merges(&ids, &mut out)?;
        reader.check_decoder()?;
        out.pre_regex = reader.pre_regex()?;

        // As transformers: tokenizer_config.json first, then the older special_tokens_map.json.
        let named = |kind: &str| {
            let key = format!("{kind}_token");
            [&config, &map].into_iter().find_map(|m| content(m.get(&key)?)).map(str::to_string)
        };
        let mut names: Vec<(&'static str, Option<String>)> =
            super::hf_config::TOKEN_KINDS.iter().map(|kind| (*kind, named(kind))).collect();
        let affixes = Affixes::read(&reader.path, &reader.root["post_processor"], &mut names)?;
        out.add = affixes.flags();
        for (kind, _) in &names {
            if let Some(flag) = config.get(&format!("add_{kind}_token")).and_then(Value::as_bool) {
                out.add.retain(|(k, _)| k != kind);
                out.add.push((*kind, flag));
            }
        }
        out.special_ids(&reader.added_ids()?, &names, config_ids, generation_eos, vocab_size);
        out.templates = template::read(dir, &config, &mut out.warnings)?;
        Ok(out)
    }

    /// Resolves special tokens: by name among the added tokens, else by config.json's id.
    fn special_ids(
        &mut self,
        added: &HashMap<&str, u32>,
        names: &[(&'static str, Option<String>)],
        config_ids: &[(&'static str, Vec<u32>)],
        generation_eos: &[u32],
        vocab_size: usize,
    ) {
        for (kind, name) in names {
            let by_name = name.as_deref().and_then(|n| added.get(n).copied());
            let from_config = config_ids.iter().find(|(k, _)| k == kind).map_or(&[][..], |(_, ids)| ids);
            let mut all: Vec<u32> = by_name.into_iter().chain(from_config.iter().copied()).collect();
            if *kind == "eos" {
                all.extend(generation_eos);
            }
            let (valid, bad): (Vec<u32>, Vec<u32>) =
                all.into_iter().partition(|id| (*id as usize) < vocab_size);
            for id in bad {
                self.warnings.push(format!(
                    "{kind} token id {id} is left out: the vocabulary has {vocab_size} entries"
                ));
            }
            if let Some(first) = valid.first() {
                self.special.push((kind, *first));
            }
            if *kind == "eos" {
                for id in valid {
                    if !self.eos_ids.contains(&id) {
                        self.eos_ids.push(id);
                    }
                }
            }
        }
    }

    /// Sets the keys.
    pub fn write(&self, writer: &mut GgufWriter) {
        let pre = if self.pre_regex.is_none() { "lfm2" } else { "brooklet" };
        writer.set("tokenizer.ggml.model", Gguf::String("gpt2"));
        writer.set("tokenizer.ggml.pre", Gguf::String(pre));
        writer.set_strings("tokenizer.ggml.tokens", &self.tokens);
        writer.set_i32s("tokenizer.ggml.token_type", &self.types);
        if !self.merges.is_empty() {
            writer.set_strings("tokenizer.ggml.merges", &self.merges);
        }
        for (kind, id) in &self.special {
            let kind = match *kind {
                "unk" => "unknown",
                // ggml's spelling.
                "sep" => "seperator",
                "pad" => "padding",
                other => other,
            };
            writer.set(&format!("tokenizer.ggml.{kind}_token_id"), Gguf::U32(*id));
        }
        for (kind, flag) in self.add.iter().filter(|(kind, _)| ["bos", "eos", "sep"].contains(kind)) {
            writer.set(&format!("tokenizer.ggml.add_{kind}_token"), Gguf::Bool(*flag));
        }
        self.templates.write(writer);
        if let Some(regex) = &self.pre_regex {
            writer.set("brooklet.tokenizer.pre_regex", Gguf::String(regex));
        }
        if let Some(added) = &self.added_tokens {
            writer.set("brooklet.tokenizer.added_tokens", Gguf::String(added));
        }
        if self.ignore_merges {
            writer.set("brooklet.tokenizer.ignore_merges", Gguf::Bool(true));
        }
        if self.eos_ids.len() > 1 {
            writer.set_u32s("brooklet.eos_token_ids", &self.eos_ids);
        }
    }
}

/// A token's text, from a string or an added token's object.
fn content(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// tokenizer.json.
struct Reader {
    path: PathBuf,
    root: Value,
}

impl Reader {
    fn error(&self, field: &str, expected: &str, found: &Value) -> ConvertError {
        let found = match found {
            Value::Object(map) if map.contains_key("type") => map["type"].to_string(),
            other => other.to_string(),
        };
        ConvertError::field(&self.path, field, expected, found)
    }

    /// Fills tokens, types, added tokens and `ignore_merges`; returns the model's own vocabulary.
    fn vocabulary(&self, vocab_size: usize, out: &mut HfTokenizer) -> Result<HashMap<&str, u32>> {
        let model = &self.root["model"];
        if model["type"].as_str().is_some_and(|t| t != "BPE") || !model["vocab"].is_object() {
            return Err(self.error("model", "a byte-level BPE", model));
        }
        for name in ["continuing_subword_prefix", "end_of_word_suffix", "dropout"] {
            let value = &model[name];
            if !(value.is_null() || value.as_str() == Some("") || value.as_f64() == Some(0.0)) {
                return Err(self.error(&format!("model.{name}"), "null", value));
            }
        }
        out.ignore_merges = self.flag(model, "ignore_merges", false)?;

        let mut slots: Vec<Option<(&str, i32)>> = vec![None; vocab_size];
        let too_many = |id: &dyn std::fmt::Display| {
            let expected = format!("ids below vocab_size = {vocab_size}, the rows of the embedding");
            ConvertError::field(&self.path, "vocabulary", expected, id)
        };
        let mut ids = HashMap::new();
        for (token, id) in model["vocab"].as_object().into_iter().flatten() {
            let index = id
                .as_u64()
                .and_then(|id| usize::try_from(id).ok())
                .ok_or_else(|| self.error(&format!("model.vocab[{:?}]", short(token)), "a token id", id))?;
            let slot = slots.get_mut(index).ok_or_else(|| too_many(&index))?;
            if let Some((other, _)) = slot.replace((token, token_type::NORMAL)) {
                let expected = format!("one token, not {:?} and {:?}", short(other), short(token));
                return Err(ConvertError::field(&self.path, format!("token id {index}"), expected, "both"));
            }
            ids.insert(token.as_str(), index as u32);
        }
        // With a token for every byte nothing is ever unknown.
        let complete = byte_alphabet().all(|c| ids.contains_key(c.encode_utf8(&mut [0; 4]) as &str));
        if !complete && (!model["unk_token"].is_null() || self.flag(model, "byte_fallback", false)?) {
            return Err(self.error("model.vocab", "a token for each of the 256 bytes", &Value::from("less")));
        }

        let mut plain = true;
        for token in self.added()? {
            let (id, content) = (token.id as usize, token.content);
            let ty = match token.special || looks_special(content) {
                true => token_type::CONTROL,
                false => token_type::USER_DEFINED,
            };
            let slot = slots.get_mut(id).ok_or_else(|| too_many(&id))?;
            if let Some((other, _)) = slot.replace((content, ty)).filter(|(other, _)| *other != content) {
                let expected = format!("one token, not {:?} and {:?}", short(other), short(content));
                return Err(ConvertError::field(&self.path, format!("token id {id}"), expected, "both"));
            }
            plain &= token.is_plain() && token.special == (ty == token_type::CONTROL);
        }
        if !plain {
            out.added_tokens = Some(self.root["added_tokens"].to_string());
        }
        for (id, slot) in slots.into_iter().enumerate() {
            let (token, ty) = match slot {
                Some((token, ty)) => (token.to_string(), ty),
                None => (format!("[PAD{id}]"), token_type::UNUSED),
            };
            out.tokens.push(token);
            out.types.push(ty);
        }
        Ok(ids)
    }

    /// Merges, written as `"a b"` strings or as pairs.
    fn merges(&self, ids: &HashMap<&str, u32>, out: &mut HfTokenizer) -> Result<()> {
        let list = match &self.root["model"]["merges"] {
            Value::Null => &[][..],
            Value::Array(list) => list,
            other => return Err(self.error("model.merges", "a list", other)),
        };
        out.merges.reserve(list.len());
        let mut merged = String::new();
        for (rank, merge) in list.iter().enumerate() {
            let pair = match merge {
                Value::String(text) => text.split_once(' '),
                Value::Array(pair) => match &pair[..] {
                    [Value::String(a), Value::String(b)] => Some((a.as_str(), b.as_str())),
                    _ => None,
                },
                _ => None,
            };
            let field = || format!("model.merges[{rank}]");
            let Some((a, b)) = pair.filter(|(a, b)| !a.contains(' ') && !b.contains(' ')) else {
                return Err(self.error(&field(), "two tokens without spaces", merge));
            };
            merged.clear();
            merged.extend([a, b]);
            if let Some(missing) = [a, b, &merged].into_iter().find(|t| !ids.contains_key(*t)) {
                let expected = format!("tokens of the vocabulary, which lacks {:?}", short(missing));
                return Err(self.error(&field(), &expected, merge));
            }
            out.merges.push(format!("{a} {b}"));
        }
        Ok(())
    }

    /// The regex that the pre-tokenizer splits with, where it is not LFM2's.
    fn pre_regex(&self) -> Result<Option<String>> {
        match &self.root["normalizer"] {
            Value::Null => {}
            Value::Object(n) if n.get("normalizers").and_then(Value::as_array).is_some_and(Vec::is_empty) => {
            }
            other => return Err(self.error("normalizer", "none", other)),
        }
        let root = &self.root["pre_tokenizer"];
        let steps = match &root["pretokenizers"] {
            Value::Array(steps) if root["type"] == "Sequence" => steps.as_slice(),
            _ => std::slice::from_ref(root),
        };
        let wanted = "a Split by one regex (isolated), then ByteLevel without prefix space and regex";
        let is_byte_level = |step: &Value, use_regex: bool| -> Result<bool> {
            Ok(step["type"] == "ByteLevel"
                && !self.flag(step, "add_prefix_space", true)?
                && self.flag(step, "use_regex", true)? == use_regex)
        };
        let regex = match steps {
            [bytes] if is_byte_level(bytes, true)? => GPT2_REGEX,
            [split, bytes] if split["type"] == "Split" && is_byte_level(bytes, false)? => {
                let regex = split["pattern"]["Regex"].as_str();
                let isolated = split["behavior"] == "Isolated" && !self.flag(split, "invert", false)?;
                regex
                    .filter(|_| isolated)
                    .ok_or_else(|| ConvertError::field(&self.path, "pre_tokenizer", wanted, split))?
            }
            _ => return Err(ConvertError::field(&self.path, "pre_tokenizer", wanted, root)),
        };
        Ok((regex != LFM2_REGEX).then(|| regex.to_string()))
    }

    fn check_decoder(&self) -> Result<()> {
        let decoder = &self.root["decoder"];
        let inner = match &decoder["decoders"] {
            Value::Array(list) if list.len() == 1 => &list[0],
            _ => decoder,
        };
        if inner["type"] == "ByteLevel" { Ok(()) } else { Err(self.error("decoder", "ByteLevel", decoder)) }
    }

    fn flag(&self, object: &Value, name: &str, default: bool) -> Result<bool> {
        match &object[name] {
            Value::Null => Ok(default),
            value => value.as_bool().ok_or_else(|| self.error(name, "true or false", value)),
        }
    }

    fn added(&self) -> Result<Vec<AddedToken<'_>>> {
        let list = match &self.root["added_tokens"] {
            Value::Null => &[][..],
            Value::Array(list) => list,
            other => return Err(self.error("added_tokens", "a list", other)),
        };
        list.iter()
            .map(|value| {
                let id = value["id"].as_u64().and_then(|id| u32::try_from(id).ok());
                match (id, value["content"].as_str()) {
                    (Some(id), Some(content)) if !content.is_empty() => Ok(AddedToken {
                        id,
                        content,
                        special: self.flag(value, "special", false)?,
                        normalized: self.flag(value, "normalized", true)?,
                        single_word: self.flag(value, "single_word", false)?,
                        strips: self.flag(value, "lstrip", false)? || self.flag(value, "rstrip", false)?,
                    }),
                    _ => Err(self.error("added_tokens", "an id and a content each", value)),
                }
            })
            .collect()
    }

    /// Added tokens by content, the first of each.
    fn added_ids(&self) -> Result<HashMap<&str, u32>> {
        let mut ids = HashMap::new();
        for token in self.added()? {
            ids.entry(token.content).or_insert(token.id);
        }
        Ok(ids)
    }
}

struct AddedToken<'a> {
    id: u32,
    content: &'a str,
    special: bool,
    normalized: bool,
    single_word: bool,
    strips: bool,
}

impl AddedToken<'_> {
    /// Whether the flags are those that Hugging Face gives a token by default.
    fn is_plain(&self) -> bool {
        !self.single_word && !self.strips && self.normalized != self.special
    }
}

/// llama.cpp's converter takes these for control tokens whatever their flag says.
fn looks_special(token: &str) -> bool {
    let between = |start: &str, end: &str| token.starts_with(start) && token.ends_with(end);
    matches!(token, "<pad>" | "<mask>" | "<2mass>" | "[@BOS@]")
        || between("<|", "|>")
        || between("<｜", "｜>")
        || between("<unused", ">")
}

/// The 256 characters that stand for bytes in a byte-level vocabulary.
pub(crate) fn byte_alphabet() -> impl Iterator<Item = char> {
    let shown = |b: u32| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 255;
    (0..=255).filter_map(move |b| {
        next += u32::from(!shown(b));
        char::from_u32(if shown(b) { b } else { next })
    })
}
