//! Products of a weight matrix with many tokens, in tiles.
//!
//! Weights are laid open once for all tokens: a chunk of K of some rows becomes a *panel*, integers of a byte (or
//! wider) interleaved so that one vector holds the same elements of several rows, which stays in the L2 cache. A
//! few tokens' activations for the same chunk are broadcast into vectors once, so that the inner loop reads them as
//! memory operands from the L1 cache. No copy of a weight outlives its tile.
//!
//! A result depends on its row and its token alone: neither the number of rows, tokens or threads that are
//! worked on together nor their places in a tile change a bit of it.

use crate::format::TensorType;
use crate::matmul::{Activations, OutTile};

/// Elements of K in a step of the inner loop.
pub(crate) const STEP: usize = 32;
/// Most rows of a group and tokens of a tile that a micro-kernel takes.
const MAX_ROWS: usize = 16;
const MAX_TOKENS: usize = 8;

/// What a SIMD register holds.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(32))]
pub(crate) struct Vector(pub [u8; 32]);

impl Vector {
    pub(crate) fn floats_mut(&mut self) -> &mut [f32; 8] {
        bytemuck::cast_mut(self)
    }

    pub(crate) fn floats_of(vectors: &mut [Vector]) -> &mut [f32] {
        bytemuck::cast_slice_mut(vectors)
    }
}

/// A micro-kernel with the layouts that it reads.
#[derive(Clone, Copy)]
pub struct Gemm {
    /// Elements of K in a chunk, a multiple of every block length. The input of a tile of tokens then fills about
    /// half of an L1 cache.
    pub(crate) chunk: usize,
    /// Rows of a group: the results of a token are `rows` floats.
    pub(crate) rows: usize,
    /// The most tokens of a tile.
    pub(crate) tokens: usize,
    /// Vectors that [`STEP`] elements take, of a group of rows and of a token.
    pub(crate) panel_step: usize,
    pub(crate) input_step: usize,
    /// Lays a chunk of a group's rows (`rows` slices of equal length) open.
    pub(crate) pack: fn(rows: &[&[u8]], panel: &mut [Vector]),
    /// Broadcasts `len` elements from `start` on of the tokens from `first` to the end of a tile of `n`.
    pub(crate) spread: fn(x: Activations<'_>, first: usize, n: usize, k: Chunk, input: &mut [Vector]),
    /// The products of the panels of so many groups, one after the other, and `n` tokens.
    ///
    /// # Safety
    /// `out` must lend the results of `groups · rows` rows and `n` tokens.
    pub(crate) multiply: unsafe fn(panel: &[Vector], groups: usize, input: &[Vector], n: usize, out: Out),
}

/// Where a micro-kernel puts its results.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    /// The results of the first token, one a row.
    pub first: *mut f32,
    /// From a token's to the next one's.
    pub stride: usize,
    /// Whether to add to what is there.
    pub add: bool,
}

/// A range of K.
#[derive(Clone, Copy)]
pub(crate) struct Chunk {
    /// Elements in all.
    pub k: usize,
    pub start: usize,
    pub len: usize,
}

/// Working memory of one thread, a few hundred kilobytes, grown at first use.
#[derive(Debug, Default)]
pub struct GemmScratch {
    panel: Vec<Vector>,
    input: Vec<Vector>,
}

impl Gemm {
    /// Fills `tile` with the products of its rows, `w`, and all tokens.
    pub(crate) fn matmul(
        &self,
        ty: TensorType,
        w: &[u8],
        k: usize,
        x: Activations<'_>,
        tile: &mut OutTile<'_>,
        scratch: &mut GemmScratch,
    ) {
        let n_rows = tile.rows().len();
        let row_bytes = w.len() / n_rows;
        let groups = n_rows.div_ceil(self.rows);
        let steps = self.chunk.min(k).div_ceil(STEP);
        grow(&mut scratch.panel, groups * steps * self.panel_step);
        grow(&mut scratch.input, steps * self.input_step * self.tokens);
        for start in (0..k).step_by(self.chunk) {
            let chunk = Chunk { k, start, len: self.chunk.min(k - start) };
            let steps = chunk.len.div_ceil(STEP);
            let bytes = [start, start + chunk.len].map(|k| k / ty.block_len() * ty.block_bytes());
            let panel_len = steps * self.panel_step;
            let panel = &mut scratch.panel[..groups * panel_len];
            for (g, panel) in panel.chunks_exact_mut(panel_len).enumerate() {
                // Rows beyond the last repeat it; their results are dropped.
                let rows: [&[u8]; MAX_ROWS] = std::array::from_fn(|r| {
                    let row = (g * self.rows + r).min(n_rows - 1) * row_bytes;
                    &w[row + bytes[0]..row + bytes[1]]
                });
                (self.pack)(&rows[..self.rows], panel);
            }
            let whole = n_rows / self.rows;
            let (whole_panel, rest_panel) = panel.split_at(whole * panel_len);
            let rest = whole * self.rows..n_rows;
            for first in (0..tile.n_tokens()).step_by(self.tokens) {
                let n = self.tokens.min(tile.n_tokens() - first);
                let input = &mut scratch.input[..steps * self.input_step * n];
                (self.spread)(x, first, n, chunk, input);
                if whole > 0 {
                    let out = Out { first: tile.column(first), stride: tile.stride(), add: start > 0 };
                    // SAFETY: the tile lends its rows of the tokens up to first + n.
                    unsafe { (self.multiply)(whole_panel, whole, input, n, out) };
                }
                if !rest.is_empty() {
                    let mut results = [0.0; MAX_ROWS * MAX_TOKENS];
                    let out = Out { first: results.as_mut_ptr(), stride: self.rows, add: false };
                    // SAFETY: `results` has room for the most tokens of the most rows.
                    unsafe { (self.multiply)(rest_panel, 1, input, n, out) };
                    for (t, results) in results.chunks_exact(self.rows).take(n).enumerate() {
                        for (out, result) in tile.token_mut(first + t)[rest.clone()].iter_mut().zip(results) {
                            *out = if start > 0 { *out + result } else { *result };
                        }
                    }
                }
            }
        }
    }
}

fn grow(buffer: &mut Vec<Vector>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, Vector([0; 32]));
    }
}
