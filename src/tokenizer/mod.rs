//! Text to ids and back, from the GGUF file's own metadata, and the file's chat template.

mod error;
mod template;
mod vocab;

pub use error::TokenizerError;
pub use template::{ChatTemplate, Message};
pub use vocab::{Special, TokenDecoder, Tokenizer};
