//! The model's shape, from the GGUF file's `lfm2.*` keys.

/// What one decoder layer mixes tokens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// Gated short convolution.
    ShortConv,
    /// Grouped-query attention with this many key/value heads.
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
    /// Dimensions of a head that RoPE turns.
    pub rope_dim: usize,
    /// RoPE's base.
    pub rope_theta: f32,
    /// Added under the root in RMS norm.
    pub norm_eps: f32,
    /// Taps of the short convolution, L.
    pub conv_kernel: usize,
    /// Positions the model was made for.
    pub context_length: usize,
    /// One entry a layer.
    pub layers: Vec<LayerKind>,
}
