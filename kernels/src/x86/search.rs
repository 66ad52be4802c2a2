//! The inner loop of the encoders' search, sixteen trials side by side. Multiplications and additions are not taken
//! together, so that every machine writes the same file.

use std::arch::x86_64::*;

use bytemuck::cast;

use super::avx2::{load_f32, store_f32};
use crate::format::search::Sums;

/// For each trial Σwq, Σwxq and Σwq² of the integers `q = clamp(round((x + min) · id))`, all w being 1 unless `WEIGHTED`:
/// then `x` is a group, else two by turns, and so are the trials.
#[target_feature(enable = "avx2")]
pub(crate) fn sums<const WEIGHTED: bool>(
    x: &[f32],
    w: &[f32],
    id: &[f32; 16],
    min: &[f32; 16],
    range: (f32, f32),
    out: &mut Sums,
) {
    let (lo, hi) = (_mm256_set1_ps(range.0), _mm256_set1_ps(range.1));
    let halves = |v: &[f32; 16]| [0, 1].map(|half| load_f32(&v.as_chunks::<8>().0[half]));
    let (id, min) = (halves(id), halves(min));
    let mut sums = [[_mm256_setzero_ps(); 2]; 3];
    let mut add = |x: __m256, w: __m256| {
        for half in 0..2 {
            let q = _mm256_mul_ps(_mm256_add_ps(x, min[half]), id[half]);
            // The order of operands lets NaN through, as the portable loop does.
            let q = _mm256_min_ps(hi, _mm256_max_ps(lo, q));
            let q = _mm256_round_ps(q, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
            let wq = if WEIGHTED { _mm256_mul_ps(w, q) } else { q };
            sums[0][half] = _mm256_add_ps(sums[0][half], wq);
            sums[1][half] = _mm256_add_ps(sums[1][half], _mm256_mul_ps(x, wq));
            sums[2][half] = _mm256_add_ps(sums[2][half], _mm256_mul_ps(q, wq));
        }
    };
    if WEIGHTED {
        x.iter().zip(w).for_each(|(x, w)| add(_mm256_set1_ps(*x), _mm256_set1_ps(*w)));
    } else {
        for two in x.as_chunks::<2>().0 {
            add(_mm256_castsi256_ps(_mm256_set1_epi64x(cast(*two))), lo);
        }
    }
    for (out, halves) in [&mut out.q, &mut out.xq, &mut out.qq].into_iter().zip(sums) {
        for (out, half) in out.as_chunks_mut::<8>().0.iter_mut().zip(halves) {
            store_f32(out, half);
        }
    }
}

/// As [`sums`], all trials in one vector.
#[target_feature(enable = "avx512f")]
pub(crate) fn sums_512<const WEIGHTED: bool>(
    x: &[f32],
    w: &[f32],
    id: &[f32; 16],
    min: &[f32; 16],
    range: (f32, f32),
    out: &mut Sums,
) {
    let (lo, hi) = (_mm512_set1_ps(range.0), _mm512_set1_ps(range.1));
    // SAFETY: loads of sixteen floats.
    let (id, min) = unsafe { (_mm512_loadu_ps(id.as_ptr()), _mm512_loadu_ps(min.as_ptr())) };
    let mut sums = [_mm512_setzero_ps(); 3];
    let mut add = |x: __m512, w: __m512, squares: &mut __m512| {
        let q = _mm512_mul_ps(_mm512_add_ps(x, min), id);
        let q = _mm512_min_ps(hi, _mm512_max_ps(lo, q));
        let q = _mm512_roundscale_ps(q, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        let wq = if WEIGHTED { _mm512_mul_ps(w, q) } else { q };
        sums[0] = _mm512_add_ps(sums[0], wq);
        sums[1] = _mm512_add_ps(sums[1], _mm512_mul_ps(x, wq));
        *squares = if WEIGHTED {
            _mm512_add_ps(*squares, _mm512_mul_ps(q, wq))
        } else {
            // Small integers: nothing is rounded, in whatever order.
            _mm512_fmadd_ps(q, q, *squares)
        };
    };
    // Two in turns: of all the sums these would have to wait for each other longest.
    let mut squares = [_mm512_setzero_ps(); 2];
    if WEIGHTED {
        x.iter().zip(w).for_each(|(x, w)| add(_mm512_set1_ps(*x), _mm512_set1_ps(*w), &mut squares[0]));
    } else {
        for [a, b] in x.as_chunks::<2>().0.as_chunks::<2>().0 {
            add(_mm512_castsi512_ps(_mm512_set1_epi64(cast(*a))), lo, &mut squares[0]);
            add(_mm512_castsi512_ps(_mm512_set1_epi64(cast(*b))), lo, &mut squares[1]);
        }
    }
    sums[2] = _mm512_add_ps(squares[0], squares[1]);
    for (out, sums) in [&mut out.q, &mut out.xq, &mut out.qq].into_iter().zip(sums) {
        // SAFETY: a store of sixteen floats.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sums) };
    }
}
