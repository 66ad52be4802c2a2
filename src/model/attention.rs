//! Grouped-query attention over keys and values as they are stored.

use super::state::KvLayer;
use brooklet_kernels::{Kernels, VecDot};

/// Keys taken together by the online softmax.
const KEY_BLOCK: usize = 64;

/// What a query head group needs to know of its layer.
pub struct Heads<'a> {
    pub kernels: &'a Kernels,
    pub kv: &'a KvLayer,
    pub head_dim: usize,
    pub sliding_window: Option<usize>,
}

impl Heads<'_> {
    /// One key/value head and the query heads that share it, at position `pos`: `q` and `out` are
    /// `group × head_dim`, `q` already scaled by 1/√head_dim.
    ///
    /// Keys are taken in blocks at fixed positions, with a running maximum and sum (online softmax), so
    /// the result depends on the position alone, not on how the prompt was split.
    pub fn attend(&self, pos: usize, kv_head: usize, q: &[f32], out: &mut [f32]) {
        let d = self.head_dim;
        let ty = self.kv.ty;
        let bytes = d * ty.block_bytes();
        let VecDot::Float(dot) = (self.kernels.vec_dot)(ty) else {
            unreachable!("keys are stored as floats: Session::new refuses other types")
        };
        let row = |j: usize| {
            let start = j * self.kv.row_bytes + kv_head * bytes;
            start..start + bytes
        };
        let first = self.sliding_window.map_or(0, |w| (pos + 1).saturating_sub(w));
        for (q, out) in q.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
            let (mut max, mut sum) = (f32::NEG_INFINITY, 0.0);
            let mut scores = [0f32; KEY_BLOCK];
            out.fill(0.0);
            let mut start = first;
            while start <= pos {
                let end = (start / KEY_BLOCK * KEY_BLOCK + KEY_BLOCK).min(pos + 1);
                let scores = &mut scores[..end - start];
                for (s, j) in scores.iter_mut().zip(start..) {
                    *s = dot(&self.kv.k[row(j)], q);
                }
                let block_max = scores.iter().copied().fold(max, f32::max);
                if block_max > max {
                    let shrink = (max - block_max).exp();
                    sum *= shrink;
                    out.iter_mut().for_each(|o| *o *= shrink);
                    max = block_max;
                }
                for (s, j) in scores.iter().zip(start..) {
                    let p = (s - max).exp();
                    sum += p;
                    (self.kernels.axpy)(ty, p, &self.kv.v[row(j)], out);
                }
                start = end;
            }
            out.iter_mut().for_each(|o| *o /= sum);
        }
    }
}
