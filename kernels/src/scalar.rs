//! The specification: plain Rust, no intrinsics. The dot products are in [`crate::format`], one a type.

pub(crate) mod attention;

use crate::format;
use crate::isa::{FEW, Kernels, PASS};
use crate::q8::{Q8_BLOCK, Q8_SUM, quantize_block};

/// The scalar set.
pub(crate) static KERNELS: Kernels = Kernels {
    name: "scalar",
    quantize_q8,
    vec_dot: format::vec_dot,
    gemm: None,
    pass: PASS,
    few: FEW,
    gemv: |_| None,
    rms_norm,
    silu_mul,
    attention: attention::KERNELS,
};

fn quantize_q8(x: &[f32], qs: &mut [i8], d: &mut [f32], sums: &mut [i16]) {
    assert!(x.len() == qs.len() && x.len() == d.len() * Q8_BLOCK && x.len() == sums.len() * Q8_SUM);
    for ((x, qs), d) in x.as_chunks().0.iter().zip(qs.as_chunks_mut().0).zip(d) {
        *d = quantize_block(x, qs);
    }
    for (qs, sum) in qs.chunks_exact(Q8_SUM).zip(sums) {
        *sum = qs.iter().map(|&q| i16::from(q)).sum();
    }
}

fn rms_norm(x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
    assert!(x.len() == w.len() && x.len() == out.len());
    let scale = rms_scale(x, eps);
    for ((out, x), w) in out.iter_mut().zip(x).zip(w) {
        *out = x * scale * w;
    }
}

/// What RMS norm multiplies `x` by.
fn rms_scale(x: &[f32], eps: f32) -> f32 {
    let squares: f64 = x.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    (1.0 / (squares / x.len() as f64 + f64::from(eps)).sqrt()) as f32
}

fn silu_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len());
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + (-*gate).exp()) * up;
    }
}
