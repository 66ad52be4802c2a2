//! Products of a weight matrix with many tokens, in tiles.
//!
//! Weights are laid open once for all tokens: a chunk of K of some rows becomes a *panel*, integers of a byte (or
//! wider) interleaved so that one vector holds the same elements of several rows, which stays in the L2 cache. The
//! tokens' activations are laid down once for all rows ([`Spread`]) as the inner loop reads them, those of a few tokens
//! and a chunk from the L1 cache. No copy of a weight outlives its tile.
//!
//! A result depends on its row and its token alone: neither the number of rows, tokens or threads that are
//! worked on together nor their places in a tile change a bit of it.

use crate::format::TensorType;
use crate::isa::Kernels;
use crate::matmul::{Activations, OutTile};
use crate::q8::Q8Row;

/// Elements of K in a step of the inner loop.
pub(crate) const STEP: usize = 32;
/// Most rows of a panel and tokens of a tile that a micro-kernel takes; the tokens are those of AMX.
const MAX_ROWS: usize = 16;
const MAX_TOKENS: usize = 192;

/// What a SIMD register holds.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(32))]
pub(crate) struct Vector(pub [u8; 32]);

impl Vector {
    pub(crate) fn floats_of(vectors: &mut [Vector]) -> &mut [f32] {
        bytemuck::cast_slice_mut(vectors)
    }
}

/// Vectors that begin with a cache line.
#[derive(Debug, Default)]
struct Vectors(Vec<Line>);

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([Vector; 2]);

impl Vectors {
    /// The first so many, as they were left.
    fn first(&mut self, n: usize) -> &mut [Vector] {
        let lines = n.div_ceil(2);
        if self.0.len() < lines {
            self.0.resize(lines, bytemuck::Zeroable::zeroed());
        }
        &mut bytemuck::cast_slice_mut(&mut self.0)[..n]
    }

    fn all(&self) -> &[Vector] {
        bytemuck::cast_slice(&self.0)
    }
}

/// The layouts of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Signed integers of 16 bits of a token after another, and its factors.
    #[cfg(target_arch = "x86_64")]
    Words,
    Floats,
    /// Signed bytes of a token after another, and its factors: [`put_token`]. x86 has the negative sums behind these.
    Rows,
    /// Signed bytes of two tokens interleaved.
    #[cfg(target_arch = "aarch64")]
    Pairs,
    /// Integers of 16 bits of a token after another, high bytes and low bytes apart, with a scale a chunk.
    #[cfg(target_arch = "x86_64")]
    Fixed,
}

/// Lays a chunk of a panel's rows, slices of equal length, open.
pub(crate) type Pack = unsafe fn(rows: &[&[u8]], panel: &mut [Vector]);

/// Takes the products of panels and tokens, and meanwhile has what [`Ahead`] allows fetched.
///
/// # Safety
/// `out` must lend the results of the rows of so many panels and `n` tokens.
pub(crate) type Multiply = unsafe fn(Operands<'_>);

/// What a micro-kernel multiplies, and where it puts the results.
pub(crate) struct Operands<'a> {
    /// One after the other.
    pub panels: &'a [Vector],
    pub n_panels: usize,
    /// Of `n` tokens.
    pub input: &'a [Vector],
    pub n: usize,
    pub out: Out,
    pub ahead: &'a mut Ahead,
}

/// A micro-kernel with the layouts that it reads. Its functions may need instructions of the set that it belongs to,
/// which [`all`](crate::all) hands out only where the processor has them.
#[derive(Clone, Copy)]
pub struct Gemm {
    pub(crate) kind: Kind,
    /// Elements of K in a chunk, a multiple of every block length. The input of a tile of tokens then fills a third
    /// to a half of an L1 cache; where a tile is taken a few tokens after others, that of these and a panel or two.
    pub(crate) chunk: usize,
    /// Rows of a panel.
    pub(crate) rows: usize,
    /// The most tokens of a tile.
    pub(crate) tokens: usize,
    /// Vectors that [`STEP`] elements take, of a panel and of a token.
    pub(crate) panel_step: usize,
    pub(crate) input_step: usize,
    /// Vectors of a chunk besides its steps, of a panel and of a token.
    pub(crate) panel_rest: usize,
    pub(crate) input_rest: usize,
    /// Lays a chunk of a panel's rows (`rows` slices of equal length) open.
    pub(crate) pack: Pack,
    /// Where what `pack` makes is not yet what `multiply` reads.
    pub(crate) fixed: Option<Fixed>,
    /// Lays a chunk of `n` tokens from `first` on down.
    pub(crate) spread: unsafe fn(x: Activations<'_>, first: usize, n: usize, k: Chunk, input: &mut [Vector]),
    pub(crate) multiply: Multiply,
}

/// Brings weights that were laid open to one scale a row and chunk.
#[derive(Clone, Copy)]
pub(crate) struct Fixed {
    /// Vectors that [`STEP`] elements of weights laid open take.
    pub open_step: usize,
    /// Fills a panel from those of a chunk.
    pub bring: unsafe fn(open: &[Vector], panel: &mut [Vector]),
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

/// Weights that are wanted next, a chunk of some rows. They are fetched into the L2 cache in small shares, between products: of
/// many lines at once a processor has no more than some tens on their way, and waits before it takes the others.
pub(crate) struct Ahead {
    /// The next line of a row.
    at: *const u8,
    /// Lines that are left of the row, and of every one behind it.
    lines: usize,
    lines_a_row: usize,
    rows: usize,
    /// From a row's first line to the next one's.
    row_bytes: usize,
    /// Lines for the products that are taken now, and for a part of them.
    budget: usize,
    share: usize,
}

impl Ahead {
    /// `bytes` of each of so many rows from `first` on; any address will do. One line more than they fill, as they may begin in the
    /// middle of one.
    fn new(first: *const u8, bytes: usize, rows: usize, row_bytes: usize) -> Ahead {
        let lines_a_row = (bytes + 63).div_ceil(64);
        Ahead { at: first, lines: lines_a_row, lines_a_row, rows, row_bytes, budget: 0, share: 0 }
    }

    /// Allows as much of what is left as `n` tokens are of so many.
    fn allow(&mut self, n: usize, tokens: usize) {
        let left = match self.rows {
            0 => 0,
            rows => (rows - 1) * self.lines_a_row + self.lines,
        };
        self.budget = (left * n).div_ceil(tokens);
    }

    /// Shares what is allowed out between so many calls of [`Ahead::fetch`].
    #[inline(always)]
    pub(crate) fn share_out(&mut self, parts: usize) {
        self.share = self.budget.div_ceil(parts);
    }

    /// Has the next share fetched.
    #[inline(always)]
    pub(crate) fn fetch(&mut self) {
        let share = self.share.min(self.budget);
        self.budget -= share;
        for _ in 0..share {
            if self.rows == 0 {
                return;
            }
            fetch(self.at, 1);
            self.at = self.at.wrapping_add(64);
            self.lines -= 1;
            if self.lines == 0 {
                self.at = self.at.wrapping_add(self.row_bytes).wrapping_sub(64 * self.lines_a_row);
                self.lines = self.lines_a_row;
                self.rows -= 1;
            }
        }
    }

    /// Has the next `n` rows fetched; to be called at the beginning of one.
    fn fetch_rows(&mut self, n: usize) {
        let lines = n.min(self.rows) * self.lines_a_row;
        (self.budget, self.share) = (lines, lines);
        self.fetch();
    }
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

/// Activations laid down for the micro-kernel of a weight type: made once, read by every tile of rows and by every
/// matrix of a type with the same layout.
#[derive(Debug, Default)]
pub struct Spread {
    data: Vectors,
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
        let len = gemm.chunks(k).map(|chunk| gemm.input_len(chunk)).sum::<usize>();
        let mut rest = self.data.first(len * n_tokens);
        let mut parts = Vec::with_capacity(k.div_ceil(gemm.chunk) * n_tokens.div_ceil(gemm.tokens));
        for chunk in gemm.chunks(k) {
            for (first, n) in gemm.tiles(n_tokens) {
                let data;
                (data, rest) = rest.split_at_mut(gemm.input_len(chunk) * n);
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
pub struct Panel(Vectors);

impl Gemm {
    fn chunks(&self, k: usize) -> impl Iterator<Item = Chunk> + use<> {
        let len = self.chunk;
        (0..k).step_by(len).map(move |start| Chunk { k, start, len: len.min(k - start) })
    }

    /// Vectors of a chunk of a token.
    fn input_len(&self, chunk: Chunk) -> usize {
        chunk.steps() * self.input_step + self.input_rest
    }

    /// The tokens of each tile.
    fn tiles(&self, n_tokens: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        even_parts(n_tokens, self.tokens)
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
        assert!(self.rows <= MAX_ROWS && self.tokens <= MAX_TOKENS);
        let n_panels = n_rows.div_ceil(self.rows);
        // Rows in whole panels, and those of the last panel if it is not.
        let whole = n_rows / self.rows;
        let rest = whole * self.rows..n_rows;
        let mut input = x.data.all();
        let mut results = [0.0; MAX_ROWS * MAX_TOKENS];
        for chunk in self.chunks(k) {
            let steps = chunk.steps();
            let panel_len = steps * self.panel_step + self.panel_rest;
            let open_len = self.fixed.map_or(0, |fixed| steps * fixed.open_step);
            let (panels, open) =
                panel.0.first(n_panels * panel_len + open_len).split_at_mut(n_panels * panel_len);
            let bytes = [chunk.start, chunk.start + chunk.len].map(|k| k / ty.block_len() * ty.block_bytes());
            // What comes next, these rows' next chunk or the first one of those behind them.
            let next = if chunk.start + chunk.len < k { bytes[1] } else { w.len() };
            let mut ahead = Ahead::new(w.as_ptr().wrapping_add(next), bytes[1] - bytes[0], n_rows, row_bytes);
            for (p, panel) in panels.chunks_exact_mut(panel_len).enumerate() {
                // Rows beyond the last repeat it; their results are dropped.
                let mut rows: [&[u8]; MAX_ROWS] = [&[]; MAX_ROWS];
                let rows = &mut rows[..self.rows];
                for (r, row) in rows.iter_mut().enumerate() {
                    let start = (p * self.rows + r).min(n_rows - 1) * row_bytes;
                    *row = &w[start + bytes[0]..start + bytes[1]];
                }
                // SAFETY: the set is there only if the processor has its instructions.
                unsafe {
                    match self.fixed {
                        None => (self.pack)(rows, panel),
                        Some(Fixed { bring, .. }) => {
                            (self.pack)(rows, open);
                            // In one go, since what follows takes as long as memory does.
                            ahead.fetch_rows(self.rows);
                            bring(open, panel);
                        }
                    }
                }
            }
            let (whole_panels, rest_panels) = panels.split_at(whole * panel_len);
            let add = chunk.start > 0;
            for (first, n) in self.tiles(n_tokens) {
                let x;
                (x, input) = input.split_at(self.input_len(chunk) * n);
                ahead.allow(n, n_tokens - first);
                if whole > 0 {
                    let out = Out { first: tile.column(first), stride: tile.stride(), add };
                    // SAFETY: the tile lends its rows of the tokens up to first + n.
                    unsafe {
                        (self.multiply)(Operands {
                            panels: whole_panels,
                            n_panels: whole,
                            input: x,
                            n,
                            out,
                            ahead: &mut ahead,
                        });
                    }
                }
                if !rest.is_empty() {
                    for (t, results) in results.chunks_exact_mut(self.rows).take(n).enumerate() {
                        results[..rest.len()].copy_from_slice(&tile.token_mut(first + t)[rest.clone()]);
                    }
                    let out = Out { first: results.as_mut_ptr(), stride: self.rows, add };
                    // SAFETY: `results` has room for the most tokens of the most rows.
                    unsafe {
                        (self.multiply)(Operands {
                            panels: rest_panels,
                            n_panels: 1,
                            input: x,
                            n,
                            out,
                            ahead: &mut ahead,
                        });
                    }
                    for (t, results) in results.chunks_exact(self.rows).take(n).enumerate() {
                        tile.token_mut(first + t)[rest.clone()].copy_from_slice(&results[..rest.len()]);
                    }
                }
            }
        }
    }
}

/// The first and the number of tokens in each tile of `n`, with at most so many: as few tiles as there have to be, and about as
/// many tokens in each, since few keep a micro-kernel waiting for its own sums.
pub(crate) fn even_parts(n: usize, most: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
    let parts = n.div_ceil(most);
    (0..parts).map(move |i| {
        let [first, end] = [i, i + 1].map(|i| i * n / parts);
        (first, end - first)
    })
}

/// Vectors of a step of a token's input of [`Kind::Rows`]: its 32 activations and its [`Factors`].
pub(crate) const ROW_INPUT: usize = 2;

/// What a token's products and offsets are multiplied by in a step: the scale, and the scale times the sums of all
/// activations, of the first half and of the second.
pub(crate) type Factors = [f32; 4];

/// A token's activations and factors in step `s`.
#[inline(always)]
pub(crate) fn token(x: Q8Row<'_>, s: usize) -> (&[i8; STEP], Factors) {
    let (d, sums) = (x.d[s], x.sums.as_chunks::<2>().0[s]);
    let [all, first, second] = [sums[0] + sums[1], sums[0], sums[1]].map(|sum| d * f32::from(sum));
    (&x.qs.as_chunks().0[s], [d, all, first, second])
}

/// Lays a token's activations and factors down as they are.
#[inline(always)]
pub(crate) fn put_token((qs, factors): (&[i8; STEP], Factors), input: &mut [Vector]) {
    input[0].0 = qs.map(|q| q as u8);
    Vector::floats_of(&mut input[1..2])[..4].copy_from_slice(&factors);
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

/// Has `len` bytes from `at` on brought into the L2 cache, as those of weights that the processor does not foresee; any
/// address will do.
#[inline(always)]
pub(crate) fn fetch(at: *const u8, len: usize) {
    for line in (0..len + 63).step_by(64) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: part of every x86-64; nothing that the program sees is read.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(line).cast());
        }
        #[cfg(target_arch = "aarch64")]
        crate::arm::prefetch_l2(at.wrapping_add(line));
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = (at, line);
    }
}
