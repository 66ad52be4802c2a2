//! The tensor types of a GGUF file that brooklet reads, writes and multiplies from.
//!
//! Names, ids and layouts are ggml's (`ggml-common.h`); all multi-byte fields are little-endian.

/// A tensor's storage type.
#[allow(non_camel_case_types, missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum TensorType {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q5_0 = 6,
    Q5_1 = 7,
    Q8_0 = 8,
    Q2_K = 10,
    Q3_K = 11,
    Q4_K = 12,
    Q5_K = 13,
    Q6_K = 14,
    IQ4_NL = 20,
    BF16 = 30,
}

use TensorType::*;

impl TensorType {
    /// Every type, in the order of their ids.
    pub const ALL: [TensorType; 14] =
        [F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, BF16];

    /// The type with this id in a GGUF file.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as u32 == id)
    }

    /// The id in a GGUF file.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// ggml's name, in capitals: `Q4_0`, `F16`.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Elements a block.
    pub fn block_len(self) -> usize {
        self.row().1
    }

    /// Bytes a block.
    pub fn block_bytes(self) -> usize {
        self.row().2
    }

    /// Whether weights of this type multiply against quantized activations.
    pub fn is_quantized(self) -> bool {
        self.block_len() > 1
    }

    /// Bytes of `n` elements, or `None` where `n` is no multiple of the block or the size overflows.
    pub fn bytes_for(self, n: usize) -> Option<usize> {
        n.is_multiple_of(self.block_len()).then(|| (n / self.block_len()).checked_mul(self.block_bytes()))?
    }

    /// Name, elements a block, bytes a block.
    fn row(self) -> (&'static str, usize, usize) {
        match self {
            F32 => ("F32", 1, 4),
            F16 => ("F16", 1, 2),
            BF16 => ("BF16", 1, 2),
            Q4_0 => ("Q4_0", 32, 18),
            Q4_1 => ("Q4_1", 32, 20),
            Q5_0 => ("Q5_0", 32, 22),
            Q5_1 => ("Q5_1", 32, 24),
            Q8_0 => ("Q8_0", 32, 34),
            Q2_K => ("Q2_K", 256, 84),
            Q3_K => ("Q3_K", 256, 110),
            Q4_K => ("Q4_K", 256, 144),
            Q5_K => ("Q5_K", 256, 176),
            Q6_K => ("Q6_K", 256, 210),
            IQ4_NL => ("IQ4_NL", 32, 18),
        }
    }
}

impl std::fmt::Display for TensorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Decodes `out.len()` elements of type `ty` from `data`.
///
/// # Panics
/// If `data` is not exactly the bytes of `out.len()` elements.
pub fn decode(ty: TensorType, data: &[u8], out: &mut [f32]) {
    assert_eq!(ty.bytes_for(out.len()), Some(data.len()));
    todo!()
}

/// Encodes `x` as type `ty` into `out`, rounding as ggml's reference quantizer does where it defines one.
///
/// # Panics
/// If `out` is not exactly the bytes of `x.len()` elements.
pub fn encode(ty: TensorType, x: &[f32], out: &mut [u8]) {
    assert_eq!(ty.bytes_for(x.len()), Some(out.len()));
    todo!()
}
