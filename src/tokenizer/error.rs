//! What a tokenizer or chat template can get wrong.

/// A tokenizer or template that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The metadata describes a tokenizer that brooklet does not know.
    #[error("tokenizer: {0}")]
    Unsupported(String),
    /// The chat template does not compile or does not render.
    #[error("chat template: {0}")]
    Template(String),
}
