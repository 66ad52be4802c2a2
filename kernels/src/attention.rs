//! The kernels of attention, over the panels of [`crate::KvLayout`].

use crate::format::TensorType;

/// Rows of floats, `stride` elements from one to the next.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// The first row's start, up to the last row's end or further.
    pub data: &'a [f32],
    /// Elements from one row's start to the next one's.
    pub stride: usize,
}

/// As [`Rows`], to write to.
pub struct RowsMut<'a> {
    /// The first row's start, up to the last row's end or further.
    pub data: &'a mut [f32],
    /// Elements from one row's start to the next one's.
    pub stride: usize,
}

/// One instruction set's kernels for attention.
pub struct AttentionKernels {
    /// `out[r][j] += Σ_i a[r][i] · b[i][j]` for `n` rows r and the 32 columns j of a panel `b` of F32 or F16, any
    /// number of rows of it. The sum is taken in the order of i, whatever `n` is, so that a row's result does not
    /// depend on the rows beside it.
    pub multiply: fn(ty: TensorType, b: &[u8], n: usize, a: Rows<'_>, out: RowsMut<'_>),
    /// Rows of a key panel of F16 or Q8_0 (whole 32 of them) as floats; exact.
    pub decode_keys: fn(ty: TensorType, panel: &[u8], out: &mut [f32]),
    /// Rows of a value panel of F16 or Q8_0 as floats; exact.
    pub decode_values: fn(ty: TensorType, panel: &[u8], out: &mut [f32]),
    /// One step of an online softmax: raises `max` to the largest score, makes every score e^(score - max) and adds
    /// them to `sum`. Returns what everything that was computed with the old maximum is to be multiplied by, `sum`
    /// excepted: that is done.
    pub softmax: fn(scores: &mut [f32], max: &mut f32, sum: &mut f32) -> f32,
    /// RMS norm of one head (`x · rsqrt(mean(x²) + eps) · w`), turned as RoPE does, times `scale`: dimension i of
    /// the first `2 · cos.len()` with dimension i + `cos.len()`, by an angle of which `cos` and `sin` are given.
    pub norm_rotate: NormRotate,
}

/// The type of [`AttentionKernels::norm_rotate`].
pub type NormRotate = fn(head: &mut [f32], w: &[f32], eps: f32, cos: &[f32], sin: &[f32], scale: f32);
