//! Text to ids and back, from the GGUF file's own metadata, and the file's chat template.

mod added;
mod bpe;
mod byte_level;
mod clock;
mod decoder;
mod error;
mod jinja;
mod metadata;
mod pipeline;
mod python;
mod source;
mod template;
mod vocab;

pub use decoder::TokenDecoder;
pub use error::TokenizerError;
pub use pipeline::{Special, Tokenizer};
pub use template::{ChatTemplate, Message};
