//! Attention with NEON.

use std::arch::aarch64::*;

use super::float::{exp_parts, load_8, load_f16, load_f32, load_f32_bytes, rms_scale, store_8, store_f32};
use super::prefetch;
use crate::attention::{AttentionKernels, Rows, RowsMut};
use crate::format::TensorType;
use crate::kv::{PANEL, Q8_KEYS, Q8_VALUES};
use crate::portable::pad;

pub(super) const KERNELS: AttentionKernels = AttentionKernels {
    // SAFETY: here and below, NEON is part of every AArch64.
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

/// How far ahead of the multiplications a panel of F16 is fetched, in bytes. Panels lie one behind the other, but the
/// processor's own prefetching stops at the end of a page; this is a block of 64 positions of 64 dimensions ahead.
const AHEAD: usize = 16384;

/// Vectors of a panel's row.
const VECTORS: usize = PANEL / 4;
/// Vectors of half a row.
const HALF: usize = VECTORS / 2;

#[target_feature(enable = "neon")]
fn multiply(ty: TensorType, b: &[u8], n: usize, a: Rows<'_>, out: RowsMut<'_>) {
    match ty {
        TensorType::F32 => multiply_rows(b, n, a, out, |x| load_f32_bytes(x)),
        TensorType::F16 => multiply_rows(b, n, a, out, |x| load_f16(x)),
        _ => panic!("panels of {ty} are decoded before they are multiplied"),
    }
}

/// Up to three rows at a time by all of a panel's columns, or more by one half of them and then the other: 24 vectors
/// of sums, six of `a` and two of the panel fill the registers. F16 takes one more register to decode, so six rows of
/// that would not fit.
#[inline]
#[target_feature(enable = "neon")]
fn multiply_rows<const N: usize>(
    b: &[u8],
    n: usize,
    a: Rows<'_>,
    out: RowsMut<'_>,
    load: impl Fn(&[[u8; N]; 4]) -> float32x4_t + Copy,
) {
    let b = b.as_chunks::<N>().0.as_chunks::<4>().0.as_chunks::<VECTORS>().0;
    let mut r = 0;
    while r < n {
        let a = Rows { data: &a.data[r * a.stride..], ..a };
        let out = &mut RowsMut { data: &mut out.data[r * out.stride..], ..out };
        r += match n - r {
            1 => multiply_tile::<1, 0, VECTORS, N>(b, a, out, load),
            2 => multiply_tile::<2, 0, VECTORS, N>(b, a, out, load),
            4 => {
                multiply_tile::<4, 0, HALF, N>(b, a, out, load);
                multiply_tile::<4, HALF, HALF, N>(b, a, out, load)
            }
            6.. if N == 4 => {
                multiply_tile::<6, 0, HALF, N>(b, a, out, load);
                multiply_tile::<6, HALF, HALF, N>(b, a, out, load)
            }
            _ => multiply_tile::<3, 0, VECTORS, N>(b, a, out, load),
        };
    }
}

/// `ROWS` rows by `COLUMNS` vectors of each row of the panel, from `FIRST` on. Returns `ROWS`.
#[inline]
#[target_feature(enable = "neon")]
fn multiply_tile<const ROWS: usize, const FIRST: usize, const COLUMNS: usize, const N: usize>(
    b: &[[[[u8; N]; 4]; VECTORS]],
    a: Rows<'_>,
    out: &mut RowsMut<'_>,
    load: impl Fn(&[[u8; N]; 4]) -> float32x4_t,
) -> usize {
    let (b_fours, b_rest) = b.as_chunks::<4>();
    let mut fours: [&[[f32; 4]]; ROWS] = [&[]; ROWS];
    let mut rests: [&[f32]; ROWS] = [&[]; ROWS];
    let mut sums = [[vdupq_n_f32(0.0); COLUMNS]; ROWS];
    for r in 0..ROWS {
        (fours[r], rests[r]) = a.data[r * a.stride..][..b.len()].as_chunks();
        let out = out.data[r * out.stride..][..PANEL].as_chunks::<4>().0;
        for c in 0..COLUMNS {
            sums[r][c] = load_f32(&out[FIRST + c]);
        }
    }
    for (i, b) in b_fours.iter().enumerate() {
        let mut x = [vdupq_n_f32(0.0); ROWS];
        for r in 0..ROWS {
            x[r] = load_f32(&fours[r][i]);
        }
        let load = |row: usize, c: usize| {
            // What is decoded into scratch is in the nearest cache, and so is a row for its second half.
            if N == 2 && FIRST + c == 0 {
                prefetch::<AHEAD>(b[row].as_ptr().cast());
            }
            load(&b[row][FIRST + c])
        };
        step::<0, ROWS, COLUMNS>(&mut sums, x, |c| load(0, c));
        step::<1, ROWS, COLUMNS>(&mut sums, x, |c| load(1, c));
        step::<2, ROWS, COLUMNS>(&mut sums, x, |c| load(2, c));
        step::<3, ROWS, COLUMNS>(&mut sums, x, |c| load(3, c));
    }
    for (i, b) in b_rest.iter().enumerate() {
        let mut x = [vdupq_n_f32(0.0); ROWS];
        for r in 0..ROWS {
            x[r] = vdupq_n_f32(rests[r][i]);
        }
        step::<0, ROWS, COLUMNS>(&mut sums, x, |c| load(&b[FIRST + c]));
    }
    for (r, sums) in sums.into_iter().enumerate() {
        let out = out.data[r * out.stride..][..PANEL].as_chunks_mut::<4>().0;
        for (out, sum) in out[FIRST..].iter_mut().zip(sums) {
            store_f32(out, sum);
        }
    }
    ROWS
}

/// Adds the products of element `LANE` of each row of `x` with a row of the panel.
#[inline]
#[target_feature(enable = "neon")]
fn step<const LANE: i32, const ROWS: usize, const COLUMNS: usize>(
    sums: &mut [[float32x4_t; COLUMNS]; ROWS],
    x: [float32x4_t; ROWS],
    load: impl Fn(usize) -> float32x4_t,
) {
    for c in 0..COLUMNS {
        let b = load(c);
        for r in 0..ROWS {
            sums[r][c] = vfmaq_laneq_f32::<LANE>(sums[r][c], b, x[r]);
        }
    }
}

#[target_feature(enable = "neon")]
fn decode_keys(ty: TensorType, panel: &[u8], out: &mut [f32]) {
    match ty {
        TensorType::F16 => decode_f16(panel, out),
        TensorType::Q8_0 => {
            for (group, out) in panel.as_chunks::<Q8_KEYS>().0.iter().zip(out.chunks_exact_mut(PANEL * PANEL))
            {
                let (scales, rows) = group.split_at(2 * PANEL);
                let mut d = [vdupq_n_f32(0.0); VECTORS];
                for (d, scales) in d.iter_mut().zip(scales.as_chunks::<2>().0.as_chunks::<4>().0) {
                    *d = load_f16(scales);
                }
                let rows = rows.as_chunks::<8>().0.as_chunks::<HALF>().0;
                let out = out.as_chunks_mut::<8>().0.as_chunks_mut::<HALF>().0;
                for (q, out) in rows.iter().zip(out) {
                    for c in 0..HALF {
                        let [low, high] = load_i8(&q[c]);
                        store_8(&mut out[c], [vmulq_f32(low, d[2 * c]), vmulq_f32(high, d[2 * c + 1])]);
                    }
                }
            }
        }
        _ => panic!("panels of {ty} are multiplied from as they are"),
    }
}

#[target_feature(enable = "neon")]
fn decode_values(ty: TensorType, panel: &[u8], out: &mut [f32]) {
    match ty {
        TensorType::F16 => decode_f16(panel, out),
        TensorType::Q8_0 => {
            for (block, out) in panel.as_chunks::<Q8_VALUES>().0.iter().zip(out.chunks_exact_mut(PANEL)) {
                let d = load_f16(&[[block[0], block[1]]; 4]);
                for (q, out) in block[2..].as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<8>().0) {
                    store_8(out, load_i8(q).map(|q| vmulq_f32(q, d)));
                }
            }
        }
        _ => panic!("panels of {ty} are multiplied from as they are"),
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn decode_f16(panel: &[u8], out: &mut [f32]) {
    let panel = panel.as_chunks::<2>().0.as_chunks::<4>().0.as_chunks::<2>().0;
    for ([low, high], out) in panel.iter().zip(out.as_chunks_mut::<8>().0) {
        store_8(out, [load_f16(low), load_f16(high)]);
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_i8(q: &[u8; 8]) -> [float32x4_t; 2] {
    // SAFETY: a load of 8 bytes.
    let q = vmovl_s8(vreinterpret_s8_u8(unsafe { vld1_u8(q.as_ptr()) }));
    [vcvtq_f32_s32(vmovl_s16(vget_low_s16(q))), vcvtq_f32_s32(vmovl_high_s16(q))]
}

#[target_feature(enable = "neon")]
fn softmax(scores: &mut [f32], max: &mut f32, sum: &mut f32) -> f32 {
    let (scores, rest) = scores.as_chunks_mut::<8>();
    let mut padded = pad(rest, f32::NEG_INFINITY);
    // NaN is no maximum.
    let mut maxima = load_8(&padded).map(|x| vmaxnmq_f32(x, vdupq_n_f32(*max)));
    for x in scores.iter() {
        let x = load_8(x);
        maxima = [vmaxnmq_f32(x[0], maxima[0]), vmaxnmq_f32(x[1], maxima[1])];
    }
    let new_max = vmaxnmvq_f32(vmaxnmq_f32(maxima[0], maxima[1]));

    let exp = |x: &[f32; 8]| load_8(x).map(|x| exp_negative(vsubq_f32(x, vdupq_n_f32(new_max))));
    let mut added = [vdupq_n_f32(0.0); 2];
    for x in scores {
        let e = exp(x);
        store_8(x, e);
        added = [vaddq_f32(added[0], e[0]), vaddq_f32(added[1], e[1])];
    }
    if !rest.is_empty() {
        let e = exp(&padded);
        store_8(&mut padded, e);
        rest.copy_from_slice(&padded[..rest.len()]);
        let e = load_8(&pad(rest, 0.0));
        added = [vaddq_f32(added[0], e[0]), vaddq_f32(added[1], e[1])];
    }
    let mut shrink = 1.0;
    if new_max > *max {
        shrink = vgetq_lane_f32::<0>(exp_negative(vdupq_n_f32(*max - new_max)));
        *max = new_max;
    }
    *sum = *sum * shrink + vaddvq_f32(vaddq_f32(added[0], added[1]));
    shrink
}

/// eˣ for x ≤ 0 to within 2e-7 of itself; what is below e⁻⁸⁷, the smallest normal number, becomes that. NaN stays.
#[inline]
#[target_feature(enable = "neon")]
fn exp_negative(x: float32x4_t) -> float32x4_t {
    let (e, n) = exp_parts(vmaxq_f32(vdupq_n_f32(-87.0), x));
    // Adding n to the exponent multiplies by 2ⁿ: the result is normal.
    vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(e), vshlq_n_s32::<23>(n)))
}

#[target_feature(enable = "neon")]
fn norm_rotate(head: &mut [f32], w: &[f32], eps: f32, cos: &[f32], sin: &[f32], scale: f32) {
    assert!(head.len() == w.len() && cos.len() == sin.len());
    let norm = rms_scale(head, eps) * scale;
    let (fours, rest) = head.as_chunks_mut::<4>();
    let (w4, w_rest) = w.as_chunks::<4>();
    for (x, w) in fours.iter_mut().zip(w4) {
        store_f32(x, vmulq_f32(vmulq_n_f32(load_f32(x), norm), load_f32(w)));
    }
    for (x, w) in rest.iter_mut().zip(w_rest) {
        *x = *x * norm * w;
    }

    let (low, high) = head[..2 * cos.len()].split_at_mut(cos.len());
    let (low, low_rest) = low.as_chunks_mut::<4>();
    let (high, high_rest) = high.as_chunks_mut::<4>();
    let (cos, cos_rest) = cos.as_chunks::<4>();
    let (sin, sin_rest) = sin.as_chunks::<4>();
    for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
        let (a, b, cos, sin) = (load_f32(low), load_f32(high), load_f32(cos), load_f32(sin));
        store_f32(low, vfmsq_f32(vmulq_f32(a, cos), b, sin));
        store_f32(high, vfmaq_f32(vmulq_f32(b, cos), a, sin));
    }
    for (((a, b), cos), sin) in low_rest.iter_mut().zip(high_rest).zip(cos_rest).zip(sin_rest) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}
