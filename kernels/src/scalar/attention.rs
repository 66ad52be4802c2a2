//! Attention, plainly.

use crate::attention::{AttentionKernels, Rows, RowsMut};
use crate::format::{self, TensorType};
use crate::kv::{PANEL, Q8_KEYS};

pub(super) const KERNELS: AttentionKernels =
    AttentionKernels { multiply, decode_keys, decode_values, softmax, norm_rotate };

fn multiply(ty: TensorType, b: &[u8], n: usize, a: Rows<'_>, out: RowsMut<'_>) {
    let mut row = [0.0; PANEL];
    for (i, b) in b.chunks_exact(PANEL * ty.block_bytes()).enumerate() {
        format::decode(ty, b, &mut row);
        for r in 0..n {
            let a = a.data[r * a.stride + i];
            for (out, b) in out.data[r * out.stride..][..PANEL].iter_mut().zip(&row) {
                *out += a * b;
            }
        }
    }
}

pub(crate) fn decode_keys(ty: TensorType, panel: &[u8], out: &mut [f32]) {
    if ty != TensorType::Q8_0 {
        return format::decode(ty, panel, out);
    }
    for (group, out) in panel.chunks_exact(Q8_KEYS).zip(out.chunks_exact_mut(PANEL * PANEL)) {
        let (scales, rows) = group.split_at(2 * PANEL);
        let mut d = [0.0; PANEL];
        format::decode(TensorType::F16, scales, &mut d);
        for (q, out) in rows.chunks_exact(PANEL).zip(out.chunks_exact_mut(PANEL)) {
            for ((out, q), d) in out.iter_mut().zip(q).zip(d) {
                *out = f32::from(*q as i8) * d;
            }
        }
    }
}

pub(crate) fn decode_values(ty: TensorType, panel: &[u8], out: &mut [f32]) {
    format::decode(ty, panel, out);
}

fn softmax(scores: &mut [f32], max: &mut f32, sum: &mut f32) -> f32 {
    let new_max = scores.iter().fold(*max, |max, &s| max.max(s));
    let shrink = if new_max > *max { (*max - new_max).exp() } else { 1.0 };
    *max = new_max;
    let mut added = 0.0;
    for s in scores {
        *s = (*s - new_max).exp();
        added += *s;
    }
    *sum = *sum * shrink + added;
    shrink
}

fn norm_rotate(head: &mut [f32], w: &[f32], eps: f32, cos: &[f32], sin: &[f32], scale: f32) {
    let norm = super::rms_scale(head, eps) * scale;
    scale_rotate(head, w, norm, cos, sin);
}

/// `head · norm · w`, turned.
pub(crate) fn scale_rotate(head: &mut [f32], w: &[f32], norm: f32, cos: &[f32], sin: &[f32]) {
    assert!(head.len() == w.len() && cos.len() == sin.len());
    for (x, w) in head.iter_mut().zip(w) {
        *x = *x * norm * w;
    }
    let (low, high) = head[..2 * cos.len()].split_at_mut(cos.len());
    for (((a, b), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}
