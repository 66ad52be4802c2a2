//! What NEON does with floats: quantizing, norm and SiLU.

use std::arch::aarch64::*;

use crate::portable::pad;
use crate::q8::{Q8_BLOCK, Q8_SUM, block_scale};

#[target_feature(enable = "neon")]
pub(super) fn quantize_q8(x: &[f32], qs: &mut [i8], d: &mut [f32], sums: &mut [i16]) {
    assert!(x.len() == qs.len() && x.len() == d.len() * Q8_BLOCK && x.len() == sums.len() * Q8_SUM);
    let x = x.as_chunks::<Q8_BLOCK>().0.iter();
    let out = qs.as_chunks_mut::<Q8_BLOCK>().0.iter_mut().zip(d).zip(sums.as_chunks_mut::<2>().0);
    for (x, ((qs, d), sums)) in x.zip(out) {
        *d = quantize_block(x, qs, sums);
    }
}

/// As the scalar one, bit for bit.
#[inline]
#[target_feature(enable = "neon")]
fn quantize_block(x: &[f32; 32], qs: &mut [i8; 32], sums: &mut [i16; 2]) -> f32 {
    let x = x.as_chunks::<4>().0;
    let x: [_; 8] = std::array::from_fn(|i| load_f32(&x[i]));
    let max = |max, v: &_| vmaxq_u32(max, vreinterpretq_u32_f32(vabsq_f32(*v)));
    let (d, id) = block_scale(vmaxvq_u32(x.iter().fold(vdupq_n_u32(0), max)));
    if id == 0.0 {
        (*qs, *sums) = ([0; 32], [0; 2]);
        return d;
    }
    // Rounded to nearest, halves away from zero.
    let round = |v| vqmovn_s32(vcvtaq_s32_f32(vmulq_n_f32(v, id)));
    let eight = |i: usize| vqmovn_s16(vcombine_s16(round(x[i]), round(x[i + 1])));
    for (half, (qs, sum)) in qs.as_chunks_mut::<Q8_SUM>().0.iter_mut().zip(sums).enumerate() {
        let q = vcombine_s8(eight(4 * half), eight(4 * half + 2));
        // SAFETY: a store to 16 bytes.
        unsafe { vst1q_s8(qs.as_mut_ptr(), q) };
        *sum = vaddlvq_s8(q);
    }
    d
}

#[target_feature(enable = "neon")]
pub(super) fn rms_norm(x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
    assert!(x.len() == w.len() && x.len() == out.len());
    let scale = rms_scale(x, eps);
    let (x8, x_rest) = x.as_chunks::<8>();
    let (w8, w_rest) = w.as_chunks::<8>();
    let (out8, out_rest) = out.as_chunks_mut::<8>();
    for ((out, x), w) in out8.iter_mut().zip(x8).zip(w8) {
        let (x, w) = (load_8(x), load_8(w));
        store_8(out, [0, 1].map(|i| vmulq_f32(vmulq_n_f32(x[i], scale), w[i])));
    }
    for ((out, x), w) in out_rest.iter_mut().zip(x_rest).zip(w_rest) {
        *out = x * scale * w;
    }
}

/// What RMS norm multiplies `x` by.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn rms_scale(x: &[f32], eps: f32) -> f32 {
    let (eights, rest) = x.as_chunks::<8>();
    let mut sums = [vdupq_n_f64(0.0); 4];
    for x in eights {
        let [a, b] = load_8(x);
        let x = [
            vcvt_f64_f32(vget_low_f32(a)),
            vcvt_high_f64_f32(a),
            vcvt_f64_f32(vget_low_f32(b)),
            vcvt_high_f64_f32(b),
        ];
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum = vfmaq_f64(*sum, x, x);
        }
    }
    let squares = vaddvq_f64(vaddq_f64(vaddq_f64(sums[0], sums[1]), vaddq_f64(sums[2], sums[3])));
    let squares = squares + rest.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
    (1.0 / (squares / x.len() as f64 + f64::from(eps)).sqrt()) as f32
}

#[target_feature(enable = "neon")]
pub(super) fn silu_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len());
    let silu = |g| vdivq_f32(g, vaddq_f32(vdupq_n_f32(1.0), exp(vnegq_f32(g))));
    let eight = |gate: &mut [f32; 8], up: &[f32; 8]| {
        let (g, up) = (load_8(gate), load_8(up));
        store_8(gate, [0, 1].map(|i| vmulq_f32(silu(g[i]), up[i])));
    };
    let (gate, gate_rest) = gate.as_chunks_mut::<8>();
    let (up, up_rest) = up.as_chunks::<8>();
    for (gate, up) in gate.iter_mut().zip(up) {
        eight(gate, up);
    }
    let mut padded = pad(gate_rest, 0.0);
    eight(&mut padded, &pad(up_rest, 0.0));
    gate_rest.copy_from_slice(&padded[..gate_rest.len()]);
}

/// eˣ to within 2e-7 of itself; infinity, zero, subnormals and NaN included.
#[inline]
#[target_feature(enable = "neon")]
fn exp(x: float32x4_t) -> float32x4_t {
    let v = vdupq_n_f32;
    // Beyond these the result is 0 or infinity. NaN is let through.
    let x = vminq_f32(v(89.0), vmaxq_f32(v(-104.0), x));
    let (e, n) = exp_parts(x);
    // 2ⁿ in two factors: n reaches from -150 to 128, beyond the exponents of one.
    let half = vshrq_n_s32::<1>(n);
    let power = |n| vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(n, vdupq_n_s32(127))));
    vmulq_f32(vmulq_f32(e, power(half)), power(vsubq_s32(n, half)))
}

/// eˣ = e · 2ⁿ with e from √½ to √2, to within 2e-7 of itself, for x that keeps n an i32.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn exp_parts(x: float32x4_t) -> (float32x4_t, int32x4_t) {
    let v = vdupq_n_f32;
    // x = n · ln 2 + r, |r| ≤ ln 2 / 2; ln 2 in two parts, the first short enough for n · it to be exact.
    let n = vrndnq_f32(vmulq_f32(x, v(std::f32::consts::LOG2_E)));
    let r = vfmsq_f32(vfmsq_f32(x, n, v(0.693_359_4)), n, v(-2.121_944_4e-4));
    // Cephes' minimax polynomial: eʳ ≈ 1 + r + r² · p(r).
    let mut p = v(1.987_569_1e-4);
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = vfmaq_f32(v(c), p, r);
    }
    let e = vfmaq_f32(vaddq_f32(r, v(1.0)), p, vmulq_f32(r, r));
    (e, vcvtq_s32_f32(n))
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load_8(x: &[f32; 8]) -> [float32x4_t; 2] {
    let x = x.as_chunks::<4>().0;
    [load_f32(&x[0]), load_f32(&x[1])]
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn store_8(x: &mut [f32; 8], v: [float32x4_t; 2]) {
    for (x, v) in x.as_chunks_mut::<4>().0.iter_mut().zip(v) {
        store_f32(x, v);
    }
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load_f32(x: &[f32; 4]) -> float32x4_t {
    // SAFETY: a load of 16 bytes.
    unsafe { vld1q_f32(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn store_f32(x: &mut [f32; 4], v: float32x4_t) {
    // SAFETY: a store to 16 bytes.
    unsafe { vst1q_f32(x.as_mut_ptr(), v) }
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load_f32_bytes(x: &[[u8; 4]; 4]) -> float32x4_t {
    // SAFETY: a load of 16 bytes, at any address.
    vreinterpretq_f32_u8(unsafe { vld1q_u8(x.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load_f16(x: &[[u8; 2]; 4]) -> float32x4_t {
    // SAFETY: a load of 8 bytes, at any address.
    vcvt_f32_f16(vreinterpret_f16_u8(unsafe { vld1_u8(x.as_ptr().cast()) }))
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load_bf16(x: &[[u8; 2]; 4]) -> float32x4_t {
    // SAFETY: a load of 8 bytes, at any address.
    let v = vreinterpret_u16_u8(unsafe { vld1_u8(x.as_ptr().cast()) });
    vreinterpretq_f32_u32(vshll_n_u16::<16>(v))
}
