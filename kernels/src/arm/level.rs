//! What the levels of the instruction set differ in: how integers of eight bits are multiplied.

use std::arch::asm;

use super::intrinsics::*;

/// Products of a row of weights with a row of activations, sixteen elements at a time.
pub(super) trait Level: 'static {
    /// Four sums of four products.
    fn dot_16(w: int8x16_t, x: int8x16_t) -> int32x4_t;

    /// Four sums of eight products. `max`: the largest magnitude of a weight.
    fn dot_32(max: i32, w: [int8x16_t; 2], x: [int8x16_t; 2]) -> int32x4_t;
}

/// What every AArch64 processor has: products of bytes in 16 bits.
pub(super) struct Neon;

impl Level for Neon {
    #[inline(always)]
    fn dot_16(w: int8x16_t, x: int8x16_t) -> int32x4_t {
        vpaddlq_s16(pairs(w, x))
    }

    #[inline(always)]
    fn dot_32(max: i32, w: [int8x16_t; 2], x: [int8x16_t; 2]) -> int32x4_t {
        let sums = pairs(w[0], x[0]);
        // Four products in a lane, of magnitudes up to `max` and 127: 4 · 64 · 127 = 32,512 fit.
        if max <= 64 {
            let sums = vmlal_s8(sums, vget_low_s8(w[1]), vget_low_s8(x[1]));
            return vpaddlq_s16(vmlal_high_s8(sums, w[1], x[1]));
        }
        vpadalq_s16(vpaddlq_s16(sums), pairs(w[1], x[1]))
    }
}

/// Eight sums of two products: 2 · 128 · 127 fit 16 bits.
#[inline(always)]
fn pairs(w: int8x16_t, x: int8x16_t) -> int16x8_t {
    vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(x)), w, x)
}

/// With SDOT (`dotprod`, Armv8.2): four products in a lane of 32 bits.
pub(super) struct DotProd;

impl Level for DotProd {
    #[inline(always)]
    fn dot_16(w: int8x16_t, x: int8x16_t) -> int32x4_t {
        sdot(vdupq_n_s32(0), w, x)
    }

    #[inline(always)]
    fn dot_32(_: i32, w: [int8x16_t; 2], x: [int8x16_t; 2]) -> int32x4_t {
        sdot(sdot(vdupq_n_s32(0), w[0], x[0]), w[1], x[1])
    }
}

// The intrinsics for these instructions are not stable yet. A directive lets the assembler take them in functions that
// are compiled for every AArch64, so that generic code over the levels is inlined whole; the sets that use them are
// listed only where the processor has them.

/// Adds to each lane the sum of four products.
#[inline(always)]
pub(super) fn sdot(mut sum: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: computes on registers alone; reached only on processors that have it.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {w:v}.16b, {x:v}.16b",
            sum = inout(vreg) sum, w = in(vreg) w, x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// As [`sdot`], with the same four activations, `x`'s lane `LANE`, for all lanes.
#[inline(always)]
pub(super) fn sdot_lane<const LANE: usize>(mut sum: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: as in `sdot`.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
            sum = inout(vreg) sum, w = in(vreg) w, x = in(vreg) x, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}

/// Adds the products of two rows of eight weights with two of eight activations: first those of the first row.
#[inline(always)]
pub(super) fn smmla(mut sum: int32x4_t, w: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: as in `sdot`.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "smmla {sum:v}.4s, {w:v}.16b, {x:v}.16b",
            sum = inout(vreg) sum, w = in(vreg) w, x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}
