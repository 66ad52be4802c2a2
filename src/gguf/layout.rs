//! What reader and writer share: the format's constants and the rules a tensor's shape obeys.

use super::error::{GgufError, printable};
use brooklet_kernels::TensorType;

pub(super) const MAGIC: [u8; 4] = *b"GGUF";
pub(super) const ALIGNMENT_KEY: &str = "general.alignment";
pub(super) const DEFAULT_ALIGNMENT: usize = 32;
pub(super) const MAX_DIMS: usize = 4;
/// The format's limit.
pub(super) const MAX_KEY_LEN: usize = 65_535;
/// ggml's `GGML_MAX_NAME` less the NUL.
pub(super) const MAX_TENSOR_NAME_LEN: usize = 63;
/// Far above any model (LFM2 1.2B: about 40 keys, 150 tensors); bounds the index whatever a file claims.
pub(super) const MAX_KEYS: u64 = 65_536;
pub(super) const MAX_TENSORS: u64 = 65_536;

/// Checks a value of `general.alignment`. The upper bound keeps padding within reason.
pub(super) fn check_alignment(value: Option<super::Value<'_>>) -> Result<usize, GgufError> {
    let Some(value) = value else { return Ok(DEFAULT_ALIGNMENT) };
    match value.as_usize() {
        Some(n) if n.is_power_of_two() && (8..=1 << 20).contains(&n) => Ok(n),
        _ => Err(GgufError::Key {
            key: ALIGNMENT_KEY.into(),
            expected: "a power of two from 8 to 1048576".into(),
            found: value.to_string(),
        }),
    }
}

/// The size in bytes of a tensor of this shape.
pub(super) fn tensor_len(name: &str, ty: TensorType, shape: &[u64]) -> Result<usize, GgufError> {
    let tensor = || printable(name);
    if shape.is_empty() || shape.len() > MAX_DIMS {
        return Err(GgufError::DimensionCount { tensor: tensor(), found: shape.len() as u64 });
    }
    if shape.contains(&0) {
        return Err(GgufError::ZeroDimension { tensor: tensor(), shape: shape.to_vec() });
    }
    if !shape[0].is_multiple_of(ty.block_len() as u64) {
        return Err(GgufError::RowLength { tensor: tensor(), ty, found: shape[0] });
    }
    shape
        .iter()
        .try_fold(1u64, |n, &dim| n.checked_mul(dim))
        // ggml counts in i64.
        .filter(|&n| i64::try_from(n).is_ok())
        .and_then(|n| ty.bytes_for(usize::try_from(n).ok()?))
        .filter(|&len| isize::try_from(len).is_ok())
        .ok_or_else(|| GgufError::TooLarge { tensor: tensor(), shape: shape.to_vec() })
}

/// ggml's types that brooklet does not run, those with removed support too, so that a message can name them.
#[rustfmt::skip]
const OTHER_TYPES: [(u32, &str); 29] = [
    (4, "Q4_2"), (5, "Q4_3"), (9, "Q8_1"), (15, "Q8_K"),
    (16, "IQ2_XXS"), (17, "IQ2_XS"), (18, "IQ3_XXS"), (19, "IQ1_S"), (21, "IQ3_S"), (22, "IQ2_S"), (23, "IQ4_XS"),
    (24, "I8"), (25, "I16"), (26, "I32"), (27, "I64"), (28, "F64"), (29, "IQ1_M"),
    (31, "Q4_0_4_4"), (32, "Q4_0_4_8"), (33, "Q4_0_8_8"), (34, "TQ1_0"), (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"), (37, "IQ4_NL_4_8"), (38, "IQ4_NL_8_8"), (39, "MXFP4"), (40, "NVFP4"), (41, "Q1_0"), (42, "Q2_0"),
];

/// The type with this id, or the error that names it.
pub(super) fn tensor_type(name: &str, id: u32) -> Result<TensorType, GgufError> {
    TensorType::from_id(id).ok_or_else(|| GgufError::TensorType {
        tensor: printable(name),
        found: match OTHER_TYPES.iter().find(|row| row.0 == id) {
            Some((_, known)) => format!("{known} (type {id})"),
            None => format!("the unknown type {id}"),
        },
    })
}
