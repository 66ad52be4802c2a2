//! Products of float weights with many tokens in vectors of 512 bits, two panels of sixteen rows and twelve tokens at a time:
//! 24 sums, whose operands are read in half the time that their multiplication takes.

use std::arch::x86_64::*;

use super::avx512::mask_of;
use super::avx512_open::{ROWS, Rows, put};
use super::gemm::floats;
use crate::floats::{BF16, F16, F32};
use crate::format::TensorType;
use crate::gemm::{Ahead, Chunk, Gemm, Operands, Out, STEP, Vector, spread_floats};
use crate::matmul::Activations;

/// Pairs of elements of K in a step.
const PAIRS: usize = STEP / 2;
/// The most tokens of a tile.
const TOKENS: usize = 12;

/// The micro-kernel for weights of a type, if it is one of floats.
pub(super) fn gemm(ty: TensorType) -> Option<Gemm> {
    match ty {
        TensorType::F32 => Some(gemm_of::<F32>()),
        TensorType::F16 => Some(gemm_of::<F16>()),
        TensorType::BF16 => Some(gemm_of::<BF16>()),
        _ => None,
    }
}

fn gemm_of<W: PanelWeight>() -> Gemm {
    Gemm { tokens: TOKENS, panel_step: PAIRS * W::PAIR, spread, multiply: multiply::<W>, ..floats(pack::<W>) }
}

/// A type of weights. They are laid open as they are, in columns of sixteen rows, and become floats where they are
/// multiplied, by instructions that there is room for beside those of the products: half as much is stored and read again.
///
/// # Safety
/// The functions need AVX-512 with its BW; `pair` reads PAIR vectors.
trait PanelWeight {
    /// Vectors of a panel that two elements of K take.
    const PAIR: usize;

    /// Brings a column of 32 bits a row into the order of a panel.
    unsafe fn column(v: __m512i) -> __m512i;

    /// Two elements of K.
    unsafe fn pair(at: *const Vector) -> [__m512; 2];
}

impl PanelWeight for F32 {
    const PAIR: usize = 4;

    #[inline(always)]
    unsafe fn column(v: __m512i) -> __m512i {
        v
    }

    #[inline(always)]
    unsafe fn pair(at: *const Vector) -> [__m512; 2] {
        // SAFETY: here and below, by the contract.
        unsafe { [_mm512_loadu_ps(at.cast()), _mm512_loadu_ps(at.add(2).cast())] }
    }
}

impl PanelWeight for F16 {
    const PAIR: usize = 2;

    /// The first elements of all rows, then the second ones.
    #[inline(always)]
    unsafe fn column(v: __m512i) -> __m512i {
        const ORDER: [u16; 32] = {
            let mut order = [0; 32];
            let mut i = 0;
            while i < 32 {
                order[i] = (2 * i % 32 + i / 16) as u16;
                i += 1;
            }
            order
        };
        // SAFETY: as above.
        unsafe { _mm512_permutexvar_epi16(_mm512_loadu_si512(ORDER.as_ptr().cast()), v) }
    }

    #[inline(always)]
    unsafe fn pair(at: *const Vector) -> [__m512; 2] {
        // SAFETY: as above.
        unsafe { [0, 1].map(|i| _mm512_cvtph_ps(_mm256_load_si256(at.add(i).cast()))) }
    }
}

impl PanelWeight for BF16 {
    const PAIR: usize = 2;

    #[inline(always)]
    unsafe fn column(v: __m512i) -> __m512i {
        v
    }

    #[inline(always)]
    unsafe fn pair(at: *const Vector) -> [__m512; 2] {
        // SAFETY: as above.
        unsafe {
            let both = _mm512_loadu_si512(at.cast());
            let (first, second) =
                (_mm512_slli_epi32(both, 16), _mm512_and_si512(both, _mm512_set1_epi32(!0xffff)));
            [_mm512_castsi512_ps(first), _mm512_castsi512_ps(second)]
        }
    }
}

/// Lays a panel's rows open; elements beyond the last are 0.
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
fn pack<W: PanelWeight>(w: &[&[u8]], panel: &mut [Vector]) {
    let w: &[&[u8]; ROWS] = w.try_into().expect("the rows of a panel");
    let rows = Rows::new(*w);
    for (i, panel) in panel.as_chunks_mut::<8>().0.iter_mut().enumerate() {
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
        for (i, column) in columns.into_iter().enumerate() {
            // SAFETY: this function has the instructions.
            put(panel, i, unsafe { W::column(column) });
        }
    }
}

/// As [`spread_floats`]; chunks of whole steps, as almost all are, four elements of K at a time.
#[target_feature(enable = "avx512f")]
fn spread(x: Activations<'_>, first: usize, n: usize, k: Chunk, input: &mut [Vector]) {
    let Activations::Float { x: all } = x else { panic!("float weights and the wrong kind of activations") };
    if !k.len.is_multiple_of(STEP) {
        return spread_floats(x, first, n, k, input);
    }
    // Rows beyond the last token repeat it, and are not stored.
    let tokens = std::array::from_fn(|t| {
        let x = &all[(first + t.min(n - 1)) * k.k + k.start..][..k.len];
        bytemuck::cast_slice(x)
    });
    let (tokens, input) = (Rows::new(tokens), Vector::floats_of(input));
    for (i, places) in input.chunks_exact_mut(4 * n).enumerate() {
        for (places, column) in places.chunks_exact_mut(n).zip(tokens.columns(16 * i)) {
            // SAFETY: a store of n floats, at most twelve.
            unsafe { _mm512_mask_storeu_epi32(places.as_mut_ptr().cast(), mask_of(n), column) };
        }
    }
}

type Function = unsafe fn(&[Vector], &[Vector], Out, &mut Ahead);

#[target_feature(enable = "avx512f")]
unsafe fn multiply<W: PanelWeight>(operands: Operands<'_>) {
    let Operands { panels, n_panels, input, n, out, ahead } = operands;
    let tiles: [Function; TOKENS] = tiles!(tile [W], 1 2 3 4 5 6 7 8 9 10 11 12);
    let len = panels.len() / n_panels;
    ahead.share_out(n_panels.div_ceil(2) * (len / (PAIRS * W::PAIR)));
    for (i, panels) in panels.chunks(2 * len).enumerate() {
        // SAFETY: `out` lends as many rows as the panels have, and n tokens.
        unsafe {
            let out = Out { first: out.first.add(32 * i), ..out };
            if panels.len() == len {
                one_panel::<W>(panels, input, n, out);
            } else {
                tiles[n - 1](panels, input, out, ahead);
            }
        }
    }
}

/// One panel, which is left of an odd number of them: rare, and not worth the room of a function for each number of tokens.
#[target_feature(enable = "avx512f")]
unsafe fn one_panel<W: PanelWeight>(panel: &[Vector], input: &[Vector], n: usize, out: Out) {
    let x = bytemuck::cast_slice::<Vector, [f32; 8]>(input).as_flattened();
    for t in 0..n {
        // SAFETY: out lends sixteen results a token.
        let result = unsafe { out.first.add(t * out.stride) };
        let there = if out.add { u16::MAX } else { 0 };
        // SAFETY: as above.
        let mut acc = unsafe { _mm512_maskz_loadu_ps(there, result) };
        for (w, x) in panel.chunks_exact(W::PAIR).zip(x.chunks_exact(2 * n)) {
            // SAFETY: as many vectors as a pair is.
            let [first, second] = unsafe { W::pair(w.as_ptr()) };
            acc = _mm512_fmadd_ps(first, _mm512_set1_ps(x[t]), acc);
            acc = _mm512_fmadd_ps(second, _mm512_set1_ps(x[n + t]), acc);
        }
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(result, acc) };
    }
}

/// Two panels and T tokens.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const T: usize, W: PanelWeight>(
    panels: &[Vector],
    input: &[Vector],
    out: Out,
    ahead: &mut Ahead,
) {
    const P: usize = 2;
    let pairs = panels.len() / (W::PAIR * P);
    assert!(panels.len() == W::PAIR * P * pairs && input.len() * 8 == 2 * pairs * T);
    assert!(pairs.is_multiple_of(PAIRS));
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
    let (w, x) = (panels.as_ptr(), input.as_ptr().cast::<f32>());
    for step in (0..pairs).step_by(PAIRS) {
        ahead.fetch();
        for i in step..step + PAIRS {
            let mut weights = [[_mm512_setzero_ps(); 2]; P];
            for (p, weights) in weights.iter_mut().enumerate() {
                // SAFETY: i is below the pairs, whole steps, of a panel and of the input, of which they are twice T floats.
                *weights = unsafe { W::pair(w.add(W::PAIR * (p * pairs + i))) };
            }
            for e in 0..2 {
                for (t, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let x = _mm512_set1_ps(unsafe { *x.add((2 * i + e) * T + t) });
                    for (acc, weights) in acc.iter_mut().zip(weights) {
                        *acc = _mm512_fmadd_ps(weights[e], x, *acc);
                    }
                }
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
