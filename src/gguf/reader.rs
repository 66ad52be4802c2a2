//! The validated index.

use super::error::{GgufError, printable};
use super::layout::*;
use super::map::Bytes;
use super::value::{Array, Value, ValueKind, take_value};
use crate::Result;
use brooklet_kernels::TensorType;
use std::collections::HashMap;
use std::fmt::Display;
use std::ops::Range;
use std::path::Path;

/// An open GGUF file.
///
/// Opening checks everything there is to check, once; after that, metadata and tensors are views
/// into the file. In a mapped file every tensor's data is aligned in memory as it is in the file.
pub struct Gguf {
    bytes: Bytes,
    index: Index,
}

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

impl Gguf {
    /// Maps and validates a file.
    pub fn open(path: &Path) -> Result<Gguf> {
        Self::new(Bytes::map(path)?)
    }

    /// Validates a file held in memory (tests, fuzzing).
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Gguf> {
        Self::new(Bytes::Owned(bytes))
    }

    fn new(bytes: Bytes) -> Result<Gguf> {
        let index = Index::parse(&bytes)?;
        Ok(Gguf { bytes, index })
    }

    /// 2 or 3.
    pub fn version(&self) -> u32 {
        self.index.version
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The size of the whole file in bytes.
    pub fn file_len(&self) -> usize {
        self.bytes.len()
    }

    /// All metadata in the file's order.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, Value<'_>)> {
        self.index.entries.iter().filter_map(|entry| Some((entry.key.as_str(), entry.value(&self.bytes)?)))
    }

    /// A key's value, if it is there.
    pub fn get(&self, key: &str) -> Option<Value<'_>> {
        self.index.get(key, &self.bytes)
    }

    /// A non-negative integer of any width (also from I32/I64), or None where the key is absent.
    pub fn get_usize(&self, key: &str) -> Result<Option<usize>> {
        self.get_as(key, "a non-negative integer", |v| v.as_usize())
    }

    /// A float (F32 or F64), or None where the key is absent.
    pub fn get_f32(&self, key: &str) -> Result<Option<f32>> {
        self.get_as(key, "a float", |v| v.as_f32())
    }

    /// A bool, or None.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>> {
        self.get_as(key, "a bool", |v| v.as_bool())
    }

    /// A string, or None.
    pub fn get_str(&self, key: &str) -> Result<Option<&str>> {
        self.get_as(key, "a string", |v| v.as_str())
    }

    /// An array, or None.
    pub fn get_array(&self, key: &str) -> Result<Option<Array<'_>>> {
        self.get_as(key, "an array", |v| v.as_array())
    }

    fn get_as<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match convert(&value) {
            Some(found) => Ok(Some(found)),
            None => Err(GgufError::Key {
                key: key.to_string(),
                expected: expected.to_string(),
                found: value.to_string(),
            }
            .into()),
        }
    }

    /// The tensor index in the file's order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.index.tensors
    }

    /// A tensor by name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let info = &self.index.tensors[*self.index.tensor_rows.get(name)?];
        Some(TensorView { info, data: self.data(info) })
    }

    /// The data of an index row of this file.
    ///
    /// # Panics
    /// If `info` comes from another file and lies out of bounds here.
    pub fn data(&self, info: &TensorInfo) -> &[u8] {
        &self.bytes[info.offset..][..info.len]
    }

    /// Has a tensor's bytes read ahead of their use, and waits for that where the system allows it.
    pub(crate) fn read_ahead(&self, info: &TensorInfo) {
        self.bytes.read_ahead(info.offset..info.offset + info.len);
    }
}

/// Everything that was learnt from a file's header, none of it borrowed.
struct Index {
    version: u32,
    entries: Vec<Entry>,
    entry_rows: HashMap<String, usize>,
    tensors: Vec<TensorInfo>,
    tensor_rows: HashMap<String, usize>,
}

/// A key, and where its value lies.
struct Entry {
    key: String,
    /// The value's kind, or that of its elements.
    kind: ValueKind,
    /// Elements, if it is an array.
    array_len: Option<usize>,
    data: Range<usize>,
}

impl Entry {
    /// `None` only if the file was overwritten since it was validated.
    fn value<'a>(&self, bytes: &'a [u8]) -> Option<Value<'a>> {
        let mut data = &bytes[self.data.clone()];
        match self.array_len {
            Some(len) => Some(Value::Array(Array { kind: self.kind, len, data })),
            None => take_value(self.kind, &mut data),
        }
    }
}

impl Index {
    fn parse(bytes: &[u8]) -> Result<Index, GgufError> {
        let mut cursor = Cursor { bytes, pos: 0 };
        let version = cursor.header()?;
        let n_tensors = cursor.count("number of tensors", MAX_TENSORS, 8 + 1 + 4 + 8 + 4 + 8)?;
        let n_entries = cursor.count("number of metadata keys", MAX_KEYS, 8 + 1 + 4 + 1)?;

        let mut index = Index {
            version,
            entries: Vec::with_capacity(n_entries),
            entry_rows: HashMap::with_capacity(n_entries),
            tensors: Vec::with_capacity(n_tensors),
            tensor_rows: HashMap::with_capacity(n_tensors),
        };
        for row in 0..n_entries {
            let entry = cursor.entry(row)?;
            if index.entry_rows.insert(entry.key.clone(), row).is_some() {
                return Err(GgufError::DuplicateKey { key: printable(&entry.key) });
            }
            index.entries.push(entry);
        }
        let alignment = check_alignment(index.get(ALIGNMENT_KEY, bytes))?;

        let mut offsets = Vec::with_capacity(n_tensors);
        for row in 0..n_tensors {
            let (tensor, offset) = cursor.tensor(row)?;
            if index.tensor_rows.insert(tensor.name.clone(), row).is_some() {
                return Err(GgufError::DuplicateTensor { tensor: printable(&tensor.name) });
            }
            index.tensors.push(tensor);
            offsets.push(offset);
        }
        index.place(&offsets, cursor.pos, alignment, bytes.len())?;
        Ok(index)
    }

    fn get<'a>(&self, key: &str, bytes: &'a [u8]) -> Option<Value<'a>> {
        self.entries[*self.entry_rows.get(key)?].value(bytes)
    }

    /// Turns offsets in the data section, which begins at the first aligned byte after `header_end`,
    /// into offsets in the file, and checks that the tensors lie in the file and apart.
    fn place(
        &mut self,
        offsets: &[u64],
        header_end: usize,
        alignment: usize,
        file_len: usize,
    ) -> Result<(), GgufError> {
        // At most 1 MiB above the length of a slice: no overflow.
        let data_start = header_end.next_multiple_of(alignment);
        for (tensor, &offset) in self.tensors.iter_mut().zip(offsets) {
            if !offset.is_multiple_of(alignment as u64) {
                let tensor = printable(&tensor.name);
                return Err(GgufError::Misaligned { tensor, alignment, found: offset });
            }
            tensor.offset = usize::try_from(offset)
                .ok()
                .and_then(|offset| data_start.checked_add(offset))
                .filter(|start| start.checked_add(tensor.len).is_some_and(|end| end <= file_len))
                .ok_or_else(|| GgufError::OutOfBounds {
                    tensor: printable(&tensor.name),
                    len: tensor.len,
                    offset: offset.saturating_add(data_start as u64),
                    file_len,
                })?;
        }
        let mut order: Vec<&TensorInfo> = self.tensors.iter().collect();
        order.sort_unstable_by_key(|tensor| tensor.offset);
        match order.windows(2).find(|pair| pair[0].offset + pair[0].len > pair[1].offset) {
            None => Ok(()),
            Some(pair) => {
                Err(GgufError::Overlap { first: printable(&pair[0].name), second: printable(&pair[1].name) })
            }
        }
    }
}

/// Reads the header front to back. Every method takes or names what is being read, for the message.
struct Cursor<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.pos
    }

    fn take(&mut self, n: u64, what: impl Display) -> Result<&'a [u8], GgufError> {
        let found = self.left();
        match usize::try_from(n) {
            Ok(n) if n <= found => {
                let taken = &self.bytes[self.pos..][..n];
                self.pos += n;
                Ok(taken)
            }
            _ => Err(GgufError::Truncated { what: what.to_string(), offset: self.pos, expected: n, found }),
        }
    }

    fn array<const N: usize>(&mut self, what: impl Display) -> Result<[u8; N], GgufError> {
        Ok(self.take(N as u64, what)?.try_into().expect("N bytes were taken"))
    }

    fn u32(&mut self, what: impl Display) -> Result<u32, GgufError> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: impl Display) -> Result<u64, GgufError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A count of things of at least `min_size` bytes each, of which there may be `max`.
    fn count(&mut self, what: &str, max: u64, min_size: usize) -> Result<usize, GgufError> {
        let found = self.u64(what)?;
        let limit = max.min((self.left() / min_size) as u64);
        if found > limit {
            return Err(GgufError::Count { what: what.to_string(), limit, found });
        }
        Ok(found as usize)
    }

    fn str(&mut self, len: u64, what: impl Display) -> Result<&'a str, GgufError> {
        let text = self.take(len, &what)?;
        str::from_utf8(text).map_err(|e| GgufError::Utf8 {
            what: what.to_string(),
            at: e.valid_up_to(),
            len: text.len(),
        })
    }

    fn header(&mut self) -> Result<u32, GgufError> {
        let magic = self.bytes.get(..MAGIC.len()).unwrap_or(self.bytes);
        if magic != MAGIC {
            let found =
                if magic.is_empty() { "nothing".into() } else { format!("\"{}\"", magic.escape_ascii()) };
            return Err(GgufError::Magic { found });
        }
        self.pos = MAGIC.len();
        match self.u32("the version")? {
            version @ 2..=3 => Ok(version),
            found if (2..=3).contains(&found.swap_bytes()) => {
                Err(GgufError::BigEndian { version: found.swap_bytes() })
            }
            found => Err(GgufError::Version { found }),
        }
    }

    /// A metadata key with its value, checked to the last element.
    fn entry(&mut self, index: usize) -> Result<Entry, GgufError> {
        let name = format_args!("the name of metadata key {index}");
        let len = self.u64(name)?;
        if !(1..=MAX_KEY_LEN as u64).contains(&len) {
            return Err(GgufError::KeyName { index, limit: MAX_KEY_LEN, found: len });
        }
        let key = self.str(len, name)?;
        let what = format_args!("metadata key '{}'", Printable(key));

        let mut kind = self.kind(key)?;
        let mut array_len = None;
        if kind == ValueKind::Array {
            kind = self.kind(key)?;
            if kind == ValueKind::Array {
                return Err(GgufError::NestedArray { key: printable(key) });
            }
            let elements = format_args!("number of elements of {what}").to_string();
            array_len = Some(self.count(&elements, u64::MAX, kind.size().unwrap_or(8))?);
        }

        let start = self.pos;
        let n = array_len.unwrap_or(1);
        match kind.size() {
            Some(size) => {
                let data = self.take((n * size) as u64, what)?;
                let invalid = data.iter().find(|&&byte| kind == ValueKind::Bool && byte > 1);
                if let Some(&found) = invalid {
                    return Err(GgufError::Bool { key: printable(key), found });
                }
            }
            None => {
                for i in 0..n {
                    let what = format_args!("string {i} of {what}");
                    let len = self.u64(what)?;
                    self.str(len, what)?;
                }
            }
        }
        Ok(Entry { key: key.to_string(), kind, array_len, data: start..self.pos })
    }

    fn kind(&mut self, key: &str) -> Result<ValueKind, GgufError> {
        let found = self.u32(format_args!("the value kind of metadata key '{}'", Printable(key)))?;
        ValueKind::from_id(found).ok_or_else(|| GgufError::ValueKind { key: printable(key), found })
    }

    /// A row of the tensor index, with its offset in the data section; the offset in the file comes later.
    fn tensor(&mut self, index: usize) -> Result<(TensorInfo, u64), GgufError> {
        let what = format_args!("the name of tensor {index}");
        let len = self.u64(what)?;
        if !(1..=MAX_TENSOR_NAME_LEN as u64).contains(&len) {
            return Err(GgufError::TensorName { index, limit: MAX_TENSOR_NAME_LEN, found: len });
        }
        let name = self.str(len, what)?;
        let what = format_args!("the description of tensor '{}'", Printable(name));

        let n_dims = self.u32(what)?;
        if n_dims as usize > MAX_DIMS {
            return Err(GgufError::DimensionCount { tensor: printable(name), found: n_dims.into() });
        }
        let mut shape = [0; MAX_DIMS];
        let shape = &mut shape[..n_dims as usize];
        for dim in shape.iter_mut() {
            *dim = self.u64(what)?;
        }
        let ty = tensor_type(name, self.u32(what)?)?;
        let len = tensor_len(name, ty, shape)?;
        let offset = self.u64(what)?;
        // The product of the dimensions fits, so each of them does.
        let shape = shape.iter().map(|&dim| dim as usize).collect();
        Ok((TensorInfo { name: name.to_string(), ty, shape, offset: 0, len }, offset))
    }
}

/// [`printable`] as a lazily formatted argument.
struct Printable<'a>(&'a str);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&printable(self.0))
    }
}
