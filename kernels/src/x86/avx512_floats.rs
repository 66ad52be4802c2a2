//! Products of float weights with many tokens in vectors of 512 bits, two panels of sixteen rows and twelve tokens at a time:
//! 24 sums, whose operands are read in half the time that their multiplication takes.

use std::arch::x86_64::*;

use super::avx512_open::{ROWS, Rows, f16s_of_words, put};
use super::gemm::floats;
use crate::format::TensorType;
use crate::gemm::{Gemm, Out, Pack, Vector};

/// The most tokens of a tile.
const TOKENS: usize = 12;

/// The micro-kernel for weights of a type, if it is one of floats.
pub(super) fn gemm(ty: TensorType) -> Option<Gemm> {
    let pack: Pack = match ty {
        TensorType::F32 => f32,
        TensorType::F16 => f16,
        TensorType::BF16 => bf16,
        _ => return None,
    };
    Some(Gemm { tokens: TOKENS, multiply, ..floats(pack) })
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn f32(w: &[&[u8]], panel: &mut [Vector]) {
    put_columns(w, panel, |columns| columns);
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn f16(w: &[&[u8]], panel: &mut [Vector]) {
    put_columns(w, panel, |[a, b, c, d]| {
        let float = |v| _mm512_castps_si512(f16s_of_words(v));
        let high = |v| float(_mm512_srli_epi32(v, 16));
        [float(a), high(a), float(b), high(b), float(c), high(c), float(d), high(d)]
    });
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn bf16(w: &[&[u8]], panel: &mut [Vector]) {
    put_columns(w, panel, |[a, b, c, d]| {
        let low = |v| _mm512_slli_epi32(v, 16);
        let high = |v| _mm512_and_si512(v, _mm512_set1_epi32(!0xffff));
        [low(a), high(a), low(b), high(b), low(c), high(c), low(d), high(d)]
    });
}

/// Stores the columns of a panel's rows; those beyond the last are 0. `floats` makes N columns of the 16 bytes of each row
/// that they take.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn put_columns<const N: usize>(
    w: &[&[u8]],
    panel: &mut [Vector],
    floats: impl Fn([__m512i; 4]) -> [__m512i; N],
) {
    let w: &[&[u8]; ROWS] = w.try_into().expect("the rows of a panel");
    let rows = Rows::new(*w);
    for (i, panel) in panel.chunks_exact_mut(2 * N).enumerate() {
        let columns = if 16 * (i + 1) <= w[0].len() {
            rows.columns(16 * i)
        } else {
            let mut padded = [[0; 16]; ROWS];
            let mut rows: [&[u8]; ROWS] = [&[]; ROWS];
            for ((row, padded), w) in rows.iter_mut().zip(&mut padded).zip(w) {
                let rest = w.get(16 * i..).unwrap_or_default();
                padded[..rest.len()].copy_from_slice(rest);
                *row = padded;
            }
            Rows::new(rows).columns(0)
        };
        for (i, column) in floats(columns).into_iter().enumerate() {
            put(panel, i, column);
        }
    }
}

type Function = unsafe fn(&[Vector], &[Vector], Out);

#[target_feature(enable = "avx512f")]
unsafe fn multiply(panels: &[Vector], n_panels: usize, input: &[Vector], n: usize, out: Out) {
    const ONE: [Function; TOKENS] = tiles!(tile [1], 1 2 3 4 5 6 7 8 9 10 11 12);
    const TWO: [Function; TOKENS] = tiles!(tile [2], 1 2 3 4 5 6 7 8 9 10 11 12);
    let len = panels.len() / n_panels;
    for (i, panels) in panels.chunks(2 * len).enumerate() {
        let tile = if panels.len() == len { ONE[n - 1] } else { TWO[n - 1] };
        // SAFETY: `out` lends as many rows as the panels have, and n tokens.
        unsafe { tile(panels, input, Out { first: out.first.add(32 * i), ..out }) };
    }
}

/// P panels and T tokens.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const T: usize, const P: usize>(panels: &[Vector], input: &[Vector], out: Out) {
    let elements = panels.len() / (2 * P);
    assert!(panels.len() == 2 * P * elements && input.len() * 8 == elements * T);
    // SAFETY: here and below, out lends P times sixteen results a token.
    let results = |t: usize, p: usize| unsafe { out.first.add(t * out.stride + 16 * p) };
    let mut acc = [[_mm512_setzero_ps(); P]; T];
    if out.add {
        for (t, acc) in acc.iter_mut().enumerate() {
            for (p, acc) in acc.iter_mut().enumerate() {
                // SAFETY: as above.
                *acc = unsafe { _mm512_loadu_ps(results(t, p)) };
            }
        }
    }
    let (w, x) = (panels.as_ptr().cast::<f32>(), input.as_ptr().cast::<f32>());
    for i in 0..elements {
        let mut weights = [_mm512_setzero_ps(); P];
        for (p, weights) in weights.iter_mut().enumerate() {
            // SAFETY: i is below the elements of a panel, which are sixteen floats each, and of the input, which are T.
            *weights = unsafe { _mm512_loadu_ps(w.add(16 * (p * elements + i))) };
        }
        for (t, acc) in acc.iter_mut().enumerate() {
            // SAFETY: as above.
            let x = _mm512_set1_ps(unsafe { *x.add(i * T + t) });
            for (acc, weights) in acc.iter_mut().zip(weights) {
                *acc = _mm512_fmadd_ps(weights, x, *acc);
            }
        }
    }
    for (t, acc) in acc.into_iter().enumerate() {
        for (p, acc) in acc.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(results(t, p), acc) };
        }
    }
}
