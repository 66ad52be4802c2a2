//! The AVX2 set, which takes FMA and F16C along.
//!
//! Functions marked `target_feature` are safe to call from each other. The set's plain function pointers to
//! them are reachable through [`detect`] only.

use std::arch::x86_64::*;

use super::attention;
use super::gemv;
use crate::isa::{FEW, Kernels, PASS, Tokens};
use crate::portable;
use crate::q8::{FEW_TOKENS, Q8_BLOCK, Q8_SUM, block_scale};

/// The set, where the processor has the features.
pub(crate) fn detect() -> Option<&'static Kernels> {
    let features = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    features.then_some(&KERNELS)
}

static KERNELS: Kernels = SET;

pub(super) const SET: Kernels = Kernels {
    name: "avx2",
    // SAFETY: here and below, `detect` hands this set out only where the features are there.
    quantize_q8: |x, qs, d, sums| unsafe { quantize_q8(x, qs, d, sums) },
    // Rows are multiplied by `gemv` and `gemm`; tests compare them with this.
    vec_dot: portable::vec_dot,
    gemv: gemv::avx2,
    gemm: Some(super::gemm::gemm),
    pass: PASS,
    few: Tokens { quantized: FEW_TOKENS, ..FEW },
    // SAFETY: as above.
    rms_norm: |x, w, eps, out| unsafe { rms_norm(x, w, eps, out) },
    // SAFETY: as above.
    silu_mul: |gate, up| unsafe { silu_mul(gate, up) },
    attention: attention::KERNELS,
};

#[target_feature(enable = "avx2,fma,f16c")]
fn quantize_q8(x: &[f32], qs: &mut [i8], d: &mut [f32], sums: &mut [i16]) {
    assert!(x.len() == qs.len() && x.len() == d.len() * Q8_BLOCK && x.len() == sums.len() * Q8_SUM);
    let x = x.as_chunks::<Q8_BLOCK>().0.iter();
    let out = qs.as_chunks_mut::<Q8_BLOCK>().0.iter_mut().zip(d).zip(sums.as_chunks_mut::<2>().0);
    for (x, ((qs, d), sums)) in x.zip(out) {
        *d = quantize_block(x, qs, sums);
    }
}

/// As the scalar one, bit for bit.
#[inline]
#[target_feature(enable = "avx2")]
fn quantize_block(x: &[f32; 32], qs: &mut [i8; 32], sums: &mut [i16; 2]) -> f32 {
    let x = x.as_chunks::<8>().0;
    let x = [load_f32(&x[0]), load_f32(&x[1]), load_f32(&x[2]), load_f32(&x[3])];
    let abs = |v| _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fff_ffff));
    let max =
        _mm256_max_epi32(_mm256_max_epi32(abs(x[0]), abs(x[1])), _mm256_max_epi32(abs(x[2]), abs(x[3])));
    let max = _mm_max_epi32(_mm256_castsi256_si128(max), _mm256_extracti128_si256(max, 1));
    let max = _mm_max_epi32(max, _mm_unpackhi_epi64(max, max));
    let max = _mm_max_epi32(max, _mm_shuffle_epi32(max, 1));
    let (d, id) = block_scale(_mm_cvtsi128_si32(max) as u32);
    if id == 0.0 {
        (*qs, *sums) = ([0; 32], [0; 2]);
        return d;
    }
    let id = _mm256_set1_ps(id);
    let round = |v| {
        let v = _mm256_mul_ps(v, id);
        // Half away from zero: truncate after adding the largest float below a half, with the sign of v.
        let half = _mm256_set1_ps(0.5f32.next_down());
        let half = _mm256_or_ps(half, _mm256_and_ps(v, _mm256_set1_ps(-0.0)));
        _mm256_cvttps_epi32(_mm256_add_ps(v, half))
    };
    let low = _mm256_packs_epi32(round(x[0]), round(x[1]));
    let high = _mm256_packs_epi32(round(x[2]), round(x[3]));
    // Packing works within lanes: put the groups of four in order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let q = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
    // SAFETY: an unaligned store to 32 bytes.
    unsafe { _mm256_storeu_si256(qs.as_mut_ptr().cast(), q) };
    // Sums of eight unsigned bytes q + 128.
    let eights = _mm256_sad_epu8(_mm256_xor_si256(q, _mm256_set1_epi8(-128)), _mm256_setzero_si256());
    let sixteens = _mm256_add_epi64(eights, _mm256_unpackhi_epi64(eights, eights));
    let sum = |v| (_mm_cvtsi128_si32(v) - 16 * 128) as i16;
    *sums = [sum(_mm256_castsi256_si128(sixteens)), sum(_mm256_extracti128_si256(sixteens, 1))];
    d
}

#[target_feature(enable = "avx2,fma,f16c")]
fn rms_norm(x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
    assert!(x.len() == w.len() && x.len() == out.len());
    let scale = rms_scale(x, eps);
    let (x8, x_rest) = x.as_chunks::<8>();
    let (w8, w_rest) = w.as_chunks::<8>();
    let (out8, out_rest) = out.as_chunks_mut::<8>();
    for ((out, x), w) in out8.iter_mut().zip(x8).zip(w8) {
        store_f32(out, _mm256_mul_ps(_mm256_mul_ps(load_f32(x), _mm256_set1_ps(scale)), load_f32(w)));
    }
    for ((out, x), w) in out_rest.iter_mut().zip(x_rest).zip(w_rest) {
        *out = x * scale * w;
    }
}

/// What RMS norm multiplies `x` by.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn rms_scale(x: &[f32], eps: f32) -> f32 {
    let (eights, rest) = x.as_chunks::<8>();
    let mut sums = [_mm256_setzero_pd(); 2];
    for x in eights {
        for (sum, x) in sums.iter_mut().zip(to_f64(load_f32(x))) {
            *sum = _mm256_fmadd_pd(x, x, *sum);
        }
    }
    let squares = hsum_f64(sums) + rest.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
    (1.0 / (squares / x.len() as f64 + f64::from(eps)).sqrt()) as f32
}

#[target_feature(enable = "avx2,fma,f16c")]
fn silu_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len());
    let eight = |gate: &mut [f32; 8], up: &[f32; 8]| {
        let (g, one) = (load_f32(gate), _mm256_set1_ps(1.0));
        let e = exp(_mm256_xor_ps(g, _mm256_set1_ps(-0.0)));
        store_f32(gate, _mm256_mul_ps(_mm256_div_ps(g, _mm256_add_ps(one, e)), load_f32(up)));
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
#[target_feature(enable = "avx2,fma")]
fn exp(x: __m256) -> __m256 {
    let v = _mm256_set1_ps;
    // Beyond these the result is 0 or infinity. The order of operands lets NaN through.
    let x = _mm256_min_ps(v(89.0), _mm256_max_ps(v(-104.0), x));
    let (e, n) = exp_parts(x);
    // 2ⁿ in two factors: n reaches from -150 to 128, beyond the exponents of one.
    let half = _mm256_srai_epi32(n, 1);
    let power = |n| _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
    _mm256_mul_ps(_mm256_mul_ps(e, power(half)), power(_mm256_sub_epi32(n, half)))
}

/// ln 2 in two parts, the first short enough for a whole number times it to be exact.
pub(super) const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Cephes' minimax polynomial p, eʳ ≈ 1 + r + r² · p(r), the highest coefficient first.
pub(super) const EXP: [f32; 6] =
    [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];

/// eˣ = e · 2ⁿ with e from √½ to √2, to within 2e-7 of itself, for x that keeps n an i32.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn exp_parts(x: __m256) -> (__m256, __m256i) {
    let v = _mm256_set1_ps;
    // x = n · ln 2 + r, |r| ≤ ln 2 / 2.
    let n = _mm256_round_ps(_mm256_mul_ps(x, v(std::f32::consts::LOG2_E)), 0x08);
    let [high, low] = LN_2;
    let r = _mm256_fnmadd_ps(n, v(low), _mm256_fnmadd_ps(n, v(high), x));
    let mut p = v(EXP[0]);
    for c in &EXP[1..] {
        p = _mm256_fmadd_ps(p, r, v(*c));
    }
    let e = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), _mm256_add_ps(r, v(1.0)));
    (e, _mm256_cvtps_epi32(n))
}

/// Up to eight values, filled up.
pub(super) fn pad(x: &[f32], fill: f32) -> [f32; 8] {
    let mut padded = [fill; 8];
    padded[..x.len()].copy_from_slice(x);
    padded
}

#[inline]
#[target_feature(enable = "avx2")]
fn to_f64(v: __m256) -> [__m256d; 2] {
    [_mm256_cvtps_pd(_mm256_castps256_ps128(v)), _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))]
}

#[inline]
#[target_feature(enable = "avx2")]
fn hsum_f64(v: [__m256d; 2]) -> f64 {
    let v = _mm256_add_pd(v[0], v[1]);
    let v = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    _mm_cvtsd_f64(_mm_add_sd(v, _mm_unpackhi_pd(v, v)))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_f32(x: &[f32; 8]) -> __m256 {
    // SAFETY: an unaligned load of 32 bytes.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_f32(x: &mut [f32; 8], v: __m256) {
    // SAFETY: an unaligned store to 32 bytes.
    unsafe { _mm256_storeu_ps(x.as_mut_ptr(), v) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_f32_bytes(x: &[[u8; 4]; 8]) -> __m256 {
    // SAFETY: an unaligned load of 32 bytes.
    unsafe { _mm256_loadu_ps(x.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn load_f16(x: &[[u8; 2]; 8]) -> __m256 {
    // SAFETY: an unaligned load of 16 bytes.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(x.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_bf16(x: &[[u8; 2]; 8]) -> __m256 {
    // SAFETY: an unaligned load of 16 bytes.
    let v = unsafe { _mm_loadu_si128(x.as_ptr().cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16))
}
