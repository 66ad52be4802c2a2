//! Text to ids and back, from the GGUF file's own metadata, and the file's chat template.

mod added;
mod byte_level;
mod clock;
mod decoder;
mod error;
mod jinja;
mod metadata;
mod python;
mod source;
mod template;
mod vocab;

pub use decoder::TokenDecoder;
pub use error::TokenizerError;
pub use template::{ChatTemplate, Message};
pub use vocab::{Special, Tokenizer};
