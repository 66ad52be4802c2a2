//! Products of float weights with a few tokens.

use std::arch::aarch64::*;

use super::float::{load_bf16, load_f16};
use super::gemv::AHEAD;
use super::prefetch;
use crate::floats::{BF16, F16, F32, LINE, Lanes, ROWS, Weight, few_tokens, one_token};
use crate::format::TensorType;
use crate::isa::Gemv;

pub(super) fn gemv(ty: TensorType) -> Option<Gemv> {
    match ty {
        TensorType::F32 => Some(Gemv::Float(of::<F32>)),
        TensorType::F16 => Some(Gemv::Float(of::<F16>)),
        TensorType::BF16 => Some(Gemv::Float(of::<BF16>)),
        _ => None,
    }
}

fn of<W: Weight>(w: &[u8], x: &[f32], out: &mut [&mut [f32]]) {
    let look_ahead = |line: &[u8; LINE]| prefetch::<AHEAD>(line.as_ptr());
    // SAFETY: NEON is part of every AArch64.
    unsafe {
        match out {
            [out] => one_token::<float32x4_t, W>(w, x, out, look_ahead),
            _ => few_tokens::<float32x4_t, W>(w, x, out),
        }
    }
}

impl Lanes for float32x4_t {
    const N: usize = 4;
    const TOKENS: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: here and below, by the contract.
        unsafe { vdupq_n_f32(0.0) }
    }

    #[inline(always)]
    unsafe fn load(x: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { vld1q_f32(x) }
    }

    #[inline(always)]
    unsafe fn f16s(w: *const [u8; 2]) -> Self {
        // SAFETY: as above.
        unsafe { load_f16(&*w.cast()) }
    }

    #[inline(always)]
    unsafe fn bf16s(w: *const [u8; 2]) -> Self {
        // SAFETY: as above.
        unsafe { load_bf16(&*w.cast()) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { vaddq_f32(self, other) }
    }

    #[inline(always)]
    unsafe fn add_product(self, w: Self, x: Self) -> Self {
        // SAFETY: as above.
        unsafe { vfmaq_f32(self, w, x) }
    }

    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self; ROWS]) -> [f32; ROWS] {
        let mut sums = [0.0; ROWS];
        // SAFETY: as above; a store of four floats.
        unsafe { vst1q_f32(sums.as_mut_ptr(), vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d))) };
        sums
    }
}
