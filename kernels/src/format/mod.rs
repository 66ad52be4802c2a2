//! The tensor types of a GGUF file that brooklet reads, writes and multiplies from.
//!
//! Names, ids and layouts are ggml's (`ggml-common.h`); all multi-byte fields are little-endian.

pub(crate) mod block;
pub(crate) mod float;
pub(crate) mod iq4_nl;
pub(crate) mod q2_k;
pub(crate) mod q3_k;
pub(crate) mod q4_0;
mod q4_0_grid;
pub(crate) mod q4_1;
pub(crate) mod q4_k;
pub(crate) mod q5_0;
pub(crate) mod q5_1;
pub(crate) mod q5_k;
pub(crate) mod q6_k;
pub(crate) mod q8_0;
pub(crate) mod search;

use crate::isa::VecDot;

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
        self.format().name
    }

    /// Elements a block.
    pub fn block_len(self) -> usize {
        self.format().block_len
    }

    /// Bytes a block.
    pub fn block_bytes(self) -> usize {
        self.format().block_bytes
    }

    /// Whether weights of this type multiply against quantized activations.
    pub fn is_quantized(self) -> bool {
        self.block_len() > 1
    }

    /// Bytes of `n` elements, or `None` where `n` is no multiple of the block or the size overflows.
    pub fn bytes_for(self, n: usize) -> Option<usize> {
        n.is_multiple_of(self.block_len()).then(|| (n / self.block_len()).checked_mul(self.block_bytes()))?
    }

    /// The type's row of the table.
    fn format(self) -> &'static Format {
        match self {
            F32 => &float::F32,
            F16 => &float::F16,
            BF16 => &float::BF16,
            Q4_0 => &q4_0::FORMAT,
            Q4_1 => &q4_1::FORMAT,
            Q5_0 => &q5_0::FORMAT,
            Q5_1 => &q5_1::FORMAT,
            Q8_0 => &q8_0::FORMAT,
            Q2_K => &q2_k::FORMAT,
            Q3_K => &q3_k::FORMAT,
            Q4_K => &q4_k::FORMAT,
            Q5_K => &q5_k::FORMAT,
            Q6_K => &q6_k::FORMAT,
            IQ4_NL => &iq4_nl::FORMAT,
        }
    }
}

/// What a type's file says of it.
struct Format {
    name: &'static str,
    block_len: usize,
    block_bytes: usize,
    decode: fn(&[u8], &mut [f32]),
    encode: fn(&[f32], &mut [u8]),
    /// Of a quantized type.
    quantizer: Option<Quantizer>,
    /// The scalar dot product.
    vec_dot: VecDot,
}

/// What a quantized type has besides.
struct Quantizer {
    encode_weighted: fn(&[f32], &[f32], &mut [u8]),
    grid: fn(&[u8], &mut [f32], &mut [f32]),
    nearest: fn(f32) -> i8,
    put_integers: fn(&[i8], &mut [u8]),
}

/// That of `ty`.
///
/// # Panics
/// If the type is not quantized.
fn quantizer(ty: TensorType) -> &'static Quantizer {
    ty.format().quantizer.as_ref().unwrap_or_else(|| panic!("{ty} has no scales"))
}

/// The scalar dot product of `ty`, the specification of every other.
pub(crate) fn vec_dot(ty: TensorType) -> VecDot {
    ty.format().vec_dot
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
    assert_eq!(ty.bytes_for(out.len()), Some(data.len()), "bytes of {} elements of {ty}", out.len());
    (ty.format().decode)(data, out);
}

/// Encodes `x` as type `ty` into `out`.
///
/// Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 come out byte for byte as from ggml's reference quantizer (of Q4_0, blocks that
/// are on its grid already come back instead), F16 and BF16 rounded to nearest even. The other types search for scales of small squared error. A block with a value
/// that is not finite decodes to something arbitrary.
///
/// # Panics
/// If `out` is not exactly the bytes of `x.len()` elements.
pub fn encode(ty: TensorType, x: &[f32], out: &mut [u8]) {
    assert_eq!(ty.bytes_for(x.len()), Some(out.len()), "bytes of {} elements of {ty}", x.len());
    (ty.format().encode)(x, out);
}

/// As [`encode`], for a least sum of squared errors times `weights`, one an element. Only the ratios of a block's weights
/// count; what is negative or not finite counts as 0, and an element without weight still counts a little. Takes six
/// times as long and more. Q8_0 and the floats come out as from [`encode`].
///
/// # Panics
/// If `out` is not exactly the bytes of `x.len()` elements, or there are not as many weights.
pub fn encode_weighted(ty: TensorType, x: &[f32], weights: &[f32], out: &mut [u8]) {
    assert_eq!(ty.bytes_for(x.len()), Some(out.len()), "bytes of {} elements of {ty}", x.len());
    assert_eq!(weights.len(), x.len(), "weights of {} elements", x.len());
    match &ty.format().quantizer {
        Some(quantizer) => (quantizer.encode_weighted)(x, weights, out),
        None => (ty.format().encode)(x, out),
    }
}

/// The values that elements of a quantized type may take, its scales being as in `data`: `scale · q − min` with the
/// integers `q` of [`nearest`], a scale and a minimum an element.
///
/// # Panics
/// If `data` is not exactly the bytes of `scale.len()` elements of a quantized type, or there are not as many minima.
pub fn grid(ty: TensorType, data: &[u8], scale: &mut [f32], min: &mut [f32]) {
    assert_eq!(ty.bytes_for(scale.len()), Some(data.len()), "bytes of {} elements of {ty}", scale.len());
    assert_eq!(min.len(), scale.len(), "minima of {} elements", scale.len());
    (quantizer(ty).grid)(data, scale, min);
}

/// The integer that an element of a quantized type may have which is nearest to `v`; 0 or the nearest to 0 for NaN.
///
/// # Panics
/// If the type is not quantized.
pub fn nearest(ty: TensorType, v: f32) -> i8 {
    (quantizer(ty).nearest)(v)
}

/// Replaces the integers in `data` by `q`, such as [`nearest`] gives; scales and minima stay.
///
/// # Panics
/// If `data` is not exactly the bytes of `q.len()` elements of a quantized type.
pub fn put_integers(ty: TensorType, q: &[i8], data: &mut [u8]) {
    assert_eq!(ty.bytes_for(q.len()), Some(data.len()), "bytes of {} elements of {ty}", q.len());
    (quantizer(ty).put_integers)(q, data);
}
