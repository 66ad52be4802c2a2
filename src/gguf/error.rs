//! What a GGUF file can get wrong.

/// An invalid GGUF file. Every message names the thing, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// A metadata key is missing or of the wrong kind or out of range.
    #[error("metadata key '{key}': expected {expected}, found {found}")]
    Key {
        /// The key.
        key: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
}
