//! A streaming writer: metadata, the tensor index, then each tensor's bytes in order, never all at once.

use crate::Result;
use brooklet_kernels::TensorType;
use std::path::Path;

/// A tensor to come: enough to lay the file out before any data is there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TensorPlan {
    pub name: String,
    pub ty: TensorType,
    /// ggml's order: the row length first.
    pub shape: Vec<usize>,
}

/// Collects metadata and tensor plans, then streams the data into a temporary file beside the
/// destination, which takes its name only when everything has been written. Dropped unfinished, it
/// leaves nothing.
pub struct GgufWriter {}

#[allow(unused_variables, missing_docs)]
impl GgufWriter {
    pub fn new() -> Self {
        GgufWriter {}
    }
    /// Sets a scalar, string or (from an open file) array value; keys keep the order of first setting,
    /// a second setting replaces.
    pub fn set(&mut self, key: &str, value: super::Value<'_>) {}
    pub fn set_strings<S: AsRef<str>>(&mut self, key: &str, values: impl IntoIterator<Item = S>) {}
    pub fn set_i32s(&mut self, key: &str, values: &[i32]) {}
    pub fn set_u32s(&mut self, key: &str, values: &[u32]) {}
    pub fn set_f32s(&mut self, key: &str, values: &[f32]) {}
    pub fn set_bools(&mut self, key: &str, values: &[bool]) {}
    pub fn remove(&mut self, key: &str) {}
    /// Writes header and index; the returned stream takes the data of `tensors` in order.
    pub fn create(self, path: &Path, tensors: &[TensorPlan]) -> Result<GgufStream> {
        todo!()
    }
}

/// Takes tensor data in the planned order.
pub struct GgufStream {}

#[allow(unused_variables)]
impl GgufStream {
    /// Appends bytes to the current tensor; pads to the alignment when it is complete and moves on.
    /// More bytes than planned, or bytes past the last tensor, panic.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        todo!()
    }
    /// Flushes, syncs, checks that every tensor is complete, and renames onto the destination.
    pub fn finish(self) -> Result<()> {
        todo!()
    }
}
