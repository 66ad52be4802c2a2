//! The list of kernel sets: one list serves dispatch, tests and benches.

use crate::attention::AttentionKernels;
use crate::format::TensorType;
use crate::gemm::Gemm;
use crate::q8::{Few, Q8Row};

/// How a tensor type multiplies: against float or against quantized activations.
#[derive(Clone, Copy)]
pub enum VecDot {
    /// Σ w·x for F32, F16 and BF16 weights. `w` holds `x.len()` elements.
    Float(fn(w: &[u8], x: &[f32]) -> f32),
    /// Σ w·x for block-quantized weights. `w` holds `x.qs.len()` elements.
    Q8(fn(w: &[u8], x: Q8Row<'_>) -> f32),
}

/// The products of rows of weights, one after the other in `w`, with the activations of a few tokens; `out` has a result a row
/// for each. A product does not depend on the rows and tokens around it.
#[derive(Clone, Copy)]
pub enum Gemv {
    /// Of F32, F16 and BF16 weights, and any number of tokens, one after the other in `x`.
    Float(FloatGemv),
    /// Of block-quantized weights: for one token, two, and so on.
    Q8(&'static [Q8Gemv]),
}

/// See [`Gemv::Float`].
pub type FloatGemv = fn(w: &[u8], x: &[f32], out: &mut [&mut [f32]]);

/// See [`Gemv::Q8`].
pub type Q8Gemv = fn(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]);

/// A number of tokens.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    /// With block-quantized weights.
    pub quantized: usize,
    /// With float weights.
    pub floats: usize,
}

/// [`Kernels::pass`] of most sets.
pub(crate) const PASS: Tokens = Tokens { quantized: 128, floats: 128 };
/// [`Kernels::few`] of most sets.
pub(crate) const FEW: Tokens = Tokens { quantized: 8, floats: 8 };

/// The type of [`Kernels::quantize_q8`].
pub type QuantizeQ8 = fn(x: &[f32], qs: &mut [i8], d: &mut [f32], sums: &mut [i16]);

/// One instruction set's kernels. A value, not a trait: see [`all`].
pub struct Kernels {
    /// The name that `BROOKLET_ISA` takes.
    pub name: &'static str,
    /// Quantizes whole blocks of 32 activations: `x.len()` values, a scale a 32, a sum a 16.
    pub quantize_q8: QuantizeQ8,
    /// The dot product of a weight row of this type with an activation row.
    pub vec_dot: fn(TensorType) -> VecDot,
    /// Many weight rows of this type with a few activation rows, where the set has something faster than
    /// [`Kernels::vec_dot`] on each.
    pub gemv: fn(TensorType) -> Option<Gemv>,
    /// The micro-kernel for many tokens; without one they are multiplied one at a time.
    pub gemm: Option<fn(TensorType) -> Gemm>,
    /// Tokens of a prompt to take at once: so many that getting the weights ready for them is little of the work, more where
    /// these take longer to come from memory.
    pub pass: Tokens,
    /// The most tokens for which [`Kernels::matmul_few`] is faster than [`Kernels::matmul`], at most
    /// [`FEW_TOKENS`](crate::FEW_TOKENS).
    pub few: Tokens,
    /// `out = x · rsqrt(mean(x²) + eps) · w`, all of one length.
    pub rms_norm: fn(x: &[f32], w: &[f32], eps: f32, out: &mut [f32]),
    /// `gate = silu(gate) · up`.
    pub silu_mul: fn(gate: &mut [f32], up: &[f32]),
    /// Attention.
    pub attention: AttentionKernels,
}

/// `BROOKLET_ISA` names a set that this processor does not run.
#[derive(Debug, thiserror::Error)]
#[error("BROOKLET_ISA is '{found}', but this processor runs only: {available}")]
pub struct UnknownIsa {
    /// What the variable holds.
    pub found: String,
    /// The names that would do.
    pub available: String,
}

/// The kernel sets this processor runs, best first. The last is always `scalar`.
pub fn all() -> Vec<&'static Kernels> {
    let mut sets = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        use crate::x86::{amx, avx2, avx512vnni, avxvnni};
        let found = [amx::detect(), avx512vnni::detect(), avxvnni::detect(), avx2::detect()];
        sets.extend(found.into_iter().flatten());
    }
    #[cfg(target_arch = "aarch64")]
    sets.extend(crate::arm::detect());
    sets.extend([&crate::portable::KERNELS, &crate::scalar::KERNELS]);
    sets
}

/// The best set, or the one that the environment variable `BROOKLET_ISA` names.
///
/// # Errors
/// The variable names no set in [`all`].
pub fn active() -> Result<&'static Kernels, UnknownIsa> {
    match std::env::var_os("BROOKLET_ISA") {
        None => Ok(all()[0]),
        Some(name) => named(&name.to_string_lossy()),
    }
}

fn named(name: &str) -> Result<&'static Kernels, UnknownIsa> {
    let sets = all();
    sets.iter().find(|k| k.name == name).copied().ok_or_else(|| UnknownIsa {
        found: name.to_owned(),
        available: sets.iter().map(|k| k.name).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_found_by_name() {
        assert_eq!(named("scalar").unwrap().name, "scalar");
        let error = named("AVX2").err().unwrap().to_string();
        assert!(error.starts_with("BROOKLET_ISA is 'AVX2', but this processor runs only: "), "{error}");
        assert!(error.ends_with("portable, scalar"), "{error}");
    }
}
