//! A session owns everything that changes: KV cache, convolution state, position, scratch.

use crate::{Model, Result};
use brooklet_kernels::TensorType;
use std::sync::Arc;

/// What a session cannot do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The tokens do not fit.
    #[error(
        "{needed} tokens do not fit a context of {context}: shorten the prompt or raise the context (-c)"
    )]
    ContextFull {
        /// Positions needed in all.
        needed: usize,
        /// Positions there are.
        context: usize,
    },
    /// An id outside the vocabulary.
    #[error("token id {id} is out of range: the vocabulary has {vocab_size} entries")]
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// One past the largest.
        vocab_size: usize,
    },
    /// Other bad requests.
    #[error("{0}")]
    Invalid(String),
}

/// How a session is set up.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Positions; `None` is the smaller of the model's own and 4,096. Memory grows as it is used.
    pub context: Option<usize>,
    /// How keys and values are stored: F16 (default) or F32.
    pub kv_type: TensorType,
    /// Threads; `None` is one a physical core.
    pub threads: Option<usize>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions { context: None, kv_type: TensorType::F16, threads: None }
    }
}

/// One conversation's state over a shared [`Model`].
pub struct Session {
    _model: Arc<Model>,
}

#[allow(unused_variables)]
impl Session {
    /// An empty session.
    pub fn new(model: Arc<Model>, options: SessionOptions) -> Result<Session> {
        todo!()
    }
    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        todo!()
    }
    /// Positions there are.
    pub fn context(&self) -> usize {
        todo!()
    }
    /// The ids taken so far; its length is the position.
    pub fn tokens(&self) -> &[u32] {
        todo!()
    }
    /// Takes `ids` and returns the logits after the last, `vocab_size` of them.
    pub fn prefill(&mut self, ids: &[u32]) -> Result<&[f32]> {
        todo!()
    }
    /// As [`Session::prefill`], calling `each(index, logits)` at every position in order.
    pub fn prefill_each(&mut self, ids: &[u32], each: impl FnMut(usize, &[f32])) -> Result<()> {
        todo!()
    }
    /// Takes one id; allocates nothing.
    pub fn decode(&mut self, id: u32) -> Result<&[f32]> {
        todo!()
    }
    /// The logits after the last token taken.
    pub fn logits(&self) -> &[f32] {
        todo!()
    }
    /// Forgets everything after the first `len` tokens.
    pub fn rollback(&mut self, len: usize) -> Result<()> {
        todo!()
    }
    /// Forgets everything.
    pub fn reset(&mut self) {
        todo!()
    }
    /// A copy that goes on by itself.
    pub fn fork(&self) -> Session {
        todo!()
    }
    /// Writes the state.
    pub fn save(&self, path: &std::path::Path) -> Result<()> {
        todo!()
    }
    /// Restores a state that [`Session::save`] wrote with the same model and KV type.
    pub fn load(&mut self, path: &std::path::Path) -> Result<()> {
        todo!()
    }
}
