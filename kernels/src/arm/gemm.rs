//! Quantized weights and many tokens: how weights and activations are laid down for the micro-kernels in [`super::tiles`].
//!
//! A step of a panel is 32 elements of eight rows: eight vectors of integers, then the scales of the eight rows (one
//! vector, or one for each 16 elements), then as many of what is added an element, where the type has that. How the
//! integers lie is each level's own matter. A step of the input is two vectors a token: its 32 activations and their
//! [`Factors`]; for SMMLA, those of two tokens are interleaved.

use super::intrinsics::*;
use super::weights::{self, Weights, signed};
use crate::format::TensorType::{self, *};
use crate::gemm::{Chunk, Factors, Gemm, Kind, Operands, Out, ROW_INPUT, STEP, Vector, token};
use crate::matmul::Activations;
use crate::q8::Q8Row;

/// Rows of a group.
pub(super) const ROWS: usize = 8;
/// The most tokens of a tile.
pub(super) const TOKENS: usize = 4;
/// Vectors that the integers of a step take.
pub(super) const INTEGERS: usize = ROWS * STEP / 32;

/// A level's micro-kernel.
pub(super) trait Tiles: 'static {
    /// The layout of the input.
    const KIND: Kind;

    /// Lays the integers of a step open.
    fn put(rows: [[int8x16_t; 2]; ROWS], panel: &mut [Vector; INTEGERS]);

    /// Lays a step of the activations of `n` tokens down.
    fn spread(x: [(&[i8; 32], Factors); TOKENS], n: usize, input: &mut [Vector]);

    /// The products of a panel of eight rows and T tokens. `SUBS` scales a step, and as many of what is added where there
    /// are `MINS`; weights of magnitudes up to 64 where they are `SMALL`.
    ///
    /// # Safety
    /// `out` must lend the results of eight rows and T tokens.
    unsafe fn tile<const T: usize, const SUBS: usize, const MINS: bool, const SMALL: bool>(
        panel: &[Vector],
        input: &[Vector],
        out: Out,
    );
}

/// The micro-kernel for weights of a quantized type.
pub(super) fn gemm<L: Tiles>(ty: TensorType) -> Gemm {
    match ty {
        Q4_0 => of::<weights::Q4_0, L, _>(),
        Q4_1 => of::<weights::Q4_1, L, _>(),
        Q5_0 => of::<weights::Q5_0, L, _>(),
        Q5_1 => of::<weights::Q5_1, L, _>(),
        Q8_0 => of::<weights::Q8_0, L, _>(),
        Q2_K => of::<weights::Q2K, L, _>(),
        Q3_K => of::<weights::Q3K, L, _>(),
        Q4_K => of::<weights::Q4K, L, _>(),
        Q5_K => of::<weights::Q5K, L, _>(),
        Q6_K => of::<weights::Q6K, L, _>(),
        IQ4_NL => of::<weights::Iq4Nl, L, _>(),
        F32 | F16 | BF16 => super::gemm_float::gemm(ty),
    }
}

fn of<W: Weights<BYTES>, L: Tiles, const BYTES: usize>() -> Gemm {
    let multiply = match (W::GROUP, W::MINS, W::MAX <= 64) {
        (32, false, true) => multiply::<L, 1, false, true>,
        (32, false, false) => multiply::<L, 1, false, false>,
        (32, true, _) => multiply::<L, 1, true, true>,
        (_, false, _) => multiply::<L, 2, false, true>,
        (_, true, _) => multiply::<L, 2, true, true>,
    };
    Gemm {
        kind: L::KIND,
        chunk: 512,
        rows: ROWS,
        tokens: TOKENS,
        panel_step: panel_step(STEP / W::GROUP, W::MINS),
        input_step: ROW_INPUT,
        panel_rest: 0,
        input_rest: 0,
        fixed: None,
        pack: pack::<W, L, BYTES>,
        spread: spread::<L>,
        multiply,
    }
}

pub(super) const fn panel_step(subs: usize, mins: bool) -> usize {
    INTEGERS + if mins { 2 * subs } else { subs }
}

unsafe fn pack<W: Weights<BYTES>, L: Tiles, const BYTES: usize>(rows: &[&[u8]], panel: &mut [Vector]) {
    let rows: &[&[u8]; ROWS] = rows.try_into().expect("a group of rows");
    let subs = STEP / W::GROUP;
    let step = panel_step(subs, W::MINS);
    for (i, steps) in panel.chunks_mut(8 * step).enumerate() {
        // A row need not be a multiple of 256 elements.
        let mut padded = [[0; BYTES]; ROWS];
        for (padded, row) in padded.iter_mut().zip(rows).filter(|_| steps.len() < 8 * step) {
            let row = &row[i * BYTES..];
            padded[..row.len()].copy_from_slice(row);
        }
        let w: [&[u8; BYTES]; ROWS] =
            std::array::from_fn(|r| rows[r][i * BYTES..].first_chunk().unwrap_or(&padded[r]));
        let mut factors = [[Vector([0; 32]); 16]; 2];
        for r in 0..ROWS {
            put_column(W::scales(w[r]), &mut factors[0], r);
            if W::MINS {
                put_column(W::mins(w[r]), &mut factors[1], r);
            }
        }
        for (s, step) in steps.chunks_exact_mut(step).enumerate() {
            let mut integers = [[vdupq_n_s8(0); 2]; ROWS];
            for (integers, w) in integers.iter_mut().zip(w) {
                *integers = signed::<W, BYTES>(w, s);
            }
            let (places, after) = step.split_first_chunk_mut().expect("the integers of a step");
            L::put(integers, places);
            for (places, factors) in after.chunks_exact_mut(subs).zip(&factors) {
                places.copy_from_slice(&factors[subs * s..][..subs]);
            }
        }
    }
}

/// Row `r`'s factors, one a group.
#[inline(always)]
fn put_column(v: [float32x4_t; 4], factors: &mut [Vector; 16], r: usize) {
    let mut column = [[0.0; 4]; 4];
    for (v, column) in v.into_iter().zip(&mut column) {
        // SAFETY: a store of four floats.
        unsafe { vst1q_f32(column.as_mut_ptr(), v) };
    }
    for (factors, factor) in factors.iter_mut().zip(column.as_flattened()) {
        bytemuck::cast_mut::<_, [f32; ROWS]>(factors)[r] = *factor;
    }
}

unsafe fn spread<L: Tiles>(x: Activations<'_>, first: usize, n: usize, k: Chunk, input: &mut [Vector]) {
    let rows: [Q8Row<'_>; TOKENS] = std::array::from_fn(|t| x.q8_row(first + t.min(n - 1), k));
    for (s, step) in input.chunks_exact_mut(ROW_INPUT * n).enumerate() {
        L::spread(rows.map(|x| token(x, s)), n, step);
    }
}

unsafe fn multiply<L: Tiles, const SUBS: usize, const MINS: bool, const SMALL: bool>(operands: Operands<'_>) {
    let Operands { panels, n_panels, input, n, out, ahead } = operands;
    let tile = match n {
        1 => L::tile::<1, SUBS, MINS, SMALL>,
        2 => L::tile::<2, SUBS, MINS, SMALL>,
        3 => L::tile::<3, SUBS, MINS, SMALL>,
        4 => L::tile::<4, SUBS, MINS, SMALL>,
        _ => unreachable!("a tile of {n} tokens"),
    };
    ahead.share_out(n_panels);
    for (p, panel) in panels.chunks_exact(panels.len() / n_panels).enumerate() {
        ahead.fetch();
        // SAFETY: `out` lends as many rows as the panels have, and n tokens.
        unsafe { tile(panel, input, Out { first: out.first.add(ROWS * p), ..out }) };
    }
}
