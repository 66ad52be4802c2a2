//! Metadata values: scalars by value, strings and arrays as validated ranges of the map.

/// The kind of a metadata value, with GGUF's ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum ValueKind {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

/// A metadata value, borrowed from the map.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(&'a str),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// A validated array of metadata values (no arrays of arrays), elements decoded as they are iterated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array<'a> {
    pub(super) kind: ValueKind,
    pub(super) len: usize,
    /// The elements' bytes, validated when the file was opened.
    pub(super) data: &'a [u8],
}

impl<'a> Array<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// The elements' kind.
    pub fn kind(&self) -> ValueKind {
        self.kind
    }
    /// The elements as values.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        std::iter::empty() // todo
    }
}
