//! The tensor table: one declarative row a tensor, shared by the converter and the loader.

use super::config::LayerKind;

/// A dimension in terms of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Vocabulary entries.
    Vocab,
    /// Hidden width.
    Hidden,
    /// Three times the hidden width: B, C and X of the short convolution.
    Hidden3,
    /// Feed-forward width.
    Ffn,
    /// Query heads × head_dim.
    Q,
    /// Key/value heads × head_dim.
    Kv,
    /// One head.
    HeadDim,
    /// Taps of the convolution.
    ConvKernel,
    /// 1, squeezed away in the GGUF file (Hugging Face's conv weight is `[hidden, 1, L]`).
    One,
}

/// Which layers carry a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// Once in the model.
    Model,
    /// Once in the model, if the file has it: an untied output head.
    ModelOptional,
    /// In every layer.
    EveryLayer,
    /// In short-convolution layers.
    Conv,
    /// In attention layers.
    Attention,
}

/// How a tensor is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Multiplied: may be quantized.
    Matrix,
    /// Norm weights and convolution kernels: always F32 in the file.
    Float,
}

/// One tensor of the architecture.
#[derive(Clone, Copy, Debug)]
pub struct TensorRow {
    /// Name in the GGUF file, `{}` for the layer.
    pub gguf: &'static str,
    /// Name in the Hugging Face checkpoint, `{}` for the layer.
    pub hf: &'static str,
    /// Dimensions in Hugging Face's (row-major) order: rows first.
    pub shape: &'static [Dim],
    /// Which layers carry it.
    pub at: Where,
    /// How it is stored.
    pub role: Role,
}

/// Every tensor of LFM2, in the order in which the file stores them and the forward pass reads them.
pub const LFM2: &[TensorRow] = {
    use Dim::*;
    use Role::*;
    use Where::*;
    const fn row(
        at: Where,
        role: Role,
        gguf: &'static str,
        hf: &'static str,
        shape: &'static [Dim],
    ) -> TensorRow {
        TensorRow { gguf, hf, shape, at, role }
    }
    &[
        row(Model, Matrix, "token_embd.weight", "model.embed_tokens.weight", &[Vocab, Hidden]),
        row(EveryLayer, Float, "blk.{}.attn_norm.weight", "model.layers.{}.operator_norm.weight", &[Hidden]),
        row(
            Conv,
            Matrix,
            "blk.{}.shortconv.in_proj.weight",
            "model.layers.{}.conv.in_proj.weight",
            &[Hidden3, Hidden],
        ),
        row(
            Conv,
            Float,
            "blk.{}.shortconv.conv.weight",
            "model.layers.{}.conv.conv.weight",
            &[Hidden, One, ConvKernel],
        ),
        row(
            Conv,
            Matrix,
            "blk.{}.shortconv.out_proj.weight",
            "model.layers.{}.conv.out_proj.weight",
            &[Hidden, Hidden],
        ),
        row(
            Attention,
            Matrix,
            "blk.{}.attn_q.weight",
            "model.layers.{}.self_attn.q_proj.weight",
            &[Q, Hidden],
        ),
        row(
            Attention,
            Matrix,
            "blk.{}.attn_k.weight",
            "model.layers.{}.self_attn.k_proj.weight",
            &[Kv, Hidden],
        ),
        row(
            Attention,
            Matrix,
            "blk.{}.attn_v.weight",
            "model.layers.{}.self_attn.v_proj.weight",
            &[Kv, Hidden],
        ),
        row(
            Attention,
            Float,
            "blk.{}.attn_q_norm.weight",
            "model.layers.{}.self_attn.q_layernorm.weight",
            &[HeadDim],
        ),
        row(
            Attention,
            Float,
            "blk.{}.attn_k_norm.weight",
            "model.layers.{}.self_attn.k_layernorm.weight",
            &[HeadDim],
        ),
        row(
            Attention,
            Matrix,
            "blk.{}.attn_output.weight",
            "model.layers.{}.self_attn.out_proj.weight",
            &[Hidden, Q],
        ),
        row(EveryLayer, Float, "blk.{}.ffn_norm.weight", "model.layers.{}.ffn_norm.weight", &[Hidden]),
        row(
            EveryLayer,
            Matrix,
            "blk.{}.ffn_gate.weight",
            "model.layers.{}.feed_forward.w1.weight",
            &[Ffn, Hidden],
        ),
        row(
            EveryLayer,
            Matrix,
            "blk.{}.ffn_up.weight",
            "model.layers.{}.feed_forward.w3.weight",
            &[Ffn, Hidden],
        ),
        row(
            EveryLayer,
            Matrix,
            "blk.{}.ffn_down.weight",
            "model.layers.{}.feed_forward.w2.weight",
            &[Hidden, Ffn],
        ),
        row(Model, Float, "token_embd_norm.weight", "model.embedding_norm.weight", &[Hidden]),
        row(ModelOptional, Matrix, "output.weight", "lm_head.weight", &[Vocab, Hidden]),
    ]
};

/// A tensor of a concrete model: names filled in, dimensions computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the GGUF file.
    pub gguf: String,
    /// Name in the Hugging Face checkpoint.
    pub hf: String,
    /// Shape in the checkpoint, rows first.
    pub hf_shape: Vec<usize>,
    /// Shape in the GGUF file, row length first, ones squeezed away.
    pub shape: Vec<usize>,
    /// How it is stored.
    pub role: Role,
    /// Whether the model may lack it (an untied head).
    pub optional: bool,
}

/// Every tensor that a model of this configuration has, in file order.
pub fn specs(config: &super::Config) -> Vec<TensorSpec> {
    let mut out = Vec::new();
    let mut push = |row: &TensorRow, layer: Option<(usize, LayerKind)>| {
        let fill = |name: &str| match layer {
            Some((i, _)) => name.replace("{}", &i.to_string()),
            None => name.to_string(),
        };
        let num_kv_heads = match layer {
            Some((_, LayerKind::Attention { num_kv_heads })) => num_kv_heads,
            _ => 0,
        };
        // A file may state anything; what saturates here fits no tensor.
        let size = |dim: &Dim| match dim {
            Dim::Vocab => config.vocab_size,
            Dim::Hidden => config.hidden_size,
            Dim::Hidden3 => config.hidden_size.saturating_mul(3),
            Dim::Ffn => config.intermediate_size,
            Dim::Q => config.num_heads.saturating_mul(config.head_dim),
            Dim::Kv => num_kv_heads.saturating_mul(config.head_dim),
            Dim::HeadDim => config.head_dim,
            Dim::ConvKernel => config.conv_kernel,
            Dim::One => 1,
        };
        out.push(TensorSpec {
            gguf: fill(row.gguf),
            hf: fill(row.hf),
            hf_shape: row.shape.iter().map(size).collect(),
            shape: row.shape.iter().rev().filter(|d| **d != Dim::One).map(size).collect(),
            role: row.role,
            optional: row.at == Where::ModelOptional,
        });
    };
    let per_layer = |row: &&TensorRow| !matches!(row.at, Where::Model | Where::ModelOptional);
    let first_layer_row = LFM2.iter().position(|r| per_layer(&r)).unwrap_or(0);
    for row in &LFM2[..first_layer_row] {
        push(row, None);
    }
    for (i, kind) in config.layers.iter().enumerate() {
        for row in LFM2.iter().filter(per_layer) {
            let here = match row.at {
                Where::Conv => matches!(kind, LayerKind::ShortConv),
                Where::Attention => matches!(kind, LayerKind::Attention { .. }),
                _ => true,
            };
            if here {
                push(row, Some((i, *kind)));
            }
        }
    }
    for row in LFM2[first_layer_row..].iter().filter(|r| !per_layer(r)) {
        push(row, None);
    }
    out
}
