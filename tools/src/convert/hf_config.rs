//! config.json: a validated model shape, in either spelling of every field.
//!
//! Names, defaults and precedence are those of transformers' `Lfm2Config`; where it reads none of the
//! spellings, the one that Liquid's own configs carry counts.

use super::json;
use crate::error::{ConvertError, Result};
use brooklet::model::{Config, LayerKind};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What config.json says.
#[derive(Clone, Debug)]
pub struct HfConfig {
    /// The shape. `intermediate_size` is what the config asks for; the checkpoint's w1 decides.
    pub model: Config,
    /// Whether the output head is the embedding.
    pub tied: bool,
    /// Whether `head_dim` is stated (it is then written to the file, as llama.cpp's converter does).
    pub states_head_dim: bool,
    /// Token ids by kind, as far as they are stated: ("bos", \[1\]), ("eos", \[7, 2\]), …
    pub token_ids: Vec<(&'static str, Vec<u32>)>,
    /// `_name_or_path`, where it looks like a model's name.
    pub name: Option<String>,
    /// Fields that this converter does not know.
    pub unknown: Vec<String>,
}

/// Kinds of special tokens that configs name.
pub(super) const TOKEN_KINDS: [&str; 7] = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"];

/// Settings that change the computation: only these values are computed. Null and absence are fine.
const REQUIRED: &[(&str, Allowed)] = &[
    ("conv_bias", Allowed::Bool(false)),
    ("attention_bias", Allowed::Bool(false)),
    ("mlp_bias", Allowed::Bool(false)),
    ("use_bias", Allowed::Bool(false)),
    ("bias", Allowed::Bool(false)),
    ("block_use_swiglu", Allowed::Bool(true)),
    ("use_pos_enc", Allowed::Bool(true)),
    ("is_causal", Allowed::Bool(true)),
    ("is_encoder_decoder", Allowed::Bool(false)),
    ("add_cross_attention", Allowed::Bool(false)),
    ("hidden_act", Allowed::Text(&["silu", "swish", "swiglu"])),
    ("hidden_activation", Allowed::Text(&["silu", "swish", "swiglu"])),
    ("partial_rotary_factor", Allowed::One),
    ("logit_scale", Allowed::One),
    ("embedding_multiplier", Allowed::One),
    ("residual_multiplier", Allowed::One),
    ("logits_scaling", Allowed::One),
    ("conv_dim", Allowed::Hidden),
    ("conv_dim_out", Allowed::Hidden),
    ("sliding_window", Allowed::Null),
    ("attention_multiplier", Allowed::Null),
    ("attn_logit_softcapping", Allowed::Null),
    ("final_logit_softcapping", Allowed::Null),
    ("quantization_config", Allowed::Null),
    ("compression_config", Allowed::Null),
    ("num_experts", Allowed::Null),
    ("num_local_experts", Allowed::Null),
    ("per_layer_config", Allowed::Null),
    ("vision_config", Allowed::Null),
    ("text_config", Allowed::Null),
    ("audio_config", Allowed::Null),
];

enum Allowed {
    Bool(bool),
    Text(&'static [&'static str]),
    /// The number 1.
    One,
    /// The hidden size.
    Hidden,
    /// Nothing but null.
    Null,
}

/// Fields that say nothing about what is computed from given weights.
const IGNORED: &[&str] = &[
    "transformers_version",
    "torch_dtype",
    "dtype",
    "use_cache",
    "initializer_range",
    "auto_map",
    "block_mlp_init_scale",
    "block_out_init_scale",
    "block_use_xavier_init",
    "conv_use_xavier_init",
    "attention_dropout",
    "hidden_dropout",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "chunk_size_feed_forward",
    "id2label",
    "label2id",
    "problem_type",
    "use_return_dict",
    "is_decoder",
    "name_or_path",
    "tokenizer_class",
    "pretraining_tp",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_autoset",
    "finetuning_task",
    "task_specific_params",
    "tie_encoder_decoder",
    "decoder_start_token_id",
    "prefix",
    "pruned_heads",
    "torchscript",
    "remove_invalid_values",
    "cross_attention_hidden_size",
    "architectures",
    "model_type",
    "use_mamba_kernels",
    "max_seq_len",
    "unsloth_fixed",
    "unsloth_version",
    "temperature",
    "top_k",
    "top_p",
    "do_sample",
    "repetition_penalty",
    "bad_words_ids",
    "begin_suppress_tokens",
    "suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "num_beams",
    "num_beam_groups",
    "diversity_penalty",
    "num_return_sequences",
    "output_scores",
    "return_dict_in_generate",
    "early_stopping",
    "typical_p",
    "exponential_decay_length_penalty",
    "tf_legacy_loss",
    "use_bfloat16",
];

/// Sanity limits: far above any LFM2, low enough that products of two stay in 64 bits.
const MAX_DIM: usize = 1 << 24;
const MAX_HEADS: usize = 1 << 14;
const MAX_LAYERS: usize = 4096;

impl HfConfig {
    /// Reads `dir/config.json`.
    ///
    /// # Errors
    /// No such file, JSON that does not parse, another architecture, a field of the wrong kind or out of
    /// range, or a setting that brooklet does not compute.
    pub fn read(dir: &Path) -> Result<HfConfig> {
        let path = dir.join("config.json");
        if !path.is_file() {
            let reason = if dir.is_dir() { "it has no config.json" } else { "it is no directory" };
            return Err(ConvertError::NotLfm2 { path: dir.to_path_buf(), reason: reason.to_string() });
        }
        HfConfig::from_json(&path, &json::read(&path)?)
    }

    /// Validates a parsed config.json; `path` is for messages.
    ///
    /// # Errors
    /// As [`HfConfig::read`].
    pub fn from_json(path: &Path, value: &Value) -> Result<HfConfig> {
        let Value::Object(map) = value else {
            return Err(ConvertError::field(path, "file", "a JSON object", kind(value)));
        };
        check_architecture(path, map)?;
        let fields = Fields { path: path.to_path_buf(), map, seen: RefCell::default() };

        let hidden_size = fields.size(&["hidden_size", "block_dim"], 2560, MAX_DIM)?;
        let vocab_size = fields.size(&["vocab_size"], 65536, MAX_DIM)?;
        let num_heads = fields.size(&["num_attention_heads", "num_heads"], 32, MAX_HEADS)?;
        let num_kv_heads = fields.size(&["num_key_value_heads"], 8, MAX_HEADS)?;
        if !num_heads.is_multiple_of(num_kv_heads) {
            let expected = format!("a divisor of num_attention_heads = {num_heads}");
            return Err(ConvertError::field(path, "num_key_value_heads", expected, num_kv_heads));
        }
        let stated_head_dim = fields.get(&["head_dim"]).is_some();
        if !stated_head_dim && !hidden_size.is_multiple_of(num_heads) {
            let expected = format!("a multiple of num_attention_heads = {num_heads}, or head_dim stated");
            return Err(ConvertError::field(path, "hidden_size", expected, hidden_size));
        }
        let head_dim = fields.size(&["head_dim"], hidden_size / num_heads, MAX_HEADS)?;
        if !head_dim.is_multiple_of(2) {
            return Err(ConvertError::field(path, "head_dim", "an even number", head_dim));
        }
        let conv_kernel = fields.size(&["conv_L_cache"], 3, 1024)?;
        if conv_kernel < 2 {
            return Err(ConvertError::field(path, "conv_L_cache", "at least 2", conv_kernel));
        }
        let model = Config {
            vocab_size,
            hidden_size,
            intermediate_size: fields.intermediate_size()?,
            num_heads,
            head_dim,
            rope_dim: head_dim,
            rope_theta: fields.rope_theta()?,
            norm_eps: fields.positive(&["norm_eps", "block_norm_eps"], 1e-5)?,
            conv_kernel,
            context_length: fields.size(&["max_position_embeddings"], 128_000, 1 << 30)?,
            sliding_window: None,
            layers: fields.layers(num_kv_heads)?,
        };
        let tied = fields.boolean(&["tie_embedding", "tie_word_embeddings"], true)?;
        let mut token_ids = Vec::new();
        for kind in TOKEN_KINDS {
            let ids = fields.token_ids(&format!("{kind}_token_id"))?;
            if !ids.is_empty() {
                token_ids.push((kind, ids));
            }
        }
        let name = fields.get(&["_name_or_path"]).and_then(Value::as_str).map(str::to_string);
        fields.check_required(hidden_size)?;
        Ok(HfConfig {
            model,
            tied,
            states_head_dim: stated_head_dim,
            token_ids,
            name,
            unknown: fields.unknown(),
        })
    }
}

fn check_architecture(path: &Path, map: &Map<String, Value>) -> Result<()> {
    let refuse = |reason: String| Err(ConvertError::NotLfm2 { path: path.to_path_buf(), reason });
    let architectures = match map.get("architectures") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(names)) => names,
        Some(other) => return refuse(format!("architectures is {}", kind(other))),
    };
    let name = architectures.first().map(|a| a.as_str().unwrap_or("no text"));
    let model_type = map.get("model_type").and_then(Value::as_str);
    match (name, model_type) {
        (Some("Lfm2ForCausalLM" | "LFM2ForCausalLM"), None | Some("lfm2")) | (None, Some("lfm2")) => Ok(()),
        (Some("Lfm2MoeForCausalLM"), _) | (None, Some("lfm2_moe")) => {
            refuse("it is a mixture of experts (Lfm2Moe), which brooklet does not run".into())
        }
        (Some("Lfm2VlForConditionalGeneration"), _) | (None, Some("lfm2_vl" | "lfm2-vl")) => {
            refuse("it is a vision model (Lfm2Vl), which brooklet does not run".into())
        }
        _ => refuse(format!(
            "expected architectures [\"Lfm2ForCausalLM\"] and model_type \"lfm2\", found {} and {}",
            map.get("architectures").map_or("none".into(), |v| crate::error::short(&v.to_string())),
            map.get("model_type").map_or("none".into(), |v| crate::error::short(&v.to_string())),
        )),
    }
}

/// The fields of a config, remembering which were read.
struct Fields<'a> {
    path: PathBuf,
    map: &'a Map<String, Value>,
    seen: RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    /// The first of these spellings that is there and not null.
    fn get(&self, names: &[&str]) -> Option<&'a Value> {
        self.seen.borrow_mut().extend(names.iter().map(|n| n.to_string()));
        names.iter().filter_map(|n| self.map.get(*n)).find(|v| !v.is_null())
    }

    fn error(&self, names: &[&str], expected: impl Into<String>, found: &Value) -> ConvertError {
        let name = names.iter().find(|n| self.map.get(**n) == Some(found)).unwrap_or(&names[0]);
        ConvertError::field(&self.path, *name, expected, found)
    }

    /// A whole number from 1 to `max`.
    fn size(&self, names: &[&str], default: usize, max: usize) -> Result<usize> {
        let Some(value) = self.get(names) else { return Ok(default) };
        value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| (1..=max).contains(n))
            .ok_or_else(|| self.error(names, format!("a whole number from 1 to {max}"), value))
    }

    fn positive(&self, names: &[&str], default: f64) -> Result<f32> {
        let Some(value) = self.get(names) else { return Ok(default as f32) };
        value
            .as_f64()
            .map(|x| x as f32)
            .filter(|x| x.is_finite() && *x > 0.0)
            .ok_or_else(|| self.error(names, "a positive number", value))
    }

    fn boolean(&self, names: &[&str], default: bool) -> Result<bool> {
        let Some(value) = self.get(names) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.error(names, "true or false", value))
    }

    /// The feed-forward width that transformers' `Lfm2MLP` computes.
    fn intermediate_size(&self) -> Result<usize> {
        let width = self.size(&["block_ff_dim", "intermediate_size"], 12288, MAX_DIM)?;
        let multiple_of = self.size(&["block_multiple_of"], 256, MAX_DIM)?;
        let multiplier = self.positive(&["block_ffn_dim_multiplier"], 1.0)?;
        if !self.boolean(&["block_auto_adjust_ff_dim"], true)? {
            return Ok(width);
        }
        let width = (f64::from(multiplier) * (2 * width / 3) as f64) as usize;
        Ok(width.clamp(1, MAX_DIM).next_multiple_of(multiple_of))
    }

    fn rope_theta(&self) -> Result<f32> {
        let names = ["rope_scaling", "rope_parameters"];
        let nested = match self.get(&names) {
            None => None,
            Some(Value::Object(map)) => Some(map),
            Some(other) => return Err(self.error(&names, "an object", other)),
        };
        if let Some(map) = nested {
            let inner = Fields { path: self.path.clone(), map, seen: RefCell::default() };
            let kind = inner.get(&["rope_type", "type"]);
            if let Some(kind) = kind.filter(|k| k.as_str() != Some("default")) {
                return Err(ConvertError::unsupported(&self.path, format!("RoPE of type {kind}")));
            }
            inner.require("partial_rotary_factor", &Allowed::One, 0)?;
            let theta = inner.get(&["rope_theta"]);
            let known = inner.seen.borrow();
            if let Some((key, value)) = map.iter().find(|(k, v)| !known.contains(*k) && !v.is_null()) {
                let value = value.to_string();
                return Err(ConvertError::unsupported(&self.path, format!("RoPE setting {key} = {value}")));
            }
            drop(known);
            if theta.is_some() {
                // Read, so that they do not count as unknown.
                self.get(&["rope_theta", "theta"]);
                return inner.positive(&["rope_theta"], 1e6);
            }
        }
        self.positive(&["rope_theta", "theta"], 1e6)
    }

    fn layers(&self, num_kv_heads: usize) -> Result<Vec<LayerKind>> {
        let count = self.size(&["num_hidden_layers"], 32, MAX_LAYERS)?;
        let attention = LayerKind::Attention { num_kv_heads };
        let indices = self.get(&["full_attn_idxs"]);
        if let Some(value) = self.get(&["layer_types"]) {
            let names = value.as_array().filter(|names| names.len() == count);
            let names = names
                .ok_or_else(|| self.error(&["layer_types"], format!("a list of {count} layers"), value))?;
            return names
                .iter()
                .map(|name| match name.as_str() {
                    Some("conv") => Ok(LayerKind::ShortConv),
                    Some("full_attention") => Ok(attention),
                    _ => Err(ConvertError::unsupported(&self.path, format!("layer type {name}"))),
                })
                .collect();
        }
        // transformers takes the absence of both for attention everywhere.
        let Some(value) = indices else { return Ok(vec![attention; count]) };
        let mut layers = vec![LayerKind::ShortConv; count];
        let bad =
            || self.error(&["full_attn_idxs"], format!("a list of layers from 0 to {}", count - 1), value);
        for index in value.as_array().ok_or_else(bad)? {
            let index = index.as_u64().and_then(|i| usize::try_from(i).ok());
            *index.and_then(|i| layers.get_mut(i)).ok_or_else(bad)? = attention;
        }
        Ok(layers)
    }

    /// One id or a list of them; none where the field is absent.
    fn token_ids(&self, name: &str) -> Result<Vec<u32>> {
        let Some(value) = self.get(&[name]) else { return Ok(Vec::new()) };
        token_ids(value).ok_or_else(|| self.error(&[name], "a token id or a list of them", value))
    }

    fn check_required(&self, hidden_size: usize) -> Result<()> {
        REQUIRED.iter().try_for_each(|(name, allowed)| self.require(name, allowed, hidden_size))
    }

    fn require(&self, name: &str, allowed: &Allowed, hidden_size: usize) -> Result<()> {
        let Some(value) = self.get(&[name]) else { return Ok(()) };
        let fine = match allowed {
            Allowed::Bool(wanted) => value.as_bool() == Some(*wanted),
            Allowed::Text(wanted) => value.as_str().is_some_and(|v| wanted.contains(&v)),
            Allowed::One => value.as_f64() == Some(1.0),
            Allowed::Hidden => value.as_u64() == Some(hidden_size as u64),
            Allowed::Null => false,
        };
        let value = value.to_string();
        if fine { Ok(()) } else { Err(ConvertError::unsupported(&self.path, format!("{name} = {value}"))) }
    }

    fn unknown(&self) -> Vec<String> {
        let seen = self.seen.borrow();
        self.map.keys().filter(|k| !seen.contains(*k) && !IGNORED.contains(&k.as_str())).cloned().collect()
    }
}

/// One id or a list of them.
pub(super) fn token_ids(value: &Value) -> Option<Vec<u32>> {
    let one = |v: &Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(ids) => ids.iter().map(one).collect(),
        id => one(id).map(|id| vec![id]),
    }
}

/// What a JSON value is, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
