//! The model's shape, from the GGUF file's `lfm2.*` keys.

use super::ModelError;
use crate::gguf::{Gguf, GgufError, Value};
use crate::{Error, Result};

/// What one decoder layer mixes tokens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// Gated short convolution.
    ShortConv,
    /// Grouped-query attention.
    Attention {
        /// Key/value heads.
        num_kv_heads: usize,
    },
}

/// The model's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Vocabulary entries (rows of the embedding).
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward.
    pub intermediate_size: usize,
    /// Query heads of attention layers.
    pub num_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Leading dimensions of a head that RoPE turns.
    pub rope_dim: usize,
    /// RoPE's base.
    pub rope_theta: f32,
    /// Added under the root in RMS norm.
    pub norm_eps: f32,
    /// Taps of the short convolution, L.
    pub conv_kernel: usize,
    /// Positions the model was made for.
    pub context_length: usize,
    /// Keys each query sees, its own included; `None` is all of them.
    pub sliding_window: Option<usize>,
    /// One entry a layer.
    pub layers: Vec<LayerKind>,
}

/// The architecture's name in `general.architecture`, and the prefix of its keys.
pub const ARCHITECTURE: &str = "lfm2";

impl Config {
    /// Reads and checks the shape. Sizes that the tensors must confirm are checked again when the
    /// weights are bound.
    ///
    /// # Errors
    /// Another architecture; a key that is missing, of the wrong kind or out of range; a feature that
    /// brooklet does not compute (RoPE scaling, bidirectional attention, experts). Unknown keys are
    /// ignored.
    pub fn from_gguf(gguf: &Gguf) -> Result<Config> {
        match gguf.get_str("general.architecture")? {
            Some(ARCHITECTURE) => {}
            Some(other) => {
                return Err(ModelError::Unsupported(format!(
                    "architecture '{other}' is not one that brooklet runs: it runs '{ARCHITECTURE}'"
                ))
                .into());
            }
            None => return Err(missing("general.architecture", "a string")),
        }
        let keys = Keys { gguf };
        keys.refuse_unsupported()?;

        // A layer has tensors of its own, so a count beyond the tensors' is a lie: checked before
        // anything is allocated from it.
        let num_layers = keys.required("block_count")?;
        let most = gguf.tensors().len();
        if num_layers == 0 || num_layers > most {
            return Err(range("block_count", format!("1 to {most}, the number of tensors"), num_layers));
        }
        let hidden_size = keys.positive("embedding_length")?;
        let num_heads = keys.uniform("attention.head_count", num_layers)?;
        let head_dim = match keys.optional("attention.key_length")? {
            Some(n) => n,
            None if hidden_size.is_multiple_of(num_heads) => hidden_size / num_heads,
            None => return Err(missing(&key("attention.key_length"), "the width of a head")),
        };
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(range("attention.key_length", "an even number above 0".into(), head_dim));
        }
        if let Some(v) = keys.optional("attention.value_length")?.filter(|v| *v != head_dim) {
            return Err(range("attention.value_length", format!("{head_dim}, as the key length"), v));
        }
        let rope_dim = keys.optional("rope.dimension_count")?.unwrap_or(head_dim);
        if rope_dim > head_dim || !rope_dim.is_multiple_of(2) {
            return Err(range("rope.dimension_count", format!("an even number up to {head_dim}"), rope_dim));
        }
        let conv_kernel = keys.required("shortconv.l_cache")?;
        if conv_kernel < 2 {
            return Err(range("shortconv.l_cache", "2 or more".into(), conv_kernel));
        }
        let embedding_rows = gguf.tensor("token_embd.weight").and_then(|t| t.info.shape.get(1).copied());
        let vocab_size = match (keys.optional("vocab_size")?, embedding_rows) {
            (Some(n), _) | (None, Some(n)) => n,
            (None, None) => return Err(ModelError::MissingTensor("token_embd.weight".into()).into()),
        };
        Ok(Config {
            vocab_size,
            hidden_size,
            intermediate_size: keys.uniform("feed_forward_length", num_layers)?,
            num_heads,
            head_dim,
            rope_dim,
            rope_theta: keys.positive_f32("rope.freq_base", Some(10_000.0))?,
            norm_eps: keys.positive_f32("attention.layer_norm_rms_epsilon", None)?,
            conv_kernel,
            context_length: keys.positive("context_length")?,
            sliding_window: keys.optional("attention.sliding_window")?.filter(|w| *w > 0),
            layers: keys.layers(num_layers, num_heads)?,
        })
    }

    /// Layers with a short convolution.
    pub fn num_conv_layers(&self) -> usize {
        self.layers.iter().filter(|l| matches!(l, LayerKind::ShortConv)).count()
    }
}

/// Access to `lfm2.*` keys.
struct Keys<'a> {
    gguf: &'a Gguf,
}

fn key(name: &str) -> String {
    format!("{ARCHITECTURE}.{name}")
}

fn missing(key: &str, expected: &str) -> Error {
    GgufError::Key { key: key.into(), expected: expected.into(), found: "no such key".into() }.into()
}

fn range(name: &str, expected: String, found: impl std::fmt::Display) -> Error {
    GgufError::Key { key: key(name), expected, found: found.to_string() }.into()
}

impl Keys<'_> {
    fn optional(&self, name: &str) -> Result<Option<usize>> {
        self.gguf.get_usize(&key(name))
    }

    fn required(&self, name: &str) -> Result<usize> {
        self.optional(name)?.ok_or_else(|| missing(&key(name), "an integer"))
    }

    fn positive(&self, name: &str) -> Result<usize> {
        match self.required(name)? {
            0 => Err(range(name, "an integer above 0".into(), 0)),
            n => Ok(n),
        }
    }

    fn positive_f32(&self, name: &str, default: Option<f32>) -> Result<f32> {
        match self.gguf.get_f32(&key(name))?.or(default) {
            Some(x) if x.is_finite() && x > 0.0 => Ok(x),
            Some(x) => Err(range(name, "a number above 0".into(), x)),
            None => Err(missing(&key(name), "a number")),
        }
    }

    /// An integer, or an array of one integer a layer.
    fn per_layer(&self, name: &str, num_layers: usize) -> Result<Vec<usize>> {
        let array = match self.gguf.get(&key(name)) {
            Some(Value::Array(array)) => array,
            _ => return Ok(vec![self.required(name)?; num_layers]),
        };
        if array.len() != num_layers {
            return Err(range(name, format!("{num_layers} entries, one a layer"), array.len()));
        }
        let as_usize = |v: Value<'_>| {
            v.as_usize().ok_or_else(|| range(name, "non-negative integers".into(), format!("{v:?}")))
        };
        array.iter().map(as_usize).collect()
    }

    /// As [`Keys::per_layer`], where all layers must agree on a number above 0. Zeros stand for layers
    /// that have no such part.
    fn uniform(&self, name: &str, num_layers: usize) -> Result<usize> {
        let mut values = self.per_layer(name, num_layers)?;
        values.retain(|v| *v != 0);
        match values.first() {
            None => Err(range(name, "an integer above 0".into(), 0)),
            Some(first) if values.iter().all(|v| v == first) => Ok(*first),
            Some(_) => Err(range(name, "one value for all layers".into(), format!("{values:?}"))),
        }
    }

    /// A layer without key/value heads is a convolution.
    fn layers(&self, num_layers: usize, num_heads: usize) -> Result<Vec<LayerKind>> {
        let name = "attention.head_count_kv";
        let kind = |num_kv_heads: usize| match num_kv_heads {
            0 => Ok(LayerKind::ShortConv),
            n if num_heads.is_multiple_of(n) => Ok(LayerKind::Attention { num_kv_heads }),
            n => Err(range(name, format!("a divisor of the {num_heads} query heads"), n)),
        };
        self.per_layer(name, num_layers)?.into_iter().map(kind).collect()
    }

    /// Keys that change what the model computes in a way that brooklet does not.
    fn refuse_unsupported(&self) -> Result<()> {
        let scaling = self.gguf.get_str(&key("rope.scaling.type"))?;
        if let Some(kind) = scaling.filter(|s| *s != "none") {
            return Err(range("rope.scaling.type", "none (scaled RoPE is not supported)".into(), kind));
        }
        if scaling.is_none() {
            for name in ["rope.scaling.factor", "rope.scale_linear", "rope.scaling.attn_factor"] {
                if let Some(x) = self.gguf.get_f32(&key(name))?.filter(|x| *x != 1.0) {
                    return Err(range(name, "1 (scaled RoPE is not supported)".into(), x));
                }
            }
        }
        if self.gguf.get_bool(&key("attention.causal"))? == Some(false) {
            return Err(range(
                "attention.causal",
                "true (bidirectional models do not generate)".into(),
                false,
            ));
        }
        for name in ["expert_count", "pooling_type"] {
            if let Some(n) = self.optional(name)?.filter(|n| *n != 0) {
                return Err(range(name, "0, or no such key".into(), n));
            }
        }
        Ok(())
    }
}
