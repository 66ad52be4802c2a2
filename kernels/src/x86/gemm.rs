//! Micro-kernels for many tokens; how weights are laid open for them is in [`super::gemm_pack`].
//!
//! `maddubs` multiplies unsigned bytes of eight rows, four elements of K each, by signed activations that are
//! the same for all rows, and adds pairs to i16. How many of these sums fit into an i16 depends on the bits of a
//! weight: 8 · 2 · 15 · 127 = 30,480, 4 · 2 · 31 · 127 = 31,496, 2 · 2 · 63 · 127 = 32,004.

use std::arch::x86_64::*;

use super::gemm_pack as pack;
use crate::format::TensorType;
use crate::gemm::{Chunk, Gemm, Kind, Multiply, Out, Pack, STEP, Vector, spread_floats};
use crate::matmul::Activations;
use crate::q8::Q8Row;

/// Vectors of a step that hold a byte kernel's integers: four elements of K in each.
pub(super) const QUADS: usize = STEP / 4;
/// Vectors of a step that hold a word kernel's integers: two elements of K in each.
pub(super) const PAIRS: usize = STEP / 2;
/// Vectors of a step of a float kernel: one element of K of 16 rows in two.
pub(super) const FLOATS: usize = 2 * STEP;

/// The micro-kernel for weights of a type.
pub(super) fn gemm(ty: TensorType) -> Gemm {
    use TensorType::*;
    match ty {
        Q4_0 => bytes::<1>(pack::q4_0, multiply_bytes::<8, 1>),
        Q4_1 => bytes::<1>(pack::q4_1, multiply_bytes::<8, 1>),
        Q5_0 => bytes::<1>(pack::q5_0, multiply_bytes::<4, 1>),
        Q5_1 => bytes::<1>(pack::q5_1, multiply_bytes::<4, 1>),
        Q8_0 => words(pack::q8_0),
        Q2_K => bytes::<2>(pack::q2_k, multiply_bytes::<4, 2>),
        Q3_K => bytes::<2>(pack::q3_k, multiply_bytes::<4, 2>),
        Q4_K => bytes::<1>(pack::q4_k, multiply_bytes::<8, 1>),
        Q5_K => bytes::<1>(pack::q5_k, multiply_bytes::<4, 1>),
        Q6_K => bytes::<2>(pack::q6_k, multiply_bytes::<2, 2>),
        IQ4_NL => words(pack::iq4_nl),
        F32 => floats(pack::f32),
        F16 => floats(pack::f16),
        BF16 => floats(pack::bf16),
    }
}

/// For unsigned integers of a byte with `SUBS` scales a step.
pub(super) fn bytes<const SUBS: usize>(pack: Pack, multiply: Multiply) -> Gemm {
    Gemm {
        kind: Kind::Bytes { subs: SUBS },
        chunk: 512,
        rows: 8,
        tokens: 4,
        panel_step: QUADS + 2 * SUBS,
        input_step: QUADS + 1 + SUBS,
        pack,
        spread: spread_bytes::<SUBS>,
        multiply,
    }
}

/// For signed integers of 8 bits.
fn words(pack: Pack) -> Gemm {
    Gemm {
        kind: Kind::Words,
        chunk: 256,
        rows: 8,
        tokens: 4,
        panel_step: PAIRS + 1,
        input_step: PAIRS + 1,
        pack,
        spread: spread_words,
        multiply: multiply_words,
    }
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
        pack,
        spread: spread_floats,
        multiply: multiply_floats,
    }
}

/// The tokens of a tile, each restricted to the chunk.
fn q8_rows<'a>(x: Activations<'a>, first: usize, n: usize, k: Chunk) -> impl Iterator<Item = Q8Row<'a>> {
    let Activations::Q8(x) = x else { panic!("quantized weights and the wrong kind of activations") };
    (first..first + n).map(move |t| x.row(t).range(k.start, k.len))
}

/// A step of a byte kernel's input: [`QUADS`] × n vectors of four activations, n of their scale, and of each half
/// (SUBS = 2) or the whole (SUBS = 1) n of the scale times the sum.
#[target_feature(enable = "avx2,fma")]
fn spread_bytes<const SUBS: usize>(
    x: Activations<'_>,
    first: usize,
    n: usize,
    k: Chunk,
    input: &mut [Vector],
) {
    for (t, x) in q8_rows(x, first, n, k).enumerate() {
        let quads = x.qs.as_chunks::<4>().0.as_chunks::<QUADS>().0;
        let sums = x.sums.as_chunks::<2>().0;
        let steps = input.chunks_exact_mut(n * (QUADS + 1 + SUBS));
        for (((quads, &d), sums), step) in quads.iter().zip(x.d).zip(sums).zip(steps) {
            for (g, &quad) in quads.iter().enumerate() {
                store(&mut step[g * n + t], _mm256_set1_epi32(i32::from_le_bytes(quad.map(|q| q as u8))));
            }
            store_ps(&mut step[QUADS * n + t], _mm256_set1_ps(d));
            for sub in 0..SUBS {
                let sum = if SUBS == 1 { sums[0] + sums[1] } else { sums[sub] };
                store_ps(&mut step[(QUADS + 1 + sub) * n + t], _mm256_set1_ps(d * f32::from(sum)));
            }
        }
    }
}

/// A step of a word kernel's input: [`PAIRS`] × n vectors of two activations, n of their scale.
#[target_feature(enable = "avx2,fma")]
fn spread_words(x: Activations<'_>, first: usize, n: usize, k: Chunk, input: &mut [Vector]) {
    for (t, x) in q8_rows(x, first, n, k).enumerate() {
        let pairs = x.qs.as_chunks::<2>().0.as_chunks::<PAIRS>().0;
        let steps = input.chunks_exact_mut(n * (PAIRS + 1));
        for ((pairs, &d), step) in pairs.iter().zip(x.d).zip(steps) {
            for (g, &[a, b]) in pairs.iter().enumerate() {
                let pair = i32::from(a) & 0xffff | i32::from(b) << 16;
                store(&mut step[g * n + t], _mm256_set1_epi32(pair));
            }
            store_ps(&mut step[PAIRS * n + t], _mm256_set1_ps(d));
        }
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_bytes<const PER: usize, const SUBS: usize>(
    panel: &[Vector],
    groups: usize,
    input: &[Vector],
    n: usize,
    out: Out,
) {
    let tile = match n {
        1 => tile_bytes::<1, PER, SUBS>,
        2 => tile_bytes::<2, PER, SUBS>,
        3 => tile_bytes::<3, PER, SUBS>,
        4 => tile_bytes::<4, PER, SUBS>,
        _ => unreachable!("a tile of {n} tokens"),
    };
    for (g, panel) in panel.chunks_exact(panel.len() / groups).enumerate() {
        // SAFETY: `out` lends as many rows as the groups have, and n tokens.
        unsafe { tile(panel, input, Out { first: out.first.add(8 * g), ..out }) };
    }
}

/// Eight rows and T tokens. PER `maddubs` are summed in i16; SUBS scales and offsets a step.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_bytes<const T: usize, const PER: usize, const SUBS: usize>(
    panel: &[Vector],
    input: &[Vector],
    out: Out,
) {
    let (panel_step, input_step) = (QUADS + 2 * SUBS, T * (QUADS + 1 + SUBS));
    let steps = panel.len() / panel_step;
    assert!(panel.len() == steps * panel_step && input.len() == steps * input_step);
    // SAFETY: out lends eight results a token.
    let mut acc: [__m256; T] = std::array::from_fn(|t| unsafe { start(out, t, 0) });
    let ones = _mm256_set1_epi16(1);
    let sub_quads = QUADS / SUBS;
    let (mut w, mut x) = (panel.as_ptr(), input.as_ptr());
    for _ in 0..steps {
        // SAFETY: w and x point to the panel_step and input_step vectors of this step.
        let (quad, at) = unsafe { (|i: usize| load(&*w.add(i)), |i: usize| load(&*x.add(i))) };
        for sub in 0..SUBS {
            let mut sums = [_mm256_setzero_si256(); T];
            for part in 0..sub_quads / PER {
                let mut words = [_mm256_setzero_si256(); T];
                for i in 0..PER {
                    let g = sub * sub_quads + part * PER + i;
                    let w = quad(g);
                    for (t, sum) in words.iter_mut().enumerate() {
                        let pairs = _mm256_maddubs_epi16(w, at(g * T + t));
                        *sum = if i == 0 { pairs } else { _mm256_add_epi16(*sum, pairs) };
                        keep(sum);
                    }
                }
                for t in 0..T {
                    let quads = _mm256_madd_epi16(words[t], ones);
                    sums[t] = if part == 0 { quads } else { _mm256_add_epi32(sums[t], quads) };
                }
            }
            let d = _mm256_castsi256_ps(quad(QUADS + sub));
            let offset = _mm256_castsi256_ps(quad(QUADS + SUBS + sub));
            for t in 0..T {
                let scale = _mm256_mul_ps(d, _mm256_castsi256_ps(at(QUADS * T + t)));
                acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t]), scale, acc[t]);
                let sum = _mm256_castsi256_ps(at((QUADS + 1 + sub) * T + t));
                acc[t] = _mm256_fmadd_ps(offset, sum, acc[t]);
            }
        }
        // SAFETY: at most one past the end.
        (w, x) = unsafe { (w.add(panel_step), x.add(input_step)) };
    }
    for (t, acc) in acc.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(out.first.add(t * out.stride), acc) };
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_words(panel: &[Vector], groups: usize, input: &[Vector], n: usize, out: Out) {
    let tile = match n {
        1 => tile_words::<1>,
        2 => tile_words::<2>,
        3 => tile_words::<3>,
        4 => tile_words::<4>,
        _ => unreachable!("a tile of {n} tokens"),
    };
    for (g, panel) in panel.chunks_exact(panel.len() / groups).enumerate() {
        // SAFETY: `out` lends as many rows as the groups have, and n tokens.
        unsafe { tile(panel, input, Out { first: out.first.add(8 * g), ..out }) };
    }
}

/// Eight rows and T tokens, integers of 8 bits and no offset.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_words<const T: usize>(panel: &[Vector], input: &[Vector], out: Out) {
    let (panel_step, input_step) = (PAIRS + 1, T * (PAIRS + 1));
    let steps = panel.len() / panel_step;
    assert!(panel.len() == steps * panel_step && input.len() == steps * input_step);
    // SAFETY: out lends eight results a token.
    let mut acc: [__m256; T] = std::array::from_fn(|t| unsafe { start(out, t, 0) });
    let (mut w, mut x) = (panel.as_ptr(), input.as_ptr());
    for _ in 0..steps {
        // SAFETY: w and x point to the panel_step and input_step vectors of this step.
        let (pair, at) = unsafe { (|i: usize| load(&*w.add(i)), |i: usize| load(&*x.add(i))) };
        let mut sums = [_mm256_setzero_si256(); T];
        for g in 0..PAIRS {
            let w = pair(g);
            for (t, sum) in sums.iter_mut().enumerate() {
                let products = _mm256_madd_epi16(w, at(g * T + t));
                *sum = if g == 0 { products } else { _mm256_add_epi32(*sum, products) };
            }
        }
        let d = _mm256_castsi256_ps(pair(PAIRS));
        for t in 0..T {
            let scale = _mm256_mul_ps(d, _mm256_castsi256_ps(at(PAIRS * T + t)));
            acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t]), scale, acc[t]);
        }
        // SAFETY: at most one past the end.
        (w, x) = unsafe { (w.add(panel_step), x.add(input_step)) };
    }
    for (t, acc) in acc.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(out.first.add(t * out.stride), acc) };
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_floats(panel: &[Vector], groups: usize, input: &[Vector], n: usize, out: Out) {
    let tile = match n {
        1 => tile_floats::<1>,
        2 => tile_floats::<2>,
        3 => tile_floats::<3>,
        4 => tile_floats::<4>,
        5 => tile_floats::<5>,
        6 => tile_floats::<6>,
        _ => unreachable!("a tile of {n} tokens"),
    };
    for (g, panel) in panel.chunks_exact(panel.len() / groups).enumerate() {
        // SAFETY: `out` lends as many rows as the groups have, and n tokens.
        unsafe { tile(panel, input, Out { first: out.first.add(16 * g), ..out }) };
    }
}

/// Sixteen rows and T tokens.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_floats<const T: usize>(panel: &[Vector], input: &[Vector], out: Out) {
    let elements = panel.len() / 2;
    assert!(panel.len() == 2 * elements && input.len() * 8 == elements * T);
    // SAFETY: out lends sixteen results a token.
    let mut acc: [[__m256; 2]; T] = std::array::from_fn(|t| unsafe { [start(out, t, 0), start(out, t, 8)] });
    let (w, x) = (panel.as_ptr(), input.as_ptr().cast::<f32>());
    for i in 0..elements {
        // SAFETY: i is below the elements of both, which are two vectors and T floats each.
        let (w, x) = unsafe { ([load_ps(&*w.add(2 * i)), load_ps(&*w.add(2 * i + 1))], x.add(i * T)) };
        for (t, acc) in acc.iter_mut().enumerate() {
            // SAFETY: as above.
            let x = _mm256_set1_ps(unsafe { *x.add(t) });
            *acc = [_mm256_fmadd_ps(w[0], x, acc[0]), _mm256_fmadd_ps(w[1], x, acc[1])];
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
    unsafe {
        std::arch::asm!("/* {0} */", inout(ymm_reg) * sum, options(pure, nomem, nostack, preserves_flags))
    }
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

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_ps(to: &mut Vector, v: __m256) {
    store(to, _mm256_castps_si256(v));
}
