//! The micro-kernel for float weights and many tokens: sixteen rows and up to six tokens, whose sums fill 24 of the 32
//! registers.

use std::arch::aarch64::*;

use super::float::{load_bf16, load_f16, load_f32_bytes};
use crate::format::TensorType::{self, *};
use crate::gemm::{Gemm, Kind, Operands, Out, Pack, STEP, Vector, spread_floats};

/// Rows of a group.
const ROWS: usize = 16;

/// The micro-kernel for weights of a float type.
pub(super) fn gemm(ty: TensorType) -> Gemm {
    let pack: Pack = match ty {
        F32 => pack_f32,
        F16 => pack_f16,
        BF16 => pack_bf16,
        _ => unreachable!("{ty} is no float type"),
    };
    Gemm {
        kind: Kind::Floats,
        chunk: 512,
        rows: ROWS,
        tokens: 6,
        panel_step: ROWS * STEP / 8,
        input_step: STEP / 8,
        panel_rest: 0,
        input_rest: 0,
        fixed: None,
        pack,
        spread: spread_floats,
        multiply,
    }
}

#[target_feature(enable = "neon")]
fn pack_f32(rows: &[&[u8]], panel: &mut [Vector]) {
    pack(rows, panel, |x| load_f32_bytes(x));
}

#[target_feature(enable = "neon")]
fn pack_f16(rows: &[&[u8]], panel: &mut [Vector]) {
    pack(rows, panel, |x| load_f16(x));
}

#[target_feature(enable = "neon")]
fn pack_bf16(rows: &[&[u8]], panel: &mut [Vector]) {
    pack(rows, panel, |x| load_bf16(x));
}

/// Element by element of K those of the sixteen rows, with zeros up to a whole step.
#[inline]
#[target_feature(enable = "neon")]
fn pack<const N: usize>(rows: &[&[u8]], panel: &mut [Vector], load: impl Fn(&[[u8; N]; 4]) -> float32x4_t) {
    let rows: &[&[u8]; ROWS] = rows.try_into().expect("a group of rows");
    let panel = Vector::floats_of(panel).as_chunks_mut::<ROWS>().0;
    for (i, panel) in panel.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let four = |row: &[u8]| {
            let row = row.as_chunks::<N>().0;
            let row = &row[row.len().min(4 * i)..];
            let mut padded = [[0; N]; 4];
            load(row.first_chunk().unwrap_or_else(|| {
                padded[..row.len()].copy_from_slice(row);
                &padded
            }))
        };
        for (group, rows) in rows.as_chunks::<4>().0.iter().enumerate() {
            let columns = transposed(rows.map(four));
            for (panel, column) in panel.iter_mut().zip(columns) {
                // SAFETY: a store to four of the sixteen floats.
                unsafe { vst1q_f32(panel.as_mut_ptr().add(4 * group), column) };
            }
        }
    }
}

/// Four by four, transposed.
#[inline]
#[target_feature(enable = "neon")]
fn transposed([a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
    let wide = |v| vreinterpretq_f64_f32(v);
    let ab = [wide(vtrn1q_f32(a, b)), wide(vtrn2q_f32(a, b))];
    let cd = [wide(vtrn1q_f32(c, d)), wide(vtrn2q_f32(c, d))];
    [vtrn1q_f64(ab[0], cd[0]), vtrn1q_f64(ab[1], cd[1]), vtrn2q_f64(ab[0], cd[0]), vtrn2q_f64(ab[1], cd[1])]
        .map(|v| vreinterpretq_f32_f64(v))
}

#[target_feature(enable = "neon")]
unsafe fn multiply(operands: Operands<'_>) {
    let Operands { panels, n_panels, input, n, out, ahead } = operands;
    let tile = match n {
        1 => tile::<1>,
        2 => tile::<2>,
        3 => tile::<3>,
        4 => tile::<4>,
        5 => tile::<5>,
        6 => tile::<6>,
        _ => unreachable!("a tile of {n} tokens"),
    };
    ahead.share_out(n_panels);
    for (p, panel) in panels.chunks_exact(panels.len() / n_panels).enumerate() {
        ahead.fetch();
        // SAFETY: `out` lends as many rows as the panels have, and n tokens.
        unsafe { tile(panel, input, Out { first: out.first.add(ROWS * p), ..out }) };
    }
}

/// Sixteen rows and T tokens.
///
/// # Safety
/// `out` must lend their results.
#[target_feature(enable = "neon")]
unsafe fn tile<const T: usize>(panel: &[Vector], input: &[Vector], out: Out) {
    let elements = panel.len() / 2;
    assert!(panel.len() == 2 * elements && input.len() * 8 == elements * T);
    let mut acc = [[vdupq_n_f32(0.0); 4]; T];
    let (w, x) = (panel.as_ptr().cast::<f32>(), input.as_ptr().cast::<f32>());
    for i in 0..elements {
        // SAFETY: i is below the elements of both, which are sixteen and T floats each.
        let w: [_; 4] = std::array::from_fn(|c| unsafe { vld1q_f32(w.add(ROWS * i + 4 * c)) });
        for (t, acc) in acc.iter_mut().enumerate() {
            // SAFETY: as above.
            let x = unsafe { vld1q_dup_f32(x.add(T * i + t)) };
            for (acc, w) in acc.iter_mut().zip(w) {
                *acc = vfmaq_f32(*acc, w, x);
            }
        }
    }
    for (t, acc) in acc.into_iter().enumerate() {
        for (c, acc) in acc.into_iter().enumerate() {
            // SAFETY: by the contract.
            unsafe {
                let at = out.first.add(t * out.stride + 4 * c);
                vst1q_f32(at, if out.add { vaddq_f32(vld1q_f32(at), acc) } else { acc });
            }
        }
    }
}
