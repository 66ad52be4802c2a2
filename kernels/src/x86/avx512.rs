//! Functions of rows of floats in vectors of 512 bits.

use std::arch::x86_64::*;

use super::avx2::{EXP, LN_2};

#[target_feature(enable = "avx512f")]
pub(super) fn silu_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len());
    let silu_mul = |g, up| {
        let e = exp(_mm512_sub_ps(_mm512_setzero_ps(), g));
        _mm512_mul_ps(_mm512_div_ps(g, _mm512_add_ps(_mm512_set1_ps(1.0), e)), up)
    };
    let (gate, gate_rest) = gate.as_chunks_mut::<16>();
    let (up, up_rest) = up.as_chunks::<16>();
    for (gate, up) in gate.iter_mut().zip(up) {
        store_f32(gate, silu_mul(load_f32(gate), load_f32(up)));
    }
    let there = mask_of(gate_rest.len());
    // SAFETY: loads and a store of as many floats as there are.
    unsafe {
        let gate = _mm512_maskz_loadu_ps(there, gate_rest.as_ptr());
        let up = _mm512_maskz_loadu_ps(there, up_rest.as_ptr());
        _mm512_mask_storeu_ps(gate_rest.as_mut_ptr(), there, silu_mul(gate, up));
    }
}

/// eˣ to within 2e-7 of itself; infinity, zero, subnormals and NaN included.
#[inline]
#[target_feature(enable = "avx512f")]
fn exp(x: __m512) -> __m512 {
    // Beyond these the result is 0 or infinity. The order of operands lets NaN through.
    let x = _mm512_min_ps(_mm512_set1_ps(89.0), _mm512_max_ps(_mm512_set1_ps(-104.0), x));
    let (e, n) = exp_parts(x);
    _mm512_scalef_ps(e, n)
}

/// As [`super::avx2::exp_parts`], n as a float.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn exp_parts(x: __m512) -> (__m512, __m512) {
    let v = _mm512_set1_ps;
    let n = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm512_mul_ps(
        x,
        v(std::f32::consts::LOG2_E),
    ));
    let [high, low] = LN_2;
    let r = _mm512_fnmadd_ps(n, v(low), _mm512_fnmadd_ps(n, v(high), x));
    let mut p = v(EXP[0]);
    for c in &EXP[1..] {
        p = _mm512_fmadd_ps(p, r, v(*c));
    }
    (_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, v(1.0))), n)
}

/// The first `n` of sixteen, fewer than all.
#[inline(always)]
pub(super) fn mask_of(n: usize) -> __mmask16 {
    (1 << n) - 1
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_f32(x: &[f32; 16]) -> __m512 {
    // SAFETY: an unaligned load of 64 bytes.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_f32(x: &mut [f32; 16], v: __m512) {
    // SAFETY: an unaligned store to 64 bytes.
    unsafe { _mm512_storeu_ps(x.as_mut_ptr(), v) };
}
