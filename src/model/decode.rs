//! What differs for one token, and for a few where a matrix and another one have as many rows: matrices that read the same input share a task list of the [`Team`], as every list
//! costs a barrier.

use super::Model;
use super::forward::Input;
use super::weights::{Matrix, Mlp};
use brooklet_kernels::{OutTile, Team};
use std::ops::Range;

/// Bytes of weights that are worth a task of their own: some 1 µs.
const TASK_BYTES: usize = 16 << 10;
/// Tasks are multiples of so many rows, so that each writes cache lines of its own, and those of a few tokens are whole for
/// kernels that take sixteen rows at a time.
const ROW_GROUP: usize = 16;
/// Rows of gate and up that are multiplied in turns. Each turn takes the processor by surprise, which had read ahead where
/// the other one goes on: with turns of 64 rows it generated a tenth slower.
const GATE_ROWS: usize = 512;

impl Model {
    /// The products of the matrices, one after the other in `out`, with one token.
    pub(super) fn matvecs(&self, ws: &[&Matrix], x: &Input<'_>, out: &mut [f32], team: &Team) {
        debug_assert_eq!(out.len(), ws.iter().map(|w| w.rows).sum::<usize>());
        team.fill(out, task_rows(ws[0].row_bytes()), |range, mut out| {
            let mut first = 0;
            for w in ws {
                let rows = range.start.max(first)..range.end.min(first + w.rows);
                if !rows.is_empty() {
                    let (part, rest) = out.split_at_mut(rows.len());
                    self.matvec(w, rows.start - first..rows.end - first, x, part);
                    out = rest;
                }
                first += w.rows;
            }
        });
    }

    /// `out = silu(W_gate x) ⊙ W_up x` for one token.
    pub(super) fn gate_up(&self, w: &Mlp, x: &Input<'_>, out: &mut [f32], team: &Team) {
        let grain = task_rows(w.gate.row_bytes() + w.up.row_bytes());
        team.fill(out, grain, |range, out| {
            let mut up = [0.0; GATE_ROWS];
            for (start, gate) in range.step_by(GATE_ROWS).zip(out.chunks_mut(GATE_ROWS)) {
                let (rows, up) = (start..start + gate.len(), &mut up[..gate.len()]);
                self.matvec(&w.gate, rows.clone(), x, gate);
                self.matvec(&w.up, rows, x, up);
                (self.kernels.silu_mul)(gate, up);
            }
        });
    }

    /// `out = x · Wᵀ` for a few tokens.
    pub(super) fn matmul_few(&self, w: &Matrix, x: &Input<'_>, out: &mut [f32], team: &Team) {
        team.columns([out], w.rows, task_rows(w.row_bytes()), |[mut tile]| self.tile_of_few(w, x, &mut tile));
    }

    /// `gate = silu(W_gate x) ⊙ W_up x` for a few tokens, with `up` for what the second product is.
    pub(super) fn gate_up_few(&self, w: &Mlp, x: &Input<'_>, gate: &mut [f32], up: &mut [f32], team: &Team) {
        let grain = task_rows(w.gate.row_bytes() + w.up.row_bytes());
        team.columns([gate, up], w.gate.rows, grain, |[mut gate, mut up]| {
            self.tile_of_few(&w.gate, x, &mut gate);
            self.tile_of_few(&w.up, x, &mut up);
            for t in 0..gate.n_tokens() {
                (self.kernels.silu_mul)(gate.token_mut(t), up.token_mut(t));
            }
        });
    }

    fn tile_of_few(&self, w: &Matrix, x: &Input<'_>, tile: &mut OutTile<'_>) {
        let (bytes, rows) = (w.row_bytes(), tile.rows());
        let data = &w.data(&self.files)[rows.start * bytes..rows.end * bytes];
        self.kernels.matmul_few(w.ty, data, w.cols, x.activations(w), tile);
    }

    fn matvec(&self, w: &Matrix, rows: Range<usize>, x: &Input<'_>, out: &mut [f32]) {
        let bytes = w.row_bytes();
        let data = &w.data(&self.files)[rows.start * bytes..rows.end * bytes];
        self.kernels.matvec(w.ty, data, w.cols, x.activations(w), out);
    }
}

fn task_rows(row_bytes: usize) -> usize {
    TASK_BYTES.div_ceil(row_bytes).next_multiple_of(ROW_GROUP)
}
