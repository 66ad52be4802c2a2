//! A streaming writer: metadata, the tensor index, then each tensor's bytes in order, never all at once.

use super::error::{GgufError, printable};
use super::layout::*;
use super::value::{Value, ValueKind, take_value};
use super::{Array, Gguf};
use crate::temporary::Temporary;
use crate::{Error, Result};
use brooklet_kernels::TensorType;
use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

/// The version that is written.
const VERSION: u32 = 3;

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
#[derive(Clone, Debug, Default)]
pub struct GgufWriter {
    entries: Vec<Entry>,
}

/// Name and bytes of each tensor.
type Layout = Vec<(String, usize)>;

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    kind: ValueKind,
    /// The value as it stands in the file, after its kind.
    data: Vec<u8>,
}

impl GgufWriter {
    /// A file without metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a scalar, string or (from an open file) array value; keys keep the order of first setting,
    /// a second setting replaces.
    pub fn set(&mut self, key: &str, value: Value<'_>) {
        let data = match value {
            Value::U8(v) => v.to_le_bytes().to_vec(),
            Value::I8(v) => v.to_le_bytes().to_vec(),
            Value::U16(v) => v.to_le_bytes().to_vec(),
            Value::I16(v) => v.to_le_bytes().to_vec(),
            Value::U32(v) => v.to_le_bytes().to_vec(),
            Value::I32(v) => v.to_le_bytes().to_vec(),
            Value::F32(v) => v.to_le_bytes().to_vec(),
            Value::U64(v) => v.to_le_bytes().to_vec(),
            Value::I64(v) => v.to_le_bytes().to_vec(),
            Value::F64(v) => v.to_le_bytes().to_vec(),
            Value::Bool(v) => vec![v.into()],
            Value::String(v) => {
                let mut data = Vec::with_capacity(8 + v.len());
                push_str(&mut data, v);
                data
            }
            Value::Array(Array { kind, len, data }) => return self.put_array(key, kind, len, data),
        };
        self.put(key, value.kind(), data);
    }

    /// Sets an array of strings.
    pub fn set_strings<S: AsRef<str>>(&mut self, key: &str, values: impl IntoIterator<Item = S>) {
        let (mut len, mut data) = (0, Vec::new());
        for value in values {
            push_str(&mut data, value.as_ref());
            len += 1;
        }
        self.put_array(key, ValueKind::String, len, &data);
    }

    /// Sets an array of I32.
    pub fn set_i32s(&mut self, key: &str, values: &[i32]) {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.put_array(key, ValueKind::I32, values.len(), &data);
    }

    /// Sets an array of U32.
    pub fn set_u32s(&mut self, key: &str, values: &[u32]) {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.put_array(key, ValueKind::U32, values.len(), &data);
    }

    /// Sets an array of F32.
    pub fn set_f32s(&mut self, key: &str, values: &[f32]) {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.put_array(key, ValueKind::F32, values.len(), &data);
    }

    /// Sets an array of bools.
    pub fn set_bools(&mut self, key: &str, values: &[bool]) {
        let data: Vec<u8> = values.iter().map(|&v| v.into()).collect();
        self.put_array(key, ValueKind::Bool, values.len(), &data);
    }

    /// Sets every key of an open file.
    pub fn copy_metadata(&mut self, from: &Gguf) {
        for (key, value) in from.metadata() {
            self.set(key, value);
        }
    }

    /// Forgets a key, if it is there.
    pub fn remove(&mut self, key: &str) {
        self.entries.retain(|entry| entry.key != key);
    }

    fn put_array(&mut self, key: &str, kind: ValueKind, len: usize, elements: &[u8]) {
        let mut data = Vec::with_capacity(12 + elements.len());
        data.extend(kind.id().to_le_bytes());
        data.extend((len as u64).to_le_bytes());
        data.extend(elements);
        self.put(key, ValueKind::Array, data);
    }

    fn put(&mut self, key: &str, kind: ValueKind, data: Vec<u8>) {
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => (entry.kind, entry.data) = (kind, data),
            None => self.entries.push(Entry { key: key.to_string(), kind, data }),
        }
    }

    /// Writes header and index; the returned stream takes the data of `tensors` in order.
    ///
    /// The data section is aligned to `general.alignment`, or to 32 bytes where that is not set.
    ///
    /// # Errors
    /// Names, shapes or an alignment that a GGUF file cannot hold; a destination that cannot be
    /// written or is something other than a regular file.
    pub fn create(self, path: &Path, tensors: &[TensorPlan]) -> Result<GgufStream> {
        let alignment = self.alignment()?;
        let (header, layout) = self.header(tensors, alignment)?;
        let mut stream = GgufStream {
            temporary: Temporary::create(path)?,
            tensors: layout,
            current: 0,
            written: 0,
            alignment,
        };
        stream.put(&header)?;
        stream.pad(header.len())?;
        Ok(stream)
    }

    fn alignment(&self) -> Result<usize, GgufError> {
        let entry = self.entries.iter().find(|entry| entry.key == ALIGNMENT_KEY);
        check_alignment(entry.and_then(|entry| take_value(entry.kind, &mut entry.data.as_slice())))
    }

    /// The bytes before the data section, and name and size of each tensor.
    fn header(&self, tensors: &[TensorPlan], alignment: usize) -> Result<(Vec<u8>, Layout), GgufError> {
        for (what, found, limit) in [
            ("number of tensors", tensors.len() as u64, MAX_TENSORS),
            ("number of metadata keys", self.entries.len() as u64, MAX_KEYS),
        ] {
            if found > limit {
                return Err(GgufError::Count { what: what.into(), limit, found });
            }
        }
        let mut header = Vec::new();
        header.extend(MAGIC);
        header.extend(VERSION.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((self.entries.len() as u64).to_le_bytes());

        for (index, entry) in self.entries.iter().enumerate() {
            if !(1..=MAX_KEY_LEN).contains(&entry.key.len()) {
                let found = entry.key.len() as u64;
                return Err(GgufError::KeyName { index, limit: MAX_KEY_LEN, found });
            }
            push_str(&mut header, &entry.key);
            header.extend(entry.kind.id().to_le_bytes());
            header.extend(&entry.data);
        }

        let mut layout = Vec::with_capacity(tensors.len());
        let mut names = HashSet::with_capacity(tensors.len());
        let mut offset = 0u64;
        for (index, TensorPlan { name, ty, shape }) in tensors.iter().enumerate() {
            if !(1..=MAX_TENSOR_NAME_LEN).contains(&name.len()) {
                let found = name.len() as u64;
                return Err(GgufError::TensorName { index, limit: MAX_TENSOR_NAME_LEN, found });
            }
            if !names.insert(name) {
                return Err(GgufError::DuplicateTensor { tensor: printable(name) });
            }
            let shape: Vec<u64> = shape.iter().map(|&dim| dim as u64).collect();
            let len = tensor_len(name, *ty, &shape)?;

            push_str(&mut header, name);
            header.extend((shape.len() as u32).to_le_bytes());
            header.extend(shape.iter().flat_map(|dim| dim.to_le_bytes()));
            header.extend(ty.id().to_le_bytes());
            header.extend(offset.to_le_bytes());

            layout.push((name.clone(), len));
            offset = (len as u64)
                .checked_next_multiple_of(alignment as u64)
                .and_then(|padded| offset.checked_add(padded))
                .ok_or_else(|| GgufError::TooLarge { tensor: printable(name), shape })?;
        }
        Ok((header, layout))
    }
}

fn push_str(data: &mut Vec<u8>, text: &str) {
    data.extend((text.len() as u64).to_le_bytes());
    data.extend(text.as_bytes());
}

/// Takes tensor data in the planned order.
#[derive(Debug)]
pub struct GgufStream {
    temporary: Temporary,
    tensors: Layout,
    /// The tensor that takes the next bytes, and what it has of them.
    current: usize,
    written: usize,
    alignment: usize,
}

impl GgufStream {
    /// Appends bytes to the current tensor; pads to the alignment when it is complete and moves on.
    ///
    /// # Errors
    /// What the file system refuses, say on a full disk. Drop the stream then: nothing stays behind.
    ///
    /// # Panics
    /// On more bytes than the current tensor lacks, or bytes past the last tensor.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let Some((name, len)) = self.tensors.get(self.current) else {
            panic!("{} bytes written past the last tensor", bytes.len());
        };
        let len = *len;
        let left = len - self.written;
        assert!(bytes.len() <= left, "{} bytes written to tensor '{name}', which lacks {left}", bytes.len());
        self.put(bytes)?;
        self.written += bytes.len();
        if self.written == len {
            self.pad(len)?;
            self.current += 1;
            self.written = 0;
        }
        Ok(())
    }

    /// Flushes, syncs, checks that every tensor is complete, and renames onto the destination.
    pub fn finish(self) -> Result<()> {
        if let Some((name, len)) = self.tensors.get(self.current) {
            let tensor = printable(name);
            return Err(GgufError::Incomplete { tensor, expected: *len, found: self.written }.into());
        }
        self.temporary.persist()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let destination = &self.temporary.destination;
        self.temporary.file.write_all(bytes).map_err(Error::io("write", destination))
    }

    /// Zeros after `len` bytes that began aligned.
    fn pad(&mut self, len: usize) -> Result<()> {
        self.put(&vec![0; len.next_multiple_of(self.alignment) - len])
    }
}
