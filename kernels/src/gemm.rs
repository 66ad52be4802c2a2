//! Products of a weight matrix with many tokens, in tiles.
//!
//! Weights are laid open once for all tokens: a chunk of K of some rows becomes a *panel*, integers of a byte (or
//! wider) interleaved so that one vector holds the same elements of several rows, which stays in the L2 cache. The
//! tokens' activations are broadcast into vectors once for all rows ([`Spread`]), so that the inner loop reads them as
//! memory operands, those of a few tokens and a chunk from the L1 cache. No copy of a weight outlives its tile.
//!
//! A result depends on its row and its token alone: neither the number of rows, tokens or threads that are
//! worked on together nor their places in a tile change a bit of it.

use crate::format::TensorType;
use crate::isa::Kernels;
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
    pub(crate) fn floats_of(vectors: &mut [Vector]) -> &mut [f32] {
        bytemuck::cast_slice_mut(vectors)
    }
}

/// The layouts of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes with one scale and one sum a step, or two.
    #[cfg(target_arch = "x86_64")]
    Bytes {
        subs: usize,
    },
    #[cfg(target_arch = "x86_64")]
    Words,
    Floats,
    /// Signed bytes of a token after another.
    #[cfg(target_arch = "aarch64")]
    Rows,
    /// Signed bytes of two tokens interleaved.
    #[cfg(target_arch = "aarch64")]
    Pairs,
}

/// Lays a chunk of a group's rows, slices of equal length, open.
pub(crate) type Pack = unsafe fn(rows: &[&[u8]], panel: &mut [Vector]);

/// Takes the products of the panels of so many groups, one after the other, and `n` tokens.
///
/// # Safety
/// `out` must lend the results of `groups · rows` rows and `n` tokens.
pub(crate) type Multiply = unsafe fn(panel: &[Vector], groups: usize, input: &[Vector], n: usize, out: Out);

/// A micro-kernel with the layouts that it reads. Its functions may need instructions of the set that it belongs to,
/// which [`all`](crate::all) hands out only where the processor has them.
#[derive(Clone, Copy)]
pub struct Gemm {
    pub(crate) kind: Kind,
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
    pub(crate) pack: Pack,
    /// Broadcasts a chunk of `n` tokens from `first` on.
    pub(crate) spread: unsafe fn(x: Activations<'_>, first: usize, n: usize, k: Chunk, input: &mut [Vector]),
    pub(crate) multiply: Multiply,
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

impl Chunk {
    fn steps(self) -> usize {
        self.len.div_ceil(STEP)
    }
}

/// Activations broadcast for the micro-kernel of a weight type: made once, read by every tile of rows and by every
/// matrix of a type with the same layout.
#[derive(Debug, Default)]
pub struct Spread {
    data: Vec<Vector>,
    /// Of the data, if there are any.
    layout: Option<Layout>,
}

/// What the data of a [`Spread`] depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    kind: Kind,
    k: usize,
    n_tokens: usize,
}

/// A part of a [`Spread`] to be filled: a few tokens of a chunk of K.
pub struct SpreadPart<'a> {
    chunk: Chunk,
    first: usize,
    n: usize,
    data: &'a mut [Vector],
}

impl Spread {
    /// Forgets the data: what they were made of has changed.
    pub fn clear(&mut self) {
        self.layout = None;
    }

    /// Makes room for `n_tokens` rows of `k` activations as `ty` reads them. The parts that are still to be filled, with
    /// [`Kernels::spread`](crate::Kernels::spread): none where the data are there, or `kernels` multiply without.
    pub fn parts(
        &mut self,
        kernels: &Kernels,
        ty: TensorType,
        k: usize,
        n_tokens: usize,
    ) -> Vec<SpreadPart<'_>> {
        let Some(gemm) = kernels.gemm.map(|gemm| gemm(ty)) else { return Vec::new() };
        let layout = Some(Layout { kind: gemm.kind, k, n_tokens });
        if self.layout == layout {
            return Vec::new();
        }
        self.layout = layout;
        let step = gemm.input_step;
        let len = k.div_ceil(STEP) * step * n_tokens;
        if self.data.len() < len {
            self.data.resize(len, Vector([0; 32]));
        }
        let mut rest = &mut self.data[..len];
        let mut parts = Vec::with_capacity(k.div_ceil(gemm.chunk) * n_tokens.div_ceil(gemm.tokens));
        for chunk in gemm.chunks(k) {
            for first in (0..n_tokens).step_by(gemm.tokens) {
                let n = gemm.tokens.min(n_tokens - first);
                let data;
                (data, rest) = rest.split_at_mut(chunk.steps() * step * n);
                parts.push(SpreadPart { chunk, first, n, data });
            }
        }
        parts
    }
}

impl SpreadPart<'_> {
    pub(crate) fn fill(&mut self, gemm: &Gemm, x: Activations<'_>) {
        // SAFETY: the set is there only if the processor has its instructions.
        unsafe { (gemm.spread)(x, self.first, self.n, self.chunk, self.data) };
    }
}

/// Working memory of one thread, a few hundred kilobytes, grown at first use.
#[derive(Debug, Default)]
pub struct Panel(Vec<Vector>);

impl Gemm {
    fn chunks(&self, k: usize) -> impl Iterator<Item = Chunk> + use<> {
        let len = self.chunk;
        (0..k).step_by(len).map(move |start| Chunk { k, start, len: len.min(k - start) })
    }

    /// Fills `tile` with the products of its rows, `w`, and all tokens.
    ///
    /// # Panics
    /// If `x` was not spread for such weights and as many tokens.
    pub(crate) fn matmul(
        &self,
        ty: TensorType,
        w: &[u8],
        k: usize,
        x: &Spread,
        tile: &mut OutTile<'_>,
        panel: &mut Panel,
    ) {
        let (n_rows, n_tokens) = (tile.rows().len(), tile.n_tokens());
        assert_eq!(
            x.layout,
            Some(Layout { kind: self.kind, k, n_tokens }),
            "activations spread for another matrix"
        );
        let row_bytes = w.len() / n_rows;
        let groups = n_rows.div_ceil(self.rows);
        // Rows in whole groups, and those of the last group if it is not.
        let whole = n_rows / self.rows;
        let rest = whole * self.rows..n_rows;
        let mut input = &x.data[..];
        for chunk in self.chunks(k) {
            let steps = chunk.steps();
            let panel_len = steps * self.panel_step;
            if panel.0.len() < groups * panel_len {
                panel.0.resize(groups * panel_len, Vector([0; 32]));
            }
            let panel = &mut panel.0[..groups * panel_len];
            let bytes = [chunk.start, chunk.start + chunk.len].map(|k| k / ty.block_len() * ty.block_bytes());
            for (g, panel) in panel.chunks_exact_mut(panel_len).enumerate() {
                // Rows beyond the last repeat it; their results are dropped.
                let mut rows: [&[u8]; MAX_ROWS] = [&[]; MAX_ROWS];
                let rows = &mut rows[..self.rows];
                for (r, row) in rows.iter_mut().enumerate() {
                    let start = (g * self.rows + r).min(n_rows - 1) * row_bytes;
                    *row = &w[start + bytes[0]..start + bytes[1]];
                    fetch(row.as_ptr().wrapping_add(self.rows * row_bytes), row.len());
                }
                // SAFETY: the set is there only if the processor has its instructions.
                unsafe { (self.pack)(rows, panel) };
            }
            let (whole_panel, rest_panel) = panel.split_at(whole * panel_len);
            let add = chunk.start > 0;
            for first in (0..n_tokens).step_by(self.tokens) {
                let n = self.tokens.min(n_tokens - first);
                let x;
                (x, input) = input.split_at(steps * self.input_step * n);
                if whole > 0 {
                    let out = Out { first: tile.column(first), stride: tile.stride(), add };
                    // SAFETY: the tile lends its rows of the tokens up to first + n.
                    unsafe { (self.multiply)(whole_panel, whole, x, n, out) };
                }
                if !rest.is_empty() {
                    let mut results = [0.0; MAX_ROWS * MAX_TOKENS];
                    for (t, results) in results.chunks_exact_mut(self.rows).take(n).enumerate() {
                        results[..rest.len()].copy_from_slice(&tile.token_mut(first + t)[rest.clone()]);
                    }
                    let out = Out { first: results.as_mut_ptr(), stride: self.rows, add };
                    // SAFETY: `results` has room for the most tokens of the most rows.
                    unsafe { (self.multiply)(rest_panel, 1, x, n, out) };
                    for (t, results) in results.chunks_exact(self.rows).take(n).enumerate() {
                        tile.token_mut(first + t)[rest.clone()].copy_from_slice(&results[..rest.len()]);
                    }
                }
            }
        }
    }
}

/// A float kernel's input: for every element of K, rounded up to whole steps, those of n tokens.
pub(crate) fn spread_floats(x: Activations<'_>, first: usize, n: usize, k: Chunk, input: &mut [Vector]) {
    let Activations::Float { x } = x else { panic!("float weights and the wrong kind of activations") };
    let input: &mut [f32] = Vector::floats_of(input);
    for t in 0..n {
        let x = &x[(first + t) * k.k + k.start..][..k.len];
        for (i, places) in input.chunks_exact_mut(n).enumerate() {
            places[t] = x.get(i).copied().unwrap_or(0.0);
        }
    }
}

/// Has `len` bytes from `at` on brought into the caches, as those of the next rows, which the processor does not
/// foresee; any address will do.
#[inline(always)]
pub(crate) fn fetch(at: *const u8, len: usize) {
    for line in (0..len + 63).step_by(64) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: part of every x86-64; nothing that the program sees is read.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(line).cast());
        }
        #[cfg(target_arch = "aarch64")]
        crate::arm::prefetch::<0>(at.wrapping_add(line));
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = (at, line);
    }
}
