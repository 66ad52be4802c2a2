//! The GGUF container (v2, v3): a validated index over a memory map, and a streaming writer.
//!
//! Layout: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. Everything in a file comes
//! from strangers: every read is bounds-checked and every size capped before it is allocated.

mod error;
mod layout;
mod map;
mod reader;
mod value;
mod writer;

pub use error::GgufError;
pub use reader::{Gguf, TensorInfo, TensorView};
pub use value::{Array, Value, ValueKind};
pub use writer::{GgufStream, GgufWriter, TensorPlan};
