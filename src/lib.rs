//! brooklet runs LFM2 language models (Liquid AI's hybrid of short convolutions and attention)
//! from memory-mapped, quantized GGUF files on small machines.
//!
//! ```text
//! model.gguf ──mmap──▶ Gguf ──▶ Config + Weights ──▶ Model (immutable, shared)
//! text ──Tokenizer──▶ ids ──Session::prefill/decode──▶ logits ──Sampler──▶ id ──TokenDecoder──▶ text
//! ```
//!
//! One [`Model`] serves many [`Session`]s; a session owns everything that changes.

mod error;
mod generate;
pub mod gguf;
pub mod model;
mod sampler;
mod sampling;
mod session;
mod system;
mod temporary;
pub mod tokenizer;
pub mod tool_calls;

pub use error::{Error, Result};
pub use generate::{Generation, Generator, Limits, Stop, answer, generate};
pub use gguf::Gguf;
pub use model::Model;
pub use sampler::{Sampler, SamplerConfig};
pub use sampling::{Sampling, Setting, random_seed};
pub use session::{Batch, MAX_THREADS, Session, SessionError, SessionOptions, Take};
pub use system::{LARGE_PAGE, memory_available};
pub use temporary::write_whole;
pub use tokenizer::{ChatTemplate, TokenDecoder, Tokenizer};
