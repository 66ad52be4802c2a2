//! What a GGUF file can get wrong.

use brooklet_kernels::TensorType;

/// An invalid GGUF file. Every message names the thing, what was expected and what was found.
///
/// Names that come from the file are shortened and their control characters escaped.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The magic is missing.
    #[error("not a GGUF file: expected it to start with \"GGUF\", found {found}")]
    Magic {
        /// The first bytes.
        found: String,
    },
    /// Written on (or for) a big-endian machine.
    #[error(
        "this GGUF file is big-endian (version {version}); brooklet reads little-endian files only: convert it again on a little-endian machine"
    )]
    BigEndian {
        /// The version after swapping.
        version: u32,
    },
    /// A version nobody writes any more, or one from the future.
    #[error("GGUF version: expected 2 or 3, found {found}")]
    Version {
        /// The version in the header.
        found: u32,
    },
    /// The file ends too early.
    #[error(
        "the file is truncated: {what} needs {expected} bytes at offset {offset}, but {found} are left; it may be an incomplete download"
    )]
    Truncated {
        /// What was being read.
        what: String,
        /// Where in the file.
        offset: usize,
        /// Bytes it needs.
        expected: u64,
        /// Bytes left in the file.
        found: usize,
    },
    /// A count that a file of this size could not hold, or no model has.
    #[error("{what}: expected at most {limit}, found {found}; the file is damaged or forged")]
    Count {
        /// Of what.
        what: String,
        /// The most that was possible.
        limit: u64,
        /// The count in the file.
        found: u64,
    },
    /// A string that is not UTF-8.
    #[error("{what}: expected UTF-8, found an invalid sequence at byte {at} of {len}")]
    Utf8 {
        /// Which string.
        what: String,
        /// The first invalid byte.
        at: usize,
        /// The string's length in bytes.
        len: usize,
    },
    /// A key that is empty or too long.
    #[error("metadata key {index}: expected a name of 1 to {limit} bytes, found {found}")]
    KeyName {
        /// The key's position in the file.
        index: usize,
        /// The longest name.
        limit: usize,
        /// This name's length.
        found: u64,
    },
    /// The same key twice.
    #[error("metadata key '{key}': expected once, found twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A kind of value that GGUF does not define.
    #[error("metadata key '{key}': expected a value kind of 0 to 12, found {found}")]
    ValueKind {
        /// The key.
        key: String,
        /// The kind's id.
        found: u32,
    },
    /// An array of arrays.
    #[error("metadata key '{key}': expected an array of scalars or strings, found an array of arrays")]
    NestedArray {
        /// The key.
        key: String,
    },
    /// A bool that is neither 0 nor 1.
    #[error("metadata key '{key}': expected a bool of 0 or 1, found {found}")]
    Bool {
        /// The key.
        key: String,
        /// The byte.
        found: u8,
    },
    /// A metadata key is missing or of the wrong kind or out of range.
    #[error("metadata key '{key}': expected {expected}, found {found}")]
    Key {
        /// The key.
        key: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A tensor name that is empty or too long for ggml.
    #[error("tensor {index}: expected a name of 1 to {limit} bytes, found {found}")]
    TensorName {
        /// The tensor's position in the file.
        index: usize,
        /// The longest name.
        limit: usize,
        /// This name's length.
        found: u64,
    },
    /// The same tensor name twice.
    #[error("tensor '{tensor}': expected once, found twice")]
    DuplicateTensor {
        /// Its name.
        tensor: String,
    },
    /// No dimensions, or too many.
    #[error("tensor '{tensor}': expected 1 to 4 dimensions, found {found}")]
    DimensionCount {
        /// Its name.
        tensor: String,
        /// How many.
        found: u64,
    },
    /// A dimension of zero.
    #[error("tensor '{tensor}': expected dimensions of at least 1, found shape {shape:?}")]
    ZeroDimension {
        /// Its name.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// More elements or bytes than can be addressed.
    #[error("tensor '{tensor}': expected a size that can be addressed, found shape {shape:?}")]
    TooLarge {
        /// Its name.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// A storage type that brooklet does not run.
    #[error("tensor '{tensor}': brooklet does not run {found}; types that run: {}", types_that_run())]
    TensorType {
        /// Its name.
        tensor: String,
        /// ggml's name of the type, or its id.
        found: String,
    },
    /// A row that is no whole number of blocks.
    #[error(
        "tensor '{tensor}': expected a row length that is a multiple of {} for {ty}, found {found}",
        ty.block_len()
    )]
    RowLength {
        /// Its name.
        tensor: String,
        /// Its type.
        ty: TensorType,
        /// Elements a row.
        found: u64,
    },
    /// An offset that breaks the file's alignment.
    #[error("tensor '{tensor}': expected an offset that is a multiple of {alignment}, found {found}")]
    Misaligned {
        /// Its name.
        tensor: String,
        /// The file's alignment.
        alignment: usize,
        /// Offset in the data section.
        found: u64,
    },
    /// Data beyond the end of the file.
    #[error(
        "tensor '{tensor}': expected {len} bytes of data at offset {offset}, but the file ends at {file_len}; it may be an incomplete download"
    )]
    OutOfBounds {
        /// Its name.
        tensor: String,
        /// Bytes of data.
        len: usize,
        /// Offset in the file, if that can be computed at all.
        offset: u64,
        /// Bytes in the file.
        file_len: usize,
    },
    /// Two tensors share bytes.
    #[error("tensor '{second}': expected its data after that of '{first}', found that they overlap")]
    Overlap {
        /// The one that starts first.
        first: String,
        /// The other.
        second: String,
    },
    /// A writer was finished before all data came.
    #[error("tensor '{tensor}': expected {expected} bytes to be written, found {found}")]
    Incomplete {
        /// The first tensor that lacks data.
        tensor: String,
        /// Its size in bytes.
        expected: usize,
        /// What was written of it.
        found: usize,
    },
}

fn types_that_run() -> String {
    TensorType::ALL.map(TensorType::name).join(", ")
}

/// A name from a file as it may be printed: no control characters, not endless.
pub(super) fn printable(name: &str) -> String {
    const LONGEST: usize = 80;
    let mut out: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if name.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}
