//! The set for every architecture, with the `wide` crate: SIMD as far as the compile target has it.
//!
//! Blocks are laid open by the same code as in the scalar set, which the compiler vectorizes; products and sums
//! go through `wide`.

mod attention;

use wide::{f32x8, i8x16, i16x16, i32x8};

use crate::format::TensorType::{self, *};
use crate::format::block::{Block, Unpacked};
use crate::format::{float, iq4_nl, q2_k, q3_k, q4_0, q4_1, q4_k, q5_0, q5_1, q5_k, q6_k, q8_0};
use crate::isa::{FEW, Kernels, PASS, VecDot};
use crate::q8::{Q8_BLOCK, Q8_SUM, Q8Row, block_scale};

/// The portable set.
pub(crate) static KERNELS: Kernels = Kernels {
    name: "portable",
    quantize_q8,
    vec_dot,
    gemm: None,
    pass: PASS,
    few: FEW,
    gemv: |_| None,
    rms_norm,
    silu_mul,
    attention: attention::KERNELS,
};

pub(crate) fn vec_dot(ty: TensorType) -> VecDot {
    match ty {
        F32 => VecDot::Float(|w, x| dot_float(w, x, f32::from_le_bytes)),
        F16 => VecDot::Float(|w, x| dot_float(w, x, float::f16_to_f32)),
        BF16 => VecDot::Float(|w, x| dot_float(w, x, float::bf16_to_f32)),
        Q4_0 => VecDot::Q8(dot::<q4_0::Q4_0, 32, 18>),
        Q4_1 => VecDot::Q8(dot::<q4_1::Q4_1, 32, 20>),
        Q5_0 => VecDot::Q8(dot::<q5_0::Q5_0, 32, 22>),
        Q5_1 => VecDot::Q8(dot::<q5_1::Q5_1, 32, 24>),
        Q8_0 => VecDot::Q8(dot::<q8_0::Q8_0, 32, 34>),
        Q2_K => VecDot::Q8(dot::<q2_k::Q2_K, 256, 84>),
        Q3_K => VecDot::Q8(dot::<q3_k::Q3_K, 256, 110>),
        Q4_K => VecDot::Q8(dot::<q4_k::Q4_K, 256, 144>),
        Q5_K => VecDot::Q8(dot::<q5_k::Q5_K, 256, 176>),
        Q6_K => VecDot::Q8(dot::<q6_k::Q6_K, 256, 210>),
        IQ4_NL => VecDot::Q8(dot::<iq4_nl::IQ4_NL, 32, 18>),
    }
}

fn dot<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>(w: &[u8], x: Q8Row<'_>) -> f32 {
    let w = w.as_chunks::<BYTES>().0;
    let qs = x.qs.as_chunks::<LEN>().0;
    assert!(w.len() * LEN == x.qs.len() && x.d.len() * 32 == x.qs.len() && x.sums.len() * 16 == x.qs.len());
    let mut block = Unpacked::new();
    let mut acc = f32x8::ZERO;
    let mut offset = 0.0;
    for (b, (w, qs)) in w.iter().zip(qs).enumerate() {
        B::unpack(w, &mut block);
        let halves = block.q.as_chunks::<16>().0.iter().zip(qs.as_chunks::<16>().0);
        let mut sum = i32x8::ZERO;
        for (i, (q, x_q)) in halves.enumerate() {
            let sixteenth = b * LEN / 16 + i;
            let d = x.d[sixteenth / 2];
            let group = i * 16 / B::GROUP;
            sum += products(q, x_q);
            if B::HAS_MIN {
                offset += block.min[group] * d * f32::from(x.sums[sixteenth]);
            }
            if B::GROUP == 16 || i % 2 == 1 {
                acc = f32x8::from_i32x8(sum).mul_add(f32x8::splat(block.scale[group] * d), acc);
                sum = i32x8::ZERO;
            }
        }
    }
    acc.reduce_add() - offset
}

/// Eight sums of two products.
fn products(q: &[i8; 16], x: &[i8; 16]) -> i32x8 {
    i16x16::from_i8x16(i8x16::new(*q)).dot(i16x16::from_i8x16(i8x16::new(*x)))
}

fn quantize_q8(x: &[f32], qs: &mut [i8], d: &mut [f32], sums: &mut [i16]) {
    assert!(x.len() == qs.len() && x.len() == d.len() * Q8_BLOCK && x.len() == sums.len() * Q8_SUM);
    let blocks = x.as_chunks::<Q8_BLOCK>().0.iter().zip(qs.as_chunks_mut::<Q8_BLOCK>().0);
    for ((x, qs), d) in blocks.zip(d) {
        let id;
        (*d, id) = block_scale(x.iter().fold(0, |max, v| max.max(v.to_bits() & 0x7fff_ffff)));
        if id == 0.0 {
            *qs = [0; Q8_BLOCK];
            continue;
        }
        for (x, qs) in x.as_chunks().0.iter().zip(qs.as_chunks_mut::<8>().0) {
            let v = f32x8::new(*x) * f32x8::splat(id);
            // Half away from zero: truncate after adding the largest float below a half, with the sign of v.
            let half = f32x8::splat(0.5f32.next_down()) | (v & f32x8::splat(-0.0));
            *qs = (v + half).fast_trunc_int().to_array().map(|q| q as i8);
        }
    }
    for (qs, sum) in qs.as_chunks::<Q8_SUM>().0.iter().zip(sums) {
        *sum = qs.iter().map(|&q| i16::from(q)).sum();
    }
}

/// Σ w·x in 16 partial sums, the tail in one more.
fn dot_float<const N: usize>(w: &[u8], x: &[f32], load: impl Fn([u8; N]) -> f32) -> f32 {
    let w = w.as_chunks::<N>().0;
    assert_eq!(w.len(), x.len());
    let ((w, w_rest), (x, x_rest)) = (w.as_chunks::<8>(), x.as_chunks::<8>());
    let mut sums = [f32x8::ZERO; 2];
    for (i, (w, x)) in w.iter().zip(x).enumerate() {
        sums[i % 2] = f32x8::new(w.map(&load)).mul_add(f32x8::new(*x), sums[i % 2]);
    }
    let tail: f32 = w_rest.iter().zip(x_rest).map(|(&w, x)| load(w) * x).sum();
    (sums[0] + sums[1]).reduce_add() + tail
}

fn rms_norm(x: &[f32], w: &[f32], eps: f32, out: &mut [f32]) {
    assert!(x.len() == w.len() && x.len() == out.len());
    let scale = rms_scale(x, eps);
    let ((x, x_rest), (w, w_rest)) = (x.as_chunks::<8>(), w.as_chunks::<8>());
    let (out, out_rest) = out.as_chunks_mut::<8>();
    for ((out, x), w) in out.iter_mut().zip(x).zip(w) {
        *out = (f32x8::new(*x) * f32x8::splat(scale) * f32x8::new(*w)).to_array();
    }
    for ((out, x), w) in out_rest.iter_mut().zip(x_rest).zip(w_rest) {
        *out = x * scale * w;
    }
}

/// What RMS norm multiplies `x` by.
fn rms_scale(x: &[f32], eps: f32) -> f32 {
    let squares = sum_f64(x, |v| v * v);
    (1.0 / (squares / x.len() as f64 + f64::from(eps)).sqrt()) as f32
}

fn silu_mul(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len());
    let eight = |gate: [f32; 8], up: [f32; 8]| {
        let gate = f32x8::new(gate);
        (gate / (f32x8::ONE + (-gate).exp()) * f32x8::new(up)).to_array()
    };
    let ((gate, gate_rest), (up, up_rest)) = (gate.as_chunks_mut::<8>(), up.as_chunks::<8>());
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = eight(*gate, *up);
    }
    let last = eight(pad(gate_rest, 0.0), pad(up_rest, 0.0));
    gate_rest.copy_from_slice(&last[..gate_rest.len()]);
}

/// Σ f(x) in eight partial sums.
fn sum_f64(x: &[f32], f: impl Fn(f64) -> f64) -> f64 {
    let (eights, rest) = x.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for x in eights {
        for (sum, &v) in sums.iter_mut().zip(x) {
            *sum += f(f64::from(v));
        }
    }
    sums.into_iter().chain(rest.iter().map(|&v| f(f64::from(v)))).sum()
}

/// Up to eight values, filled up.
pub(crate) fn pad(x: &[f32], fill: f32) -> [f32; 8] {
    let mut padded = [fill; 8];
    padded[..x.len()].copy_from_slice(x);
    padded
}
