//! The validated index.

use super::value::{Array, Value};
use crate::Result;
use brooklet_kernels::TensorType;
use std::path::Path;

/// An open GGUF file.
pub struct Gguf {}

/// One row of the tensor index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The tensor's name.
    pub name: String,
    /// How its elements are stored.
    pub ty: TensorType,
    /// Dimensions in ggml's order: the row length first. 1 to 4 of them, none zero.
    pub shape: Vec<usize>,
    /// Where its data starts, in bytes from the start of the file.
    pub offset: usize,
    /// Bytes of data.
    pub len: usize,
}

/// A tensor with its data.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Name, type, shape.
    pub info: &'a TensorInfo,
    /// The bytes in the map.
    pub data: &'a [u8],
}

#[allow(unused_variables)]
impl Gguf {
    /// Maps and validates a file.
    pub fn open(path: &Path) -> Result<Gguf> {
        todo!()
    }
    /// Validates a file held in memory (tests, fuzzing).
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Gguf> {
        todo!()
    }
    /// 2 or 3.
    pub fn version(&self) -> u32 {
        todo!()
    }
    /// The size of the whole file in bytes.
    pub fn file_len(&self) -> usize {
        todo!()
    }
    /// All metadata in the file's order.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        std::iter::empty() // todo
    }
    /// A key's value, if it is there.
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        todo!()
    }
    /// A non-negative integer of any width (also from I32/I64), or None where the key is absent.
    pub fn get_usize(&self, key: &str) -> Result<Option<usize>> {
        todo!()
    }
    /// A float (F32 or F64), or None where the key is absent.
    pub fn get_f32(&self, key: &str) -> Result<Option<f32>> {
        todo!()
    }
    /// A bool, or None.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>> {
        todo!()
    }
    /// A string, or None.
    pub fn get_str(&self, key: &str) -> Result<Option<&str>> {
        todo!()
    }
    /// An array, or None.
    pub fn get_array(&self, key: &str) -> Result<Option<Array<'_>>> {
        todo!()
    }
    /// The tensor index in the file's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        todo!()
    }
    /// A tensor by name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        todo!()
    }
    /// The data of an index row of this file.
    ///
    /// # Panics
    /// If `info` comes from another file and lies out of bounds here.
    pub fn data(&self, info: &TensorInfo) -> &[u8] {
        todo!()
    }
}
