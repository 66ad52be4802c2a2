//! The set with AVX-512 and its VNNI, in vectors of 512 bits: products with many tokens here and, of float weights, in
//! [`super::avx512_floats`], with a few in [`super::avx512_few`]; weights of most files are laid open for both in
//! [`super::avx512_open`]. Attention is in [`super::avx512_attention`], rows of floats in [`super::avx512`]; all else is of
//! the AVX2 set.
//!
//! A vector holds four elements of K of sixteen rows. Activations are broadcast once for two panels, and 32 registers hold the
//! sums and results of six tokens with both, with some left for the rest.

use std::arch::asm;
use std::arch::x86_64::*;

use super::avx2;
use super::tile::{self, Level, QUADS, Step, Tile, Tiles, panel_step};
use super::{avx512, avx512_attention, avx512_few, avx512_floats, avx512_open};
use crate::format::TensorType;
use crate::gemm::{Gemm, Multiply, Operands, ROW_INPUT};
use crate::isa::{Kernels, PASS, Tokens};

/// The set, where the processor has the features.
pub(crate) fn detect() -> Option<&'static Kernels> {
    let features = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni");
    (avx2::detect().is_some() && features).then_some(&KERNELS)
}

static KERNELS: Kernels = SET;

/// For the sets that differ from this one in little.
pub(super) const SET: Kernels = Kernels {
    name: "avx512vnni",
    gemv: avx512_few::gemv,
    pass: Tokens { floats: 192, ..PASS },
    gemm: Some(gemm),
    // SAFETY: `detect` hands this set out only where the features are there.
    silu_mul: |gate, up| unsafe { avx512::silu_mul(gate, up) },
    attention: avx512_attention::KERNELS,
    ..avx2::SET
};

/// The micro-kernel for weights of a type.
pub(super) fn gemm(ty: TensorType) -> Gemm {
    avx512_floats::gemm(ty).unwrap_or_else(|| {
        let gemm = tile::gemm::<Avx512Vnni>(ty);
        Gemm { pack: avx512_open::pack(ty).unwrap_or(gemm.pack), ..gemm }
    })
}

struct Avx512Vnni;

impl Level for Avx512Vnni {
    fn multiply<const SUBS: usize, const MIDDLE: i32>() -> Multiply {
        multiply_bytes::<SUBS, MIDDLE>
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn multiply_bytes<const SUBS: usize, const MIDDLE: i32>(operands: Operands<'_>) {
    // One panel is left of an odd number of them, which is rare: not worth the room of larger tiles.
    let one: [tile::Function; 3] = tiles!(tile_bytes [1, SUBS, MIDDLE], 1 2 3);
    let two: [tile::Function; 6] = tiles!(tile_bytes [2, SUBS, MIDDLE], 1 2 3 4 5 6);
    let tiles = Tiles { functions: &one, of_two: &two, input_step: ROW_INPUT, middle: MIDDLE };
    // SAFETY: by the contract of such a function.
    unsafe { tiles.multiply(operands) };
}

/// P panels of sixteen rows and T tokens, SUBS scales and offsets a step. Which MIDDLE it is, if not 0, is read from the tile: the
/// functions for them are the same then, and the compiler keeps one.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn tile_bytes<const T: usize, const P: usize, const SUBS: usize, const MIDDLE: i32>(
    mut tile: Tile<'_>,
) {
    let mut acc = [[_mm512_setzero_ps(); P]; T];
    if tile.adds() {
        for (t, acc) in acc.iter_mut().enumerate() {
            for (p, acc) in acc.iter_mut().enumerate() {
                // SAFETY: here and below, the tile lends the results of P times sixteen rows and T tokens.
                *acc = unsafe { _mm512_loadu_ps(tile.results(t).add(16 * p)) };
            }
        }
    }
    let shift = _mm512_set1_epi32(tile.middle_bits() as i32);
    for step in tile.steps_of::<P, T, ROW_INPUT>(panel_step(SUBS, MIDDLE)) {
        tile.look_ahead();
        for sub in 0..SUBS {
            let mut sums = [[_mm512_setzero_si512(); P]; T];
            if MIDDLE != 0 {
                for (t, sums) in sums.iter_mut().enumerate() {
                    *sums = [start(step.less::<SUBS>(t, sub), shift); P];
                }
            }
            for g in sub * QUADS / SUBS..(sub + 1) * QUADS / SUBS {
                let mut w = [_mm512_setzero_si512(); P];
                for (p, w) in w.iter_mut().enumerate() {
                    *w = weights(&step, p, g);
                }
                for (t, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_epi32(step.word(t, g));
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm512_dpbusd_epi32(*sum, w, x);
                    }
                }
            }
            add_scaled::<T, P, SUBS, MIDDLE>(&step, sub, &sums, &mut acc);
        }
    }
    for (t, acc) in acc.into_iter().enumerate() {
        for (p, acc) in acc.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(tile.results(t).add(16 * p), acc) };
        }
    }
}

/// Pair `i` of the vectors of panel `p`, of sixteen rows.
#[inline]
#[target_feature(enable = "avx512f")]
fn weights<const T: usize, const P: usize>(step: &Step<'_, T, ROW_INPUT, P>, p: usize, i: usize) -> __m512i {
    // SAFETY: a pair is 64 bytes.
    unsafe { _mm512_loadu_si512(step.pair_of(p, i).as_ptr().cast()) }
}

/// Adds integer sums, scaled, and the offsets, if they are stored.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_scaled<const T: usize, const P: usize, const SUBS: usize, const MIDDLE: i32>(
    step: &Step<'_, T, ROW_INPUT, P>,
    sub: usize,
    sums: &[[__m512i; P]; T],
    acc: &mut [[__m512; P]; T],
) {
    for p in 0..P {
        let floats = |i| _mm512_castsi512_ps(weights(step, p, i));
        let d = floats(QUADS + sub);
        for (t, acc) in acc.iter_mut().enumerate() {
            let scale = _mm512_mul_ps(d, _mm512_set1_ps(step.scale(t)));
            acc[p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t][p]), scale, acc[p]);
        }
        if MIDDLE == 0 {
            let offset = floats(QUADS + SUBS + sub);
            for (t, acc) in acc.iter_mut().enumerate() {
                acc[p] = _mm512_fmadd_ps(offset, _mm512_set1_ps(step.sum::<SUBS>(t, sub)), acc[p]);
            }
        }
    }
}

/// The number times a power of two, in every element, by a load and an instruction: of intrinsics alone the compiler makes
/// three, that take turns with those that multiply.
#[inline]
#[target_feature(enable = "avx512f")]
fn start(less: &i32, shift: __m512i) -> __m512i {
    let mut start = _mm512_set1_epi32(*less);
    // SAFETY: a shift of registers.
    unsafe {
        asm!(
            "vpsllvd {start}, {start}, {shift}",
            start = inout(zmm_reg) start,
            shift = in(zmm_reg) shift,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    start
}
