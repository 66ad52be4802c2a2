//! Attention in vectors of 512 bits; what is not here is that of the AVX2 set.

use std::arch::x86_64::*;

use super::attention::{self, AHEAD};
use super::avx512::{exp_parts, load_f32, mask_of, store_f32};
use super::{READER, Reader};
use crate::attention::{AttentionKernels, Rows, RowsMut};
use crate::format::TensorType;
use crate::kv::PANEL;

pub(super) const KERNELS: AttentionKernels = AttentionKernels {
    // SAFETY: here and below, `avx512vnni::detect` hands this set out only where the features are there.
    multiply: |ty, b, n, a, out| unsafe { multiply(ty, b, n, a, out) },
    // SAFETY: as above.
    softmax: |scores, max, sum| unsafe { softmax(scores, max, sum) },
    ..attention::KERNELS
};

/// Vectors of a panel's row.
const VECTORS: usize = PANEL / 16;

#[target_feature(enable = "avx512f")]
fn multiply(ty: TensorType, b: &[u8], n: usize, a: Rows<'_>, out: RowsMut<'_>) {
    match ty {
        TensorType::F32 => multiply_rows(b, n, a, out, |x| load_f32_bytes(x)),
        TensorType::F16 => multiply_rows(b, n, a, out, |x| load_f16(x)),
        _ => panic!("panels of {ty} are decoded before they are multiplied"),
    }
}

/// Eight rows at a time, as a broadcast is read for two vectors, which leaves time to read the panel; of what is left the largest
/// power of two.
#[inline]
#[target_feature(enable = "avx512f")]
fn multiply_rows<const N: usize>(
    b: &[u8],
    n: usize,
    a: Rows<'_>,
    out: RowsMut<'_>,
    load: impl Fn(&[[u8; N]; 16]) -> __m512 + Copy,
) {
    let b = b.as_chunks::<N>().0.as_chunks::<16>().0.as_chunks::<VECTORS>().0;
    let mut r = 0;
    while r < n {
        let a = Rows { data: &a.data[r * a.stride..], ..a };
        let out = RowsMut { data: &mut out.data[r * out.stride..], ..out };
        r += match n - r {
            1 => multiply_tile::<1, N>(b, a, out, load),
            2 | 3 => multiply_tile::<2, N>(b, a, out, load),
            4..8 => multiply_tile::<4, N>(b, a, out, load),
            _ => multiply_tile::<8, N>(b, a, out, load),
        };
    }
}

/// Returns `ROWS`.
#[inline]
#[target_feature(enable = "avx512f")]
fn multiply_tile<const ROWS: usize, const N: usize>(
    b: &[[[[u8; N]; 16]; VECTORS]],
    a: Rows<'_>,
    out: RowsMut<'_>,
    load: impl Fn(&[[u8; N]; 16]) -> __m512,
) -> usize {
    let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
    for r in 0..ROWS {
        rows[r] = &a.data[r * a.stride..][..b.len()];
        let out = out.data[r * out.stride..][..PANEL].as_chunks::<16>().0;
        for c in 0..VECTORS {
            sums[r][c] = load_f32(&out[c]);
        }
    }
    let ahead = AHEAD[usize::from(*READER != Reader::Intel)];
    for (i, b) in b.iter().enumerate() {
        // What is decoded into scratch is in the nearest cache.
        if N == 2 {
            _mm_prefetch(b.as_ptr().cast::<i8>().wrapping_add(ahead), _MM_HINT_T0);
        }
        let mut columns = [_mm512_setzero_ps(); VECTORS];
        for c in 0..VECTORS {
            columns[c] = load(&b[c]);
        }
        for r in 0..ROWS {
            let x = _mm512_set1_ps(rows[r][i]);
            for c in 0..VECTORS {
                sums[r][c] = _mm512_fmadd_ps(x, columns[c], sums[r][c]);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        let out = out.data[r * out.stride..][..PANEL].as_chunks_mut::<16>().0;
        for (out, sum) in out.iter_mut().zip(sums) {
            store_f32(out, sum);
        }
    }
    ROWS
}

#[target_feature(enable = "avx512f")]
fn softmax(scores: &mut [f32], max: &mut f32, sum: &mut f32) -> f32 {
    let (scores, rest) = scores.as_chunks_mut::<16>();
    let there = mask_of(rest.len());
    // SAFETY: a load of as many floats as there are.
    let last = unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(f32::NEG_INFINITY), there, rest.as_ptr()) };
    // The order of operands leaves NaN out.
    let mut largest = _mm512_max_ps(last, _mm512_set1_ps(*max));
    for x in scores.iter() {
        largest = _mm512_max_ps(load_f32(x), largest);
    }
    let new_max = _mm512_reduce_max_ps(largest);
    let largest = _mm512_set1_ps(new_max);

    let mut added = _mm512_setzero_ps();
    for x in scores {
        let e = exp_negative(_mm512_sub_ps(load_f32(x), largest));
        store_f32(x, e);
        added = _mm512_add_ps(added, e);
    }
    if !rest.is_empty() {
        let e = exp_negative(_mm512_sub_ps(last, largest));
        // SAFETY: a store of as many floats as there are.
        unsafe { _mm512_mask_storeu_ps(rest.as_mut_ptr(), there, e) };
        added = _mm512_mask_add_ps(added, there, added, e);
    }
    let mut shrink = 1.0;
    if new_max > *max {
        shrink = _mm512_cvtss_f32(exp_negative(_mm512_set1_ps(*max - new_max)));
        *max = new_max;
    }
    *sum = *sum * shrink + _mm512_reduce_add_ps(added);
    shrink
}

/// eˣ for x ≤ 0 to within 2e-7 of itself; what is below e⁻⁸⁷, the smallest normal number, becomes that. NaN stays.
#[inline]
#[target_feature(enable = "avx512f")]
fn exp_negative(x: __m512) -> __m512 {
    // The order of operands lets NaN through.
    let (e, n) = exp_parts(_mm512_max_ps(_mm512_set1_ps(-87.0), x));
    _mm512_scalef_ps(e, n)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_f32_bytes(x: &[[u8; 4]; 16]) -> __m512 {
    // SAFETY: an unaligned load of 64 bytes.
    unsafe { _mm512_loadu_ps(x.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_f16(x: &[[u8; 2]; 16]) -> __m512 {
    // SAFETY: an unaligned load of 32 bytes.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(x.as_ptr().cast()) })
}
