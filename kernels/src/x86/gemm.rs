//! Micro-kernels for many tokens; how weights are laid open for them is in [`super::gemm_pack`].
//!
//! A tile of bytes is sixteen rows and three tokens: six sums and six results, two vectors of weights and one of
//! activations, which is all but one of the sixteen registers. One of words takes twice as long to the same results, so that
//! these may wait in memory, and has four tokens.
//!
//! `maddubs` multiplies unsigned bytes of eight rows, four elements of K each, by signed activations that are
//! the same for all rows, and adds pairs to i16. How many of these sums fit into an i16 depends on the bits of a
//! weight: 8 · 2 · 15 · 127 = 30,480, 4 · 2 · 31 · 127 = 31,496, 2 · 2 · 63 · 127 = 32,004.

use std::arch::x86_64::*;

use super::gemm_pack as pack;
use super::tile::{self, PAIRS, QUADS, Tile, Tiles, panel_step};
use crate::format::TensorType;
use crate::gemm::{Ahead, Gemm, Kind, Operands, Out, Pack, ROW_INPUT, STEP, Vector, spread_floats};

/// Vectors of a step of a float kernel: one element of K of 16 rows in two.
pub(super) const FLOATS: usize = 2 * STEP;

/// As [`tile::TOKENS`], for a word kernel: four tiles of four, whose input takes 12 KB.
const WORD_TOKENS: usize = 16;

/// The micro-kernel for weights of a type.
pub(super) fn gemm(ty: TensorType) -> Gemm {
    use TensorType::*;
    match ty {
        Q4_0 => bytes::<8, 1, 8>(pack::q4_0),
        Q4_1 => bytes::<8, 1, 0>(pack::q4_1),
        Q5_0 => bytes::<4, 1, 16>(pack::q5_0),
        Q5_1 => bytes::<4, 1, 0>(pack::q5_1),
        Q8_0 => words(pack::q8_0),
        Q2_K => bytes::<4, 2, 0>(pack::q2_k),
        Q3_K => bytes::<4, 2, 4>(pack::q3_k),
        Q4_K => bytes::<8, 1, 0>(pack::q4_k),
        Q5_K => bytes::<4, 1, 0>(pack::q5_k),
        Q6_K => bytes::<2, 2, 32>(pack::q6_k),
        IQ4_NL => words(pack::iq4_nl),
        F32 => floats(pack::f32),
        F16 => floats(pack::f16),
        BF16 => floats(pack::bf16),
    }
}

/// For unsigned integers of a byte with `SUBS` scales a step.
fn bytes<const PER: usize, const SUBS: usize, const MIDDLE: i32>(pack: Pack) -> Gemm {
    tile::bytes::<SUBS, MIDDLE>(pack, multiply_bytes::<PER, SUBS, MIDDLE>)
}

/// For floats.
pub(super) fn floats(pack: Pack) -> Gemm {
    Gemm {
        kind: Kind::Floats,
        chunk: 512,
        rows: 16,
        tokens: 6,
        panel_step: FLOATS,
        input_step: STEP / 8,
        panel_rest: 0,
        input_rest: 0,
        fixed: None,
        pack,
        spread: spread_floats,
        multiply: multiply_floats,
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_bytes<const PER: usize, const SUBS: usize, const MIDDLE: i32>(operands: Operands<'_>) {
    let tiles: [tile::Function; 3] = [
        tile_bytes::<1, PER, SUBS, MIDDLE>,
        tile_bytes::<2, PER, SUBS, MIDDLE>,
        tile_bytes::<3, PER, SUBS, MIDDLE>,
    ];
    let tiles = Tiles { functions: &tiles, of_two: &[], input_step: ROW_INPUT, middle: MIDDLE };
    // SAFETY: by the contract of such a function.
    unsafe { tiles.multiply(operands) };
}

/// Sixteen rows and T tokens. PER `maddubs` are summed in i16; SUBS scales and offsets a step.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_bytes<const T: usize, const PER: usize, const SUBS: usize, const MIDDLE: i32>(
    mut tile: Tile<'_>,
) {
    // SAFETY: here and below, the tile lends the results of sixteen rows and T tokens.
    let mut acc: [[__m256; 2]; T] = std::array::from_fn(|t| unsafe { tile.start(t) });
    let ones = _mm256_set1_epi16(1);
    let sub_quads = QUADS / SUBS;
    for step in tile.steps::<T, ROW_INPUT>(panel_step(SUBS, MIDDLE)) {
        tile.look_ahead();
        for sub in 0..SUBS {
            let mut sums = [[_mm256_setzero_si256(); 2]; T];
            for part in 0..sub_quads / PER {
                let mut words = [[_mm256_setzero_si256(); 2]; T];
                for i in 0..PER {
                    let g = sub * sub_quads + part * PER + i;
                    let w = step.weights(g);
                    for (t, words) in words.iter_mut().enumerate() {
                        let x = _mm256_set1_epi32(step.word(t, g));
                        for (word, w) in words.iter_mut().zip(w) {
                            let pairs = _mm256_maddubs_epi16(w, x);
                            *word = if i == 0 { pairs } else { _mm256_add_epi16(*word, pairs) };
                            keep(word);
                        }
                    }
                }
                for (t, (sums, words)) in sums.iter_mut().zip(words).enumerate() {
                    let start = step.start::<SUBS, MIDDLE>(t, sub);
                    for (sum, word) in sums.iter_mut().zip(words) {
                        let quads = _mm256_madd_epi16(word, ones);
                        *sum = match (part, MIDDLE) {
                            (0, 0) => quads,
                            (0, _) => _mm256_add_epi32(start, quads),
                            _ => _mm256_add_epi32(*sum, quads),
                        };
                    }
                }
            }
            step.add_scaled::<SUBS, MIDDLE>(sub, sums, &mut acc);
        }
    }
    for (t, acc) in acc.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { tile.store(t, acc) };
    }
}

/// For signed integers of 8 bits.
fn words(pack: Pack) -> Gemm {
    Gemm {
        kind: Kind::Words,
        chunk: 256,
        tokens: WORD_TOKENS,
        panel_step: 2 * (PAIRS + 1),
        input_step: tile::WORD_INPUT,
        spread: tile::spread_words,
        ..tile::bytes::<1, 0>(pack, multiply_words)
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_words(operands: Operands<'_>) {
    let tiles: [tile::Function; 4] = [tile_words::<1>, tile_words::<2>, tile_words::<3>, tile_words::<4>];
    let tiles = Tiles { functions: &tiles, of_two: &[], input_step: tile::WORD_INPUT, middle: 0 };
    // SAFETY: by the contract of such a function.
    unsafe { tiles.multiply(operands) };
}

/// Sixteen rows and T tokens, integers of 8 bits and no offset.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_words<const T: usize>(mut tile: Tile<'_>) {
    // SAFETY: here and below, the tile lends the results of sixteen rows and T tokens.
    let mut acc: [[__m256; 2]; T] = std::array::from_fn(|t| unsafe { tile.start(t) });
    for step in tile.steps::<T, { tile::WORD_INPUT }>(PAIRS + 1) {
        tile.look_ahead();
        let mut sums = [[_mm256_setzero_si256(); 2]; T];
        for g in 0..PAIRS {
            let w = step.weights(g);
            for (t, sums) in sums.iter_mut().enumerate() {
                let x = _mm256_set1_epi32(step.word(t, g));
                for (sum, w) in sums.iter_mut().zip(w) {
                    let products = _mm256_madd_epi16(w, x);
                    *sum = if g == 0 { products } else { _mm256_add_epi32(*sum, products) };
                    keep(sum);
                }
            }
        }
        let d = step.floats(PAIRS);
        for (t, acc) in acc.iter_mut().enumerate() {
            let x = _mm256_set1_ps(step.scale(t));
            for half in 0..2 {
                let scale = _mm256_mul_ps(d[half], x);
                acc[half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t][half]), scale, acc[half]);
            }
        }
    }
    for (t, acc) in acc.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { tile.store(t, acc) };
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_floats(operands: Operands<'_>) {
    let Operands { panels, n_panels, input, n, out, ahead } = operands;
    let tile = match n {
        1 => tile_floats::<1>,
        2 => tile_floats::<2>,
        3 => tile_floats::<3>,
        4 => tile_floats::<4>,
        5 => tile_floats::<5>,
        6 => tile_floats::<6>,
        _ => unreachable!("a tile of {n} tokens"),
    };
    let len = panels.len() / n_panels;
    ahead.share_out(n_panels * (len / FLOATS));
    for (p, panel) in panels.chunks_exact(len).enumerate() {
        // SAFETY: `out` lends as many rows as the panels have, and n tokens.
        unsafe { tile(panel, input, Out { first: out.first.add(16 * p), ..out }, ahead) };
    }
}

/// Sixteen rows and T tokens.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_floats<const T: usize>(panel: &[Vector], input: &[Vector], out: Out, ahead: &mut Ahead) {
    let elements = panel.len() / 2;
    assert!(panel.len() == 2 * elements && input.len() * 8 == elements * T && elements.is_multiple_of(STEP));
    // SAFETY: out lends sixteen results a token.
    let mut acc: [[__m256; 2]; T] = std::array::from_fn(|t| unsafe { [start(out, t, 0), start(out, t, 8)] });
    let (w, x) = (panel.as_ptr(), input.as_ptr().cast::<f32>());
    for step in (0..elements).step_by(STEP) {
        ahead.fetch();
        for i in step..step + STEP {
            // SAFETY: i is below the elements of both, whole steps, which are two vectors and T floats each.
            let (w, x) = unsafe { ([load_ps(&*w.add(2 * i)), load_ps(&*w.add(2 * i + 1))], x.add(i * T)) };
            for (t, acc) in acc.iter_mut().enumerate() {
                // SAFETY: as above.
                let x = _mm256_set1_ps(unsafe { *x.add(t) });
                *acc = [_mm256_fmadd_ps(w[0], x, acc[0]), _mm256_fmadd_ps(w[1], x, acc[1])];
            }
        }
    }
    for (t, acc) in acc.into_iter().enumerate() {
        for (half, acc) in acc.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(out.first.add(t * out.stride + 8 * half), acc) };
        }
    }
}

/// What the sums of eight rows begin with.
///
/// # Safety
/// `out` must lend the eight results from `row` on of token `t`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn start(out: Out, t: usize, row: usize) -> __m256 {
    if !out.add {
        return _mm256_setzero_ps();
    }
    // SAFETY: by the contract.
    unsafe { _mm256_loadu_ps(out.first.add(t * out.stride + row)) }
}

/// Holds a sum in a register here and now. Left alone, the compiler adds in another order, for which it keeps all
/// weights of a step and has too few registers: a fifth slower.
#[inline]
#[target_feature(enable = "avx2")]
fn keep(sum: &mut __m256i) {
    // SAFETY: no instruction at all.
    unsafe { std::arch::asm!("/* {0} */", inout(ymm_reg) * sum, options(nomem, nostack, preserves_flags)) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(v: &Vector) -> __m256i {
    // SAFETY: a vector is 32 aligned bytes.
    unsafe { _mm256_load_si256(v.0.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_ps(v: &Vector) -> __m256 {
    _mm256_castsi256_ps(load(v))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store(to: &mut Vector, v: __m256i) {
    // SAFETY: a vector is 32 aligned bytes.
    unsafe { _mm256_store_si256(to.0.as_mut_ptr().cast(), v) }
}
