//! The LFM2 model: configuration, tensor table, weights and the forward pass.

mod config;
mod error;
pub mod tensors;

pub use config::{Config, LayerKind};
pub use error::ModelError;

use crate::{Gguf, Result};
use std::path::Path;

/// An LFM2 model over a mapped file. Immutable; share it in an `Arc`.
pub struct Model {}

#[allow(unused_variables)]
impl Model {
    /// Opens a GGUF file and checks that it holds a model that brooklet runs, with the kernels of [`brooklet_kernels::active`].
    pub fn open(path: &Path) -> Result<Model> {
        Model::from_gguf(Gguf::open(path)?)
    }
    /// As [`Model::open`], from an open file.
    pub fn from_gguf(gguf: Gguf) -> Result<Model> {
        todo!()
    }
    /// The file.
    pub fn gguf(&self) -> &Gguf {
        todo!()
    }
    /// The model's shape.
    pub fn config(&self) -> &Config {
        todo!()
    }
    /// Bytes of all tensors.
    pub fn size_bytes(&self) -> u64 {
        todo!()
    }
    /// Elements of all tensors.
    pub fn n_params(&self) -> u64 {
        todo!()
    }
}
