//! The specification: plain Rust, no intrinsics. The dot products are in [`crate::format`], one a type.

use crate::format::{self, TensorType, float};
use crate::isa::Kernels;
use crate::q8::{Q8_BLOCK, Q8_SUM, quantize_block};

/// The scalar set.
pub(crate) static KERNELS: Kernels = Kernels {
    name: "scalar",
    quantize_q8,
    vec_dot: format::vec_dot,
    gemm: None,
    gemv: |_| None,
    axpy,
    rms_norm,
    silu_mul,
    softmax,
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

fn axpy(ty: TensorType, a: f32, x: &[u8], y: &mut [f32]) {
    fn each<const N: usize>(a: f32, x: &[u8], y: &mut [f32], get: impl Fn([u8; N]) -> f32) {
        let x = x.as_chunks::<N>().0;
        assert_eq!(x.len(), y.len());
        for (y, &x) in y.iter_mut().zip(x) {
            *y += a * get(x);
        }
    }
    match ty {
        TensorType::F32 => each(a, x, y, f32::from_le_bytes),
        TensorType::F16 => each(a, x, y, float::f16_to_f32),
        TensorType::BF16 => each(a, x, y, float::bf16_to_f32),
        _ => panic!("axpy takes F32, F16 or BF16, not {ty}"),
    }
}

fn rms_norm(x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
    assert!(x.len() == w.len() && x.len() == out.len());
    let squares: f64 = x.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    let scale = (1.0 / (squares / x.len() as f64 + f64::from(eps)).sqrt()) as f32;
    for ((out, x), w) in out.iter_mut().zip(x).zip(w) {
        *out = x * scale * w;
    }
}

fn silu_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len());
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + (-*gate).exp()) * up;
    }
}

fn softmax(x: &mut [f32]) {
    let max = x.iter().fold(f32::NEG_INFINITY, |max, &v| max.max(v));
    let mut sum = 0.0f64;
    for v in x.iter_mut() {
        *v = (*v - max).exp();
        sum += f64::from(*v);
    }
    let scale = (1.0 / sum) as f32;
    for v in x {
        *v *= scale;
    }
}
