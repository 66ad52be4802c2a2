//! The sets with VNNI: AVX-VNNI, and AVX-512 with VNNI in vectors of 256 bits. All else is of the AVX2 set.
//!
//! `dpbusd` adds the products of four unsigned and four signed bytes to an i32, so that no sum has to fit 16 bits.
//! [`Kernels::vec_dot`] stays as it is: the products of quantized weights are taken by the other two.

use std::arch::x86_64::*;

use super::gemm::{QUADS, bytes, floats, load, load_ps, start};
use super::{avx2, gemm_pack as pack, gemv};
use crate::format::TensorType;
use crate::gemm::{Gemm, Out, Vector};
use crate::isa::Kernels;

/// The sets that the processor has the features for, best first.
pub(crate) fn detect() -> impl Iterator<Item = &'static Kernels> {
    let avx2 = avx2::detect().is_some();
    let avx512 = is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512vnni");
    let sets = [(avx512, &AVX512), (is_x86_feature_detected!("avxvnni"), &AVX)];
    sets.into_iter().filter_map(move |(features, set)| (avx2 && features).then_some(set))
}

static AVX512: Kernels =
    Kernels { name: "avx512vnni", gemv: gemv::avx512vnni, gemm: Some(gemm_avx512vnni), ..avx2::SET };

static AVX: Kernels = Kernels { name: "avxvnni", gemv: gemv::avxvnni, gemm: Some(gemm_avxvnni), ..avx2::SET };

/// The micro-kernels of a level by type of the weights.
macro_rules! table {
    ($name:ident, $set:ident) => {
        fn $name(ty: TensorType) -> Gemm {
            use TensorType::*;
            match ty {
                Q4_0 => bytes::<1>(pack::q4_0, $set::multiply_bytes::<1>),
                Q4_1 => bytes::<1>(pack::q4_1, $set::multiply_bytes::<1>),
                Q5_0 => bytes::<1>(pack::q5_0, $set::multiply_bytes::<1>),
                Q5_1 => bytes::<1>(pack::q5_1, $set::multiply_bytes::<1>),
                Q8_0 => bytes::<1>(pack::q8_0_moved, $set::multiply_bytes::<1>),
                Q2_K => bytes::<2>(pack::q2_k, $set::multiply_bytes::<2>),
                Q3_K => bytes::<2>(pack::q3_k, $set::multiply_bytes::<2>),
                Q4_K => bytes::<1>(pack::q4_k, $set::multiply_bytes::<1>),
                Q5_K => bytes::<1>(pack::q5_k, $set::multiply_bytes::<1>),
                Q6_K => bytes::<2>(pack::q6_k, $set::multiply_bytes::<2>),
                IQ4_NL => bytes::<1>(pack::iq4_nl_moved, $set::multiply_bytes::<1>),
                F32 => floats(pack::f32),
                F16 => floats(pack::f16),
                BF16 => floats(pack::bf16),
            }
        }
    };
}

table!(gemm_avxvnni, avxvnni);
table!(gemm_avx512vnni, avx512vnni);

macro_rules! in_both_sets {
    ($($item:item)*) => {
        compile_for!(avxvnni, "avx2,fma,avxvnni", $($item)*);
        compile_for!(avx512vnni, "avx2,fma,avx512vl,avx512vnni", $($item)*);
    };
}

in_both_sets! {
    pub(in crate::x86) unsafe fn multiply_bytes<const SUBS: usize>(
        panel: &[Vector],
        groups: usize,
        input: &[Vector],
        n: usize,
        out: Out,
    ) {
        let tile = match n {
            1 => tile_bytes::<1, SUBS>,
            2 => tile_bytes::<2, SUBS>,
            3 => tile_bytes::<3, SUBS>,
            4 => tile_bytes::<4, SUBS>,
            _ => unreachable!("a tile of {n} tokens"),
        };
        for (g, panel) in panel.chunks_exact(panel.len() / groups).enumerate() {
            // SAFETY: `out` lends as many rows as the groups have, and n tokens.
            unsafe { tile(panel, input, Out { first: out.first.add(8 * g), ..out }) };
        }
    }

    /// Eight rows and T tokens, SUBS scales and offsets a step.
    unsafe fn tile_bytes<const T: usize, const SUBS: usize>(panel: &[Vector], input: &[Vector], out: Out) {
        let (panel_step, input_step) = (QUADS + 2 * SUBS, T * (QUADS + 1 + SUBS));
        let steps = panel.len() / panel_step;
        assert!(panel.len() == steps * panel_step && input.len() == steps * input_step);
        // SAFETY: out lends eight results a token.
        let mut acc: [__m256; T] = std::array::from_fn(|t| unsafe { start(out, t, 0) });
        let (mut w, mut x) = (panel.as_ptr(), input.as_ptr());
        for _ in 0..steps {
            // SAFETY: w and x point to the panel_step and input_step vectors of this step.
            let (quad, at) = unsafe { (|i: usize| &*w.add(i), |i: usize| &*x.add(i)) };
            for sub in 0..SUBS {
                let mut sums = [_mm256_setzero_si256(); T];
                for g in sub * QUADS / SUBS..(sub + 1) * QUADS / SUBS {
                    let w = load(quad(g));
                    for (t, sum) in sums.iter_mut().enumerate() {
                        *sum = dpbusd(*sum, w, load(at(g * T + t)));
                    }
                }
                let (d, offset) = (load_ps(quad(QUADS + sub)), load_ps(quad(QUADS + SUBS + sub)));
                for t in 0..T {
                    let scale = _mm256_mul_ps(d, load_ps(at(QUADS * T + t)));
                    acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t]), scale, acc[t]);
                    acc[t] = _mm256_fmadd_ps(offset, load_ps(at((QUADS + 1 + sub) * T + t)), acc[t]);
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
}
