//! Many rows of quantized weights with one row of activations or a few, straight from the blocks of the file.
//!
//! Every type goes in steps of 256 elements. Integers are taken out of their blocks once for all tokens; every token's
//! sums are taken in the same order as that of one alone. The sums of four groups are added up across lanes, so that one
//! conversion and one multiplication scale them all.

use super::floats;
use super::intrinsics::*;
use super::level::Level;
use super::prefetch;
use super::weights::{self, Weights, signed, zero};
use crate::format::TensorType::{self, *};
use crate::isa::Gemv;
use crate::q8::{Few, Q8x256};

/// How far ahead of the weights in use the next are fetched, in bytes.
pub(super) const AHEAD: usize = 1024;

pub(super) fn gemv<L: Level>(ty: TensorType) -> Option<Gemv> {
    match ty {
        F32 | F16 | BF16 => floats::gemv(ty),
        Q4_0 => all::<weights::Q4_0, L, _>(),
        Q4_1 => all::<weights::Q4_1, L, _>(),
        Q5_0 => all::<weights::Q5_0, L, _>(),
        Q5_1 => all::<weights::Q5_1, L, _>(),
        Q8_0 => all::<weights::Q8_0, L, _>(),
        Q2_K => all::<weights::Q2K, L, _>(),
        Q3_K => all::<weights::Q3K, L, _>(),
        Q4_K => all::<weights::Q4K, L, _>(),
        Q5_K => all::<weights::Q5K, L, _>(),
        Q6_K => all::<weights::Q6K, L, _>(),
        IQ4_NL => all::<weights::Iq4Nl, L, _>(),
    }
}

fn all<W: Weights<BYTES>, L: Level, const BYTES: usize>() -> Option<Gemv> {
    Some(Gemv::Q8(
        &const { [rows::<W, L, BYTES, 1>, rows::<W, L, BYTES, 2>, rows::<W, L, BYTES, 3>, rows::<W, L, BYTES, 4>] },
    ))
}

/// The sums of a row and a token.
#[derive(Clone, Copy)]
struct Sums {
    products: float32x4_t,
    /// Of what goes beside the products; those of [`Weights::ZERO`] in units of it.
    offset: float32x4_t,
}

/// The products of all rows and T tokens.
fn rows<W: Weights<BYTES>, L: Level, const BYTES: usize, const T: usize>(
    w: &[u8],
    x: Few<'_>,
    out: &mut [&mut [f32]],
) {
    let out: &mut [&mut [f32]; T] = out.try_into().expect("a column a token");
    if w.is_empty() {
        return out.iter_mut().for_each(|out| out.fill(0.0));
    }
    let unit = if W::ZERO != 0 { -f32::from(W::ZERO) } else { 1.0 };
    // The last blocks of a row that are not 256 elements, and zeros.
    let mut padded = [0; BYTES];
    for (r, w) in w.chunks_exact(w.len() / out[0].len()).enumerate() {
        let mut sums = [Sums { products: zero(), offset: zero() }; T];
        let (blocks, rest) = w.as_chunks::<BYTES>();
        let steps = blocks.len() + usize::from(!rest.is_empty());
        assert!(x.steps() == steps);
        for i in 0..steps {
            let w = blocks.get(i).unwrap_or_else(|| {
                padded[..rest.len()].copy_from_slice(rest);
                &padded
            });
            for line in (0..BYTES).step_by(64) {
                prefetch::<AHEAD>(w.as_ptr().wrapping_add(line));
            }
            let x = x.rows(i, T).first_chunk().expect("as many rows as there are results");
            match W::GROUP {
                32 => add_blocks::<W, L, BYTES, T>(w, x, &mut sums),
                _ => add_halves::<W, L, BYTES, T>(w, x, &mut sums),
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            out[r] = vaddvq_f32(vfmaq_n_f32(sums.products, sums.offset, unit));
        }
    }
}

/// Adds the products of 256 elements with a scale for each 32.
#[inline(always)]
fn add_blocks<W: Weights<BYTES>, L: Level, const BYTES: usize, const T: usize>(
    w: &[u8; BYTES],
    x: &[Q8x256; T],
    sums: &mut [Sums; T],
) {
    let (scales, mins) = (W::scales(w), W::mins(w));
    // Four blocks at a time.
    for v in 0..2 {
        let mut products = [[vdupq_n_s32(0); 4]; T];
        for b in 0..4 {
            let i = 4 * v + b;
            let q = W::integers(w, i).map(|q| vreinterpretq_s8_u8(q));
            for t in 0..T {
                products[t][b] = L::dot_32(W::MAX, q, load(&x[t].qs[i]));
            }
        }
        for (t, sums) in sums.iter_mut().enumerate() {
            let scale = vmulq_f32(scales[v], load_4(&x[t].d, v));
            let products = vcvtq_f32_s32(across(products[t]));
            sums.products = vfmaq_f32(sums.products, products, scale);
            if W::ZERO != 0 || W::MINS {
                let factor = if W::MINS { mins[v] } else { scales[v] };
                sums.offset = vfmaq_f32(sums.offset, factor, load_4(&x[t].offset, v));
            }
        }
    }
}

/// Adds the products of 256 elements with a scale for each 16.
#[inline(always)]
fn add_halves<W: Weights<BYTES>, L: Level, const BYTES: usize, const T: usize>(
    w: &[u8; BYTES],
    x: &[Q8x256; T],
    sums: &mut [Sums; T],
) {
    let (scales, mins) = (W::scales(w), W::mins(w));
    // Two blocks at a time.
    for v in 0..4 {
        let mut products = [[vdupq_n_s32(0); 4]; T];
        for b in 0..2 {
            let i = 2 * v + b;
            let q = signed::<W, BYTES>(w, i);
            for t in 0..T {
                let x = load(&x[t].qs[i]);
                for half in 0..2 {
                    products[t][2 * b + half] = L::dot_16(q[half], x[half]);
                }
            }
        }
        for (t, sums) in sums.iter_mut().enumerate() {
            let d = load_4(&x[t].d, v / 2);
            let d = if v % 2 == 0 { vzip1q_f32(d, d) } else { vzip2q_f32(d, d) };
            let products = vcvtq_f32_s32(across(products[t]));
            sums.products = vfmaq_f32(sums.products, products, vmulq_f32(scales[v], d));
            if W::MINS {
                // SAFETY: four of sixteen sums.
                let of_x = unsafe { vld1_s16(x[t].sums.as_ptr().add(4 * v)) };
                let of_x = vmulq_f32(vcvtq_f32_s32(vmovl_s16(of_x)), d);
                sums.products = vfmaq_f32(sums.products, mins[v], of_x);
            }
        }
    }
}

/// The sums over the lanes of four vectors.
#[inline(always)]
pub(super) fn across(v: [int32x4_t; 4]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]))
}

#[inline(always)]
fn load(x: &[i8; 32]) -> [int8x16_t; 2] {
    // SAFETY: two loads of 16 of the 32 bytes.
    unsafe { [vld1q_s8(x.as_ptr()), vld1q_s8(x.as_ptr().add(16))] }
}

/// The `v`th four of eight.
#[inline(always)]
fn load_4(x: &[f32; 8], v: usize) -> float32x4_t {
    let four = &x.as_chunks::<4>().0[v];
    // SAFETY: a load of four floats.
    unsafe { vld1q_f32(four.as_ptr()) }
}
