//! Metadata values: scalars by value, strings and arrays as validated ranges of the map.

use super::error::printable;
use std::fmt;

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

impl ValueKind {
    /// Every kind, in the order of their ids.
    pub const ALL: [ValueKind; 13] = {
        use ValueKind::*;
        [U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64]
    };

    /// The kind with this id in a file.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// The id in a file.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// Bytes of a value, or `None` where they vary.
    pub(super) fn size(self) -> Option<usize> {
        use ValueKind::*;
        match self {
            U8 | I8 | Bool => Some(1),
            U16 | I16 => Some(2),
            U32 | I32 | F32 => Some(4),
            U64 | I64 | F64 => Some(8),
            String | Array => None,
        }
    }
}

/// Rust's names: `u32`, `string`, `array`.
impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 13] =
            ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"];
        f.pad(NAMES[*self as usize])
    }
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

impl<'a> Value<'a> {
    /// The value's kind.
    pub fn kind(&self) -> ValueKind {
        match self {
            Value::U8(_) => ValueKind::U8,
            Value::I8(_) => ValueKind::I8,
            Value::U16(_) => ValueKind::U16,
            Value::I16(_) => ValueKind::I16,
            Value::U32(_) => ValueKind::U32,
            Value::I32(_) => ValueKind::I32,
            Value::F32(_) => ValueKind::F32,
            Value::Bool(_) => ValueKind::Bool,
            Value::String(_) => ValueKind::String,
            Value::Array(_) => ValueKind::Array,
            Value::U64(_) => ValueKind::U64,
            Value::I64(_) => ValueKind::I64,
            Value::F64(_) => ValueKind::F64,
        }
    }

    /// An integer of any width that is not negative and fits.
    pub fn as_usize(&self) -> Option<usize> {
        match *self {
            Value::U8(v) => Some(v.into()),
            Value::U16(v) => Some(v.into()),
            Value::U32(v) => v.try_into().ok(),
            Value::U64(v) => v.try_into().ok(),
            Value::I8(v) => v.try_into().ok(),
            Value::I16(v) => v.try_into().ok(),
            Value::I32(v) => v.try_into().ok(),
            Value::I64(v) => v.try_into().ok(),
            _ => None,
        }
    }

    /// A float; an F64 is rounded.
    pub fn as_f32(&self) -> Option<f32> {
        match *self {
            Value::F32(v) => Some(v),
            Value::F64(v) => Some(v as f32),
            _ => None,
        }
    }

    /// A bool.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Value::Bool(v) => Some(v),
            _ => None,
        }
    }

    /// A string.
    pub fn as_str(&self) -> Option<&'a str> {
        match *self {
            Value::String(v) => Some(v),
            _ => None,
        }
    }

    /// An array.
    pub fn as_array(&self) -> Option<Array<'a>> {
        match *self {
            Value::Array(v) => Some(v),
            _ => None,
        }
    }
}

/// For error messages: the kind, and the value where it is short.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind())?;
        match self {
            Value::U8(v) => v.fmt(f),
            Value::I8(v) => v.fmt(f),
            Value::U16(v) => v.fmt(f),
            Value::I16(v) => v.fmt(f),
            Value::U32(v) => v.fmt(f),
            Value::I32(v) => v.fmt(f),
            Value::F32(v) => v.fmt(f),
            Value::Bool(v) => v.fmt(f),
            Value::U64(v) => v.fmt(f),
            Value::I64(v) => v.fmt(f),
            Value::F64(v) => v.fmt(f),
            Value::String(v) => write!(f, "'{}'", printable(v)),
            Value::Array(v) => write!(f, "of {} {}", v.len(), v.kind()),
        }
    }
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

    /// The elements as values. All `len` of them, unless the file was overwritten since it was opened.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let Array { kind, len, mut data } = *self;
        (0..len).map_while(move |_| take_value(kind, &mut data))
    }
}

/// Splits one value that is no array off the front of `data`.
pub(super) fn take_value<'a>(kind: ValueKind, data: &mut &'a [u8]) -> Option<Value<'a>> {
    Some(match kind {
        ValueKind::U8 => Value::U8(u8::from_le_bytes(take(data)?)),
        ValueKind::I8 => Value::I8(i8::from_le_bytes(take(data)?)),
        ValueKind::U16 => Value::U16(u16::from_le_bytes(take(data)?)),
        ValueKind::I16 => Value::I16(i16::from_le_bytes(take(data)?)),
        ValueKind::U32 => Value::U32(u32::from_le_bytes(take(data)?)),
        ValueKind::I32 => Value::I32(i32::from_le_bytes(take(data)?)),
        ValueKind::F32 => Value::F32(f32::from_le_bytes(take(data)?)),
        ValueKind::U64 => Value::U64(u64::from_le_bytes(take(data)?)),
        ValueKind::I64 => Value::I64(i64::from_le_bytes(take(data)?)),
        ValueKind::F64 => Value::F64(f64::from_le_bytes(take(data)?)),
        ValueKind::Bool => match take(data)? {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            _ => return None,
        },
        ValueKind::String => {
            let len = u64::from_le_bytes(take(data)?).try_into().ok()?;
            let (text, rest) = data.split_at_checked(len)?;
            *data = rest;
            Value::String(str::from_utf8(text).ok()?)
        }
        ValueKind::Array => return None,
    })
}

fn take<const N: usize>(data: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = data.split_first_chunk()?;
    *data = rest;
    Some(*head)
}
