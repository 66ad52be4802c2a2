//! Attention, with `wide`.

use wide::f32x8;

use crate::attention::{AttentionKernels, Rows, RowsMut};
use crate::format::TensorType::{self, F16, F32};
use crate::format::float;
use crate::kv::PANEL;
use crate::scalar::attention::{decode_keys, decode_values, scale_rotate};

pub(super) const KERNELS: AttentionKernels =
    AttentionKernels { multiply, decode_keys, decode_values, softmax, norm_rotate };

fn multiply(ty: TensorType, b: &[u8], n: usize, a: Rows<'_>, out: RowsMut<'_>) {
    match ty {
        F32 => multiply_rows(b, n, a, out, f32::from_le_bytes),
        F16 => multiply_rows(b, n, a, out, float::f16_to_f32),
        _ => panic!("panels of {ty} are decoded before they are multiplied"),
    }
}

fn multiply_rows<const N: usize>(
    b: &[u8],
    n: usize,
    a: Rows<'_>,
    out: RowsMut<'_>,
    load: impl Fn([u8; N]) -> f32,
) {
    let b = b.as_chunks::<N>().0.as_chunks::<8>().0.as_chunks::<{ PANEL / 8 }>().0;
    for r in 0..n {
        let a = &a.data[r * a.stride..][..b.len()];
        let out = out.data[r * out.stride..][..PANEL].as_chunks_mut::<8>().0;
        let mut sums: [f32x8; PANEL / 8] = std::array::from_fn(|c| f32x8::new(out[c]));
        for (a, b) in a.iter().zip(b) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = f32x8::new(b.map(&load)).mul_add(f32x8::splat(*a), *sum);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum.to_array();
        }
    }
}

fn softmax(scores: &mut [f32], max: &mut f32, sum: &mut f32) -> f32 {
    let new_max = scores.iter().fold(*max, |max, &s| if s > max { s } else { max });
    let exp = |x: [f32; 8]| (f32x8::new(x) - f32x8::splat(new_max)).exp();
    let shrink = if new_max > *max { (*max - new_max).exp() } else { 1.0 };
    *max = new_max;
    let mut added = f32x8::ZERO;
    let (eights, rest) = scores.as_chunks_mut::<8>();
    for x in eights {
        let e = exp(*x);
        *x = e.to_array();
        added += e;
    }
    if !rest.is_empty() {
        let last = exp(super::pad(rest, f32::NEG_INFINITY)).to_array();
        rest.copy_from_slice(&last[..rest.len()]);
        added += f32x8::new(super::pad(rest, 0.0));
    }
    *sum = *sum * shrink + added.reduce_add();
    shrink
}

fn norm_rotate(head: &mut [f32], w: &[f32], eps: f32, cos: &[f32], sin: &[f32], scale: f32) {
    let norm = super::rms_scale(head, eps) * scale;
    scale_rotate(head, w, norm, cos, sin);
}
