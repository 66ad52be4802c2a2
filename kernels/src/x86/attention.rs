//! Attention with AVX2, FMA and F16C.

use std::arch::x86_64::*;

use super::avx2::{exp_parts, load_f16, load_f32, load_f32_bytes, pad, rms_scale, store_f32};
use super::bits::hsum;
use super::{READER, Reader};
use crate::attention::{AttentionKernels, Rows, RowsMut};
use crate::format::TensorType;
use crate::kv::{PANEL, Q8_KEYS, Q8_VALUES};

pub(super) const KERNELS: AttentionKernels = AttentionKernels {
    // SAFETY: here and below, `avx2::detect` hands this set out only where the features are there.
    multiply: |ty, b, n, a, out| unsafe { multiply(ty, b, n, a, out) },
    // SAFETY: as above.
    decode_keys: |ty, panel, out| unsafe { decode_keys(ty, panel, out) },
    // SAFETY: as above.
    decode_values: |ty, panel, out| unsafe { decode_values(ty, panel, out) },
    // SAFETY: as above.
    softmax: |scores, max, sum| unsafe { softmax(scores, max, sum) },
    // SAFETY: as above.
    norm_rotate: |head, w, eps, cos, sin, scale| unsafe { norm_rotate(head, w, eps, cos, sin, scale) },
};

/// How far ahead of the multiplications panels of F16 are fetched, in bytes, on Intel's processors and on others. Panels lie
/// one behind the other, but the processor's own prefetching stops at the end of a page. A Xeon with AMX generates a seventh
/// faster at 8,192 tokens with 2,048 than with 16,384 or none, a Zen 4 as fast with 16,384 as without.
pub(super) const AHEAD: [usize; 2] = [2048, 16384];

/// Vectors of a panel's row.
const VECTORS: usize = PANEL / 8;

#[target_feature(enable = "avx2,fma,f16c")]
fn multiply(ty: TensorType, b: &[u8], n: usize, a: Rows<'_>, out: RowsMut<'_>) {
    match ty {
        TensorType::F32 => multiply_rows(b, n, a, out, |x| load_f32_bytes(x)),
        TensorType::F16 => multiply_rows(b, n, a, out, |x| load_f16(x)),
        _ => panic!("panels of {ty} are decoded before they are multiplied"),
    }
}

/// Three rows at a time: twelve vectors of sums, three of broadcasts and one of the panel fill the registers.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_rows<const N: usize>(
    b: &[u8],
    n: usize,
    a: Rows<'_>,
    out: RowsMut<'_>,
    load: impl Fn(&[[u8; N]; 8]) -> __m256 + Copy,
) {
    let b = b.as_chunks::<N>().0.as_chunks::<8>().0.as_chunks::<VECTORS>().0;
    let mut r = 0;
    while r < n {
        let a = Rows { data: &a.data[r * a.stride..], ..a };
        let out = RowsMut { data: &mut out.data[r * out.stride..], ..out };
        r += match n - r {
            1 => multiply_tile::<1, N>(b, a, out, load),
            2 | 4 => multiply_tile::<2, N>(b, a, out, load),
            _ => multiply_tile::<3, N>(b, a, out, load),
        };
    }
}

/// Returns `ROWS`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_tile<const ROWS: usize, const N: usize>(
    b: &[[[[u8; N]; 8]; VECTORS]],
    a: Rows<'_>,
    out: RowsMut<'_>,
    load: impl Fn(&[[u8; N]; 8]) -> __m256,
) -> usize {
    let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
    let mut sums = [[_mm256_setzero_ps(); VECTORS]; ROWS];
    for r in 0..ROWS {
        rows[r] = &a.data[r * a.stride..][..b.len()];
        let out = out.data[r * out.stride..][..PANEL].as_chunks::<8>().0;
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
        let mut x = [_mm256_setzero_ps(); ROWS];
        for r in 0..ROWS {
            x[r] = _mm256_set1_ps(rows[r][i]);
        }
        for c in 0..VECTORS {
            let b = load(&b[c]);
            for r in 0..ROWS {
                sums[r][c] = _mm256_fmadd_ps(x[r], b, sums[r][c]);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        let out = out.data[r * out.stride..][..PANEL].as_chunks_mut::<8>().0;
        for (out, sum) in out.iter_mut().zip(sums) {
            store_f32(out, sum);
        }
    }
    ROWS
}

#[target_feature(enable = "avx2,fma,f16c")]
fn decode_keys(ty: TensorType, panel: &[u8], out: &mut [f32]) {
    match ty {
        TensorType::F16 => decode_f16(panel, out),
        TensorType::Q8_0 => {
            for (group, out) in panel.as_chunks::<Q8_KEYS>().0.iter().zip(out.chunks_exact_mut(PANEL * PANEL))
            {
                let (scales, rows) = group.split_at(2 * PANEL);
                let mut d = [_mm256_setzero_ps(); VECTORS];
                for (d, scales) in d.iter_mut().zip(scales.as_chunks::<2>().0.as_chunks::<8>().0) {
                    *d = load_f16(scales);
                }
                let rows = rows.as_chunks::<8>().0.as_chunks::<VECTORS>().0;
                for (q, out) in rows.iter().zip(out.as_chunks_mut::<8>().0.as_chunks_mut::<VECTORS>().0) {
                    for c in 0..VECTORS {
                        store_f32(&mut out[c], _mm256_mul_ps(load_i8(&q[c]), d[c]));
                    }
                }
            }
        }
        _ => panic!("panels of {ty} are multiplied from as they are"),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn decode_values(ty: TensorType, panel: &[u8], out: &mut [f32]) {
    match ty {
        TensorType::F16 => decode_f16(panel, out),
        TensorType::Q8_0 => {
            let out = out.as_chunks_mut::<8>().0.as_chunks_mut::<VECTORS>().0;
            for (block, out) in panel.as_chunks::<Q8_VALUES>().0.iter().zip(out) {
                let d = _mm256_cvtph_ps(_mm_set1_epi16(i16::from_le_bytes([block[0], block[1]])));
                for (q, out) in block[2..].as_chunks::<8>().0.iter().zip(out) {
                    store_f32(out, _mm256_mul_ps(load_i8(q), d));
                }
            }
        }
        _ => panic!("panels of {ty} are multiplied from as they are"),
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn decode_f16(panel: &[u8], out: &mut [f32]) {
    for (x, out) in panel.as_chunks::<2>().0.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<8>().0) {
        store_f32(out, load_f16(x));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_i8(q: &[u8; 8]) -> __m256 {
    // SAFETY: an unaligned load of 8 bytes.
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(unsafe { _mm_loadl_epi64(q.as_ptr().cast()) }))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn softmax(scores: &mut [f32], max: &mut f32, sum: &mut f32) -> f32 {
    let (scores, rest) = scores.as_chunks_mut::<8>();
    let mut padded = pad(rest, f32::NEG_INFINITY);
    let mut max8 = _mm256_max_ps(load_f32(&padded), _mm256_set1_ps(*max));
    for x in scores.iter() {
        max8 = _mm256_max_ps(load_f32(x), max8);
    }
    let max8 = _mm256_max_ps(max8, _mm256_permute2f128_ps(max8, max8, 1));
    let max8 = _mm256_max_ps(max8, _mm256_permute_ps(max8, 0b01_00_11_10));
    let max8 = _mm256_max_ps(max8, _mm256_permute_ps(max8, 0b10_11_00_01));
    let new_max = _mm256_cvtss_f32(max8);

    let mut added = _mm256_setzero_ps();
    for x in scores {
        let e = exp_negative(_mm256_sub_ps(load_f32(x), max8));
        store_f32(x, e);
        added = _mm256_add_ps(added, e);
    }
    if !rest.is_empty() {
        let e = exp_negative(_mm256_sub_ps(load_f32(&padded), max8));
        store_f32(&mut padded, e);
        rest.copy_from_slice(&padded[..rest.len()]);
        added = _mm256_add_ps(added, load_f32(&pad(rest, 0.0)));
    }
    let mut shrink = 1.0;
    if new_max > *max {
        shrink = _mm256_cvtss_f32(exp_negative(_mm256_set1_ps(*max - new_max)));
        *max = new_max;
    }
    *sum = *sum * shrink + hsum(added);
    shrink
}

/// eˣ for x ≤ 0 to within 2e-7 of itself; what is below e⁻⁸⁷, the smallest normal number, becomes that. NaN stays.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn exp_negative(x: __m256) -> __m256 {
    // The order of operands lets NaN through.
    let (e, n) = exp_parts(_mm256_max_ps(_mm256_set1_ps(-87.0), x));
    // Adding n to the exponent multiplies by 2ⁿ: the result is normal.
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(e), _mm256_slli_epi32(n, 23)))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn norm_rotate(head: &mut [f32], w: &[f32], eps: f32, cos: &[f32], sin: &[f32], scale: f32) {
    assert!(head.len() == w.len() && cos.len() == sin.len());
    let norm = rms_scale(head, eps) * scale;
    let (eights, rest) = head.as_chunks_mut::<8>();
    let (w8, w_rest) = w.as_chunks::<8>();
    for (x, w) in eights.iter_mut().zip(w8) {
        store_f32(x, _mm256_mul_ps(_mm256_mul_ps(load_f32(x), _mm256_set1_ps(norm)), load_f32(w)));
    }
    for (x, w) in rest.iter_mut().zip(w_rest) {
        *x = *x * norm * w;
    }

    let (low, high) = head[..2 * cos.len()].split_at_mut(cos.len());
    let (low, low_rest) = low.as_chunks_mut::<8>();
    let (high, high_rest) = high.as_chunks_mut::<8>();
    let (cos, cos_rest) = cos.as_chunks::<8>();
    let (sin, sin_rest) = sin.as_chunks::<8>();
    for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
        let (a, b, cos, sin) = (load_f32(low), load_f32(high), load_f32(cos), load_f32(sin));
        store_f32(low, _mm256_fmsub_ps(a, cos, _mm256_mul_ps(b, sin)));
        store_f32(high, _mm256_fmadd_ps(b, cos, _mm256_mul_ps(a, sin)));
    }
    for (((a, b), cos), sin) in low_rest.iter_mut().zip(high_rest).zip(cos_rest).zip(sin_rest) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}
