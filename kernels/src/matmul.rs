//! Products of a weight matrix with one row of activations, a few or many.
//!
//! Each result is computed from its weight row and its token alone, so that neither the number of threads nor that of
//! tokens changes a bit of it, but for one step: [`Kernels::matvec`] and [`Kernels::matmul_few`] may add in another order
//! than [`Kernels::matmul`].

use std::marker::PhantomData;
use std::ops::Range;

use crate::format::TensorType;
use crate::gemm::{Chunk, Panel, Spread, SpreadPart};
use crate::isa::{Gemv, Kernels, VecDot};
use crate::q8::{FEW_TOKENS, Q8Buffer, Q8Row};
use crate::team::Team;

/// Bytes of activations that a block of tokens may take: half of a small L2 cache. Every weight row of a tile
/// is read once for a block.
const TOKEN_BLOCK_BYTES: usize = 128 << 10;

/// Bytes of weight rows that the products of a few tokens are taken of, if not all at once, before those of the next rows:
/// half of an L1 cache.
const FEW_BYTES: usize = 16 << 10;

/// The right-hand side of a product: rows of `k` activations, one a token.
#[derive(Clone, Copy)]
pub enum Activations<'a> {
    /// For F32, F16 and BF16 weights.
    Float {
        /// `n_tokens × k` values, token by token.
        x: &'a [f32],
    },
    /// For block-quantized weights ([`TensorType::is_quantized`]).
    Q8(&'a Q8Buffer),
}

impl<'a> Activations<'a> {
    /// Those of token `t`, restricted to the chunk.
    ///
    /// # Panics
    /// If they are floats.
    pub(crate) fn q8_row(self, t: usize, k: Chunk) -> Q8Row<'a> {
        let Activations::Q8(x) = self else { panic!("quantized weights and the wrong kind of activations") };
        x.row(t).range(k.start, k.len)
    }
}

/// The columns of a token-major output (`out[t * n_rows + r]`) that belong to a range of weight rows. Made by
/// [`tiles`] and [`Team::columns`], which lend each column to one tile only, so that threads can fill tiles side by side.
pub struct OutTile<'a> {
    /// The first element of the output.
    out: *mut f32,
    n_tokens: usize,
    n_rows: usize,
    rows: Range<usize>,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: a tile stands for exclusive borrows of the columns `rows`, disjoint from those of every other tile;
// exclusive borrows of f32 may be sent.
unsafe impl Send for OutTile<'_> {}
// SAFETY: a shared borrow of a tile gives out nothing of the output.
unsafe impl Sync for OutTile<'_> {}

/// Splits `out`, which holds `n_rows` results a token, into tiles of `tile_rows` weight rows; the last may be
/// smaller.
///
/// # Panics
/// If `n_rows` or `tile_rows` is 0 or `out` no multiple of `n_rows`.
pub fn tiles(out: &mut [f32], n_rows: usize, tile_rows: usize) -> Vec<OutTile<'_>> {
    assert!(n_rows > 0 && tile_rows > 0 && out.len().is_multiple_of(n_rows));
    let n_tokens = out.len() / n_rows;
    let out = out.as_mut_ptr();
    (0..n_rows)
        .step_by(tile_rows)
        .map(|start| OutTile {
            out,
            n_tokens,
            n_rows,
            rows: start..n_rows.min(start + tile_rows),
            lifetime: PhantomData,
        })
        .collect()
}

impl Team {
    /// As [`Team::run`] over the `n_rows` columns of outputs, with the tiles of each that a range stands for.
    ///
    /// # Panics
    /// As [`Team::run`]; if `n_rows` is 0 or an output no multiple of `n_rows`.
    pub fn columns<const N: usize>(
        &self,
        outs: [&mut [f32]; N],
        n_rows: usize,
        grain: usize,
        task: impl Fn([OutTile<'_>; N]) + Sync,
    ) {
        let whole = outs.map(|out| {
            assert!(n_rows > 0 && out.len().is_multiple_of(n_rows));
            let (n_tokens, out) = (out.len() / n_rows, out.as_mut_ptr());
            OutTile { out, n_tokens, n_rows, rows: 0..n_rows, lifetime: PhantomData }
        });
        self.run(n_rows, grain, &|rows| {
            // Of outputs that are borrowed until `run` returns, and `run` hands out ranges that do not overlap.
            task(whole.each_ref().map(|out| OutTile { rows: rows.clone(), ..*out }));
        });
    }
}

impl OutTile<'_> {
    /// The weight rows that the tile is for.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Tokens of the output.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The result of token `t` for the tile's first row; those of the others follow it, that of the next token lies
    /// [`OutTile::stride`] further.
    ///
    /// # Panics
    /// If `t` is no token of the output.
    pub(crate) fn column(&mut self, t: usize) -> *mut f32 {
        assert!(t < self.n_tokens);
        // SAFETY: as in `token_mut`; made of the output's own pointer, for the results of other tokens too.
        unsafe { self.out.add(t * self.n_rows + self.rows.start) }
    }

    pub(crate) fn stride(&self) -> usize {
        self.n_rows
    }

    /// The results of every token for some rows, counted from the tile's first.
    ///
    /// # Panics
    /// If the tile has not as many rows.
    fn columns(&mut self, rows: Range<usize>) -> impl Iterator<Item = &mut [f32]> {
        assert!(rows.start <= rows.end && rows.end <= self.rows.len());
        (0..self.n_tokens).map(move |t| {
            // SAFETY: within what was borrowed, as in `token_mut`; a token's results are lent once, and `&mut self`
            // is borrowed for as long.
            unsafe {
                let first = self.out.add(t * self.n_rows + self.rows.start + rows.start);
                std::slice::from_raw_parts_mut(first, rows.len())
            }
        })
    }

    /// The results of token `t` for the rows of the tile.
    ///
    /// # Panics
    /// If `t` is no token of the output.
    pub fn token_mut(&mut self, t: usize) -> &mut [f32] {
        assert!(t < self.n_tokens);
        // SAFETY: t < n_tokens and rows.end <= n_rows, so that the range lies within the n_tokens · n_rows
        // elements that were borrowed exclusively for the lifetime of the tile. No other tile has these
        // rows, and `&mut self` keeps this one from lending them twice.
        unsafe {
            let first = self.out.add(t * self.n_rows + self.rows.start);
            std::slice::from_raw_parts_mut(first, self.rows.len())
        }
    }
}

impl Kernels {
    /// Lays down the activations that `part` is for.
    ///
    /// # Panics
    /// If `x` is not of the kind that `ty` multiplies with, or of another shape than [`Spread::parts`] was told.
    pub fn spread(&self, ty: TensorType, x: Activations<'_>, part: &mut SpreadPart<'_>) {
        if let Some(gemm) = self.gemm {
            part.fill(&gemm(ty), x);
        }
    }

    /// Fills `tile` with the products of its weight rows and every token.
    ///
    /// `w` holds the tile's rows only, `tile.rows().len()` rows of `k` elements of type `ty`; `x` as many
    /// tokens as the tile, spread for `ty` in `spread`.
    ///
    /// # Panics
    /// If a shape does not fit, or `x` is not of the kind that `ty` multiplies with.
    pub fn matmul(
        &self,
        ty: TensorType,
        w: &[u8],
        k: usize,
        (x, spread): (Activations<'_>, &Spread),
        tile: &mut OutTile<'_>,
        panel: &mut Panel,
    ) {
        let n_tokens = tile.n_tokens;
        let row_bytes = check(ty, w, tile.rows.len(), k, x, n_tokens);
        if let Some(gemm) = self.gemm {
            return gemm(ty).matmul(ty, w, k, spread, tile, panel);
        }
        let token_bytes = if ty.is_quantized() { k + k / 4 } else { 4 * k };
        let block = (TOKEN_BLOCK_BYTES / token_bytes.max(1)).max(1);
        for start in (0..n_tokens).step_by(block) {
            for (r, w) in w.chunks_exact(row_bytes).enumerate() {
                for t in start..n_tokens.min(start + block) {
                    tile.token_mut(t)[r] = self.dot(ty, w, k, x, t);
                }
            }
        }
    }

    /// Fills `tile` as [`Kernels::matmul`] does, of at most [`FEW_TOKENS`] tokens, each as [`Kernels::matvec`] would, bit
    /// for bit. Weights are read once for all.
    ///
    /// # Panics
    /// As [`Kernels::matmul`]; if there are more tokens.
    pub fn matmul_few(&self, ty: TensorType, w: &[u8], k: usize, x: Activations<'_>, tile: &mut OutTile<'_>) {
        let n_tokens = tile.n_tokens;
        let row_bytes = check(ty, w, tile.rows.len(), k, x, n_tokens);
        assert!(n_tokens <= FEW_TOKENS, "{n_tokens} tokens are more than a few");
        let gemv = (self.gemv)(ty);
        let at_once = match gemv {
            Some(Gemv::Float(_)) => FEW_TOKENS,
            Some(Gemv::Q8(gemvs)) => gemvs.len(),
            None => 1,
        };
        let block = if n_tokens <= at_once { tile.rows.len() } else { (FEW_BYTES / row_bytes).max(1) };
        for (i, w) in w.chunks(block * row_bytes).enumerate() {
            let rows = i * block..i * block + w.len() / row_bytes;
            let mut columns = tile.columns(rows);
            let mut out: [&mut [f32]; FEW_TOKENS] =
                std::array::from_fn(|_| columns.next().unwrap_or_default());
            let out = &mut out[..n_tokens];
            match (gemv, x) {
                (Some(Gemv::Float(gemv)), Activations::Float { x }) => gemv(w, x, out),
                (Some(Gemv::Q8(gemvs)), Activations::Q8(x)) => {
                    for (i, out) in out.chunks_mut(at_once).enumerate() {
                        gemvs[out.len() - 1](w, x.few().from(i * at_once), out);
                    }
                }
                _ => {
                    for (r, w) in w.chunks_exact(row_bytes).enumerate() {
                        for (t, out) in out.iter_mut().enumerate() {
                            out[r] = self.dot(ty, w, k, x, t);
                        }
                    }
                }
            }
        }
    }

    /// The products of `out.len()` weight rows (in `w`, of `k` elements of type `ty`) and the one token of `x`.
    ///
    /// # Panics
    /// As [`Kernels::matmul`].
    pub fn matvec(&self, ty: TensorType, w: &[u8], k: usize, x: Activations<'_>, out: &mut [f32]) {
        let row_bytes = check(ty, w, out.len(), k, x, 1);
        match ((self.gemv)(ty), x) {
            (Some(Gemv::Float(gemv)), Activations::Float { x }) => gemv(w, x, &mut [out]),
            (Some(Gemv::Q8([gemv, ..])), Activations::Q8(x)) => gemv(w, x.few(), &mut [out]),
            _ => {
                for (out, w) in out.iter_mut().zip(w.chunks_exact(row_bytes)) {
                    *out = self.dot(ty, w, k, x, 0);
                }
            }
        }
    }

    fn dot(&self, ty: TensorType, w: &[u8], k: usize, x: Activations<'_>, t: usize) -> f32 {
        match ((self.vec_dot)(ty), x) {
            (VecDot::Float(dot), Activations::Float { x }) => dot(w, &x[t * k..(t + 1) * k]),
            (VecDot::Q8(dot), Activations::Q8(x)) => dot(w, x.row(t)),
            _ => panic!("{ty} weights and the wrong kind of activations"),
        }
    }
}

/// Panics unless the shapes fit; returns the bytes of a weight row.
fn check(ty: TensorType, w: &[u8], n_rows: usize, k: usize, x: Activations<'_>, n_tokens: usize) -> usize {
    let row_bytes = ty.bytes_for(k).filter(|&b| b > 0);
    let row_bytes = row_bytes.unwrap_or_else(|| panic!("a row of {k} elements of {ty}"));
    assert_eq!(w.len(), n_rows * row_bytes, "weight bytes of {n_rows} rows of {k} elements of {ty}");
    match x {
        Activations::Float { x } => assert_eq!(x.len(), n_tokens * k, "{n_tokens} tokens of {k} activations"),
        Activations::Q8(x) => assert_eq!((x.rows(), x.k()), (n_tokens, k), "tokens, activations a token"),
    }
    row_bytes
}
