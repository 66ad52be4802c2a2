//! The set with AVX-VNNI. All but products is of the AVX2 set.
//!
//! `dpbusd` adds the products of four unsigned and four signed bytes to an i32, so that no sum has to fit 16 bits.

use std::arch::x86_64::*;

use super::tile::{self, Level, QUADS, Tile, Tiles, panel_step};
use super::{avx2, gemv};
use crate::gemm::{Multiply, Operands, ROW_INPUT};
use crate::isa::Kernels;

/// The set, where the processor has the features.
pub(crate) fn detect() -> Option<&'static Kernels> {
    (avx2::detect().is_some() && is_x86_feature_detected!("avxvnni")).then_some(&KERNELS)
}

static KERNELS: Kernels =
    Kernels { name: "avxvnni", gemv: gemv::avxvnni, gemm: Some(tile::gemm::<AvxVnni>), ..avx2::SET };

struct AvxVnni;

impl Level for AvxVnni {
    fn multiply<const SUBS: usize, const MIDDLE: i32>() -> Multiply {
        multiply_bytes::<SUBS, MIDDLE>
    }
}

#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn multiply_bytes<const SUBS: usize, const MIDDLE: i32>(operands: Operands<'_>) {
    let tiles: [tile::Function; 3] = tiles!(tile_bytes [SUBS, MIDDLE], 1 2 3);
    let tiles = Tiles { functions: &tiles, of_two: &[], input_step: ROW_INPUT, middle: MIDDLE };
    // SAFETY: by the contract of such a function.
    unsafe { tiles.multiply(operands) };
}

/// Sixteen rows and T tokens, SUBS scales and offsets a step.
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn tile_bytes<const T: usize, const SUBS: usize, const MIDDLE: i32>(mut tile: Tile<'_>) {
    // SAFETY: here and below, the tile lends the results of sixteen rows and T tokens.
    let mut acc: [[__m256; 2]; T] = std::array::from_fn(|t| unsafe { tile.start(t) });
    for step in tile.steps::<T, ROW_INPUT>(panel_step(SUBS, MIDDLE)) {
        tile.look_ahead();
        for sub in 0..SUBS {
            let mut sums = [[_mm256_setzero_si256(); 2]; T];
            for (t, sums) in sums.iter_mut().enumerate() {
                *sums = [step.start::<SUBS, MIDDLE>(t, sub); 2];
            }
            for g in sub * QUADS / SUBS..(sub + 1) * QUADS / SUBS {
                let w = step.weights(g);
                for (t, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_set1_epi32(step.word(t, g));
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm256_dpbusd_avx_epi32(*sum, w, x);
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
