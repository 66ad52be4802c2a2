//! Kernels for AArch64: one set a level of the instruction set, of which all share what is not a product of integers.
//!
//! NEON is part of every AArch64, so that its intrinsics need no detection. What a set needs beyond it is in
//! [`level`], the only place that differs between the sets but for the micro-kernels in [`tiles`].

mod attention;
mod float;
mod floats;
mod gemm;
mod gemm_float;
mod gemv;
mod intrinsics;
mod level;
pub(crate) mod probe;
mod tiles;
mod weights;

use crate::isa::{FEW, Kernels, PASS};
use gemm::Tiles;
use level::{DotProd, Level, Neon};
use std::arch::is_aarch64_feature_detected;
use tiles::I8mm;

static NEON: Kernels = set::<Neon, Neon>("neon");
static DOTPROD: Kernels = set::<DotProd, DotProd>("dotprod");
/// A few tokens are multiplied row by row, where SMMLA has no pairs of rows to work on.
static I8MM: Kernels = set::<DotProd, I8mm>("i8mm");

/// The sets that the processor runs, best first.
pub(crate) fn detect() -> impl Iterator<Item = &'static Kernels> {
    let dotprod = is_aarch64_feature_detected!("dotprod");
    let i8mm = dotprod && is_aarch64_feature_detected!("i8mm");
    [i8mm.then_some(&I8MM), dotprod.then_some(&DOTPROD), Some(&NEON)].into_iter().flatten()
}

const fn set<L: Level, T: Tiles>(name: &'static str) -> Kernels {
    Kernels {
        name,
        // SAFETY: here and below, NEON is part of every AArch64.
        quantize_q8: |x, qs, d, sums| unsafe { float::quantize_q8(x, qs, d, sums) },
        // Rows are multiplied by `gemv` and `gemm`; tests compare them with this.
        vec_dot: crate::portable::vec_dot,
        gemv: gemv::gemv::<L>,
        gemm: Some(gemm::gemm::<T>),
        pass: PASS,
        few: FEW,
        // SAFETY: as above.
        rms_norm: |x, w, eps, out| unsafe { float::rms_norm(x, w, eps, out) },
        // SAFETY: as above.
        silu_mul: |gate, up| unsafe { float::silu_mul(gate, up) },
        attention: attention::KERNELS,
    }
}

/// Has the line `AHEAD` bytes behind `at` brought into the nearest cache; any address will do. `AHEAD` is a multiple of
/// 8, at most 32760.
#[inline(always)]
pub(crate) fn prefetch<const AHEAD: usize>(at: *const u8) {
    // SAFETY: part of every AArch64; nothing that the program sees is read.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}, #{}]", in(reg) at, const AHEAD,
            options(nomem, nostack, preserves_flags));
    }
}

/// Has the cache line at `at` brought into the L2 cache; any address will do.
#[inline(always)]
pub(crate) fn prefetch_l2(at: *const u8) {
    // SAFETY: part of every AArch64; nothing that the program sees is read.
    unsafe {
        std::arch::asm!("prfm pldl2keep, [{}]", in(reg) at, options(nomem, nostack, preserves_flags));
    }
}
