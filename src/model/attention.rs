//! Grouped-query attention over keys and values as they are stored.
//!
//! Keys are taken in blocks with an online softmax: a running maximum, the sum of the exponentials less it, and the
//! values' sum so weighted. A long context is cut into pieces, each with a softmax of its own, that are put together
//! in order. Blocks and pieces begin at fixed positions, and the kernels treat every query by itself, so that a
//! result depends on a query's position and past alone: not on the queries beside it, nor on the threads.

use super::kv::{KvLayer, PIECE};
use super::workers::Workers;
use brooklet_kernels::{
    KEY_BLOCK, Kernels, KvLayout, OutTile, PANEL, Rows, RowsMut, Team, TensorType, tiles,
};
use std::ops::Range;

/// Queries that go over the keys together in prefill: enough to make up for the conversion of a block to floats, and
/// few enough for their scores to stay in the second-level cache.
const TILE_ROWS: usize = 128;
/// Queries up to which keys and values are rather converted for each few of them than stored as floats in between.
const DIRECT_ROWS: usize = 6;
/// Rows of a panel converted to floats at once.
const PANEL_ROWS: usize = 64;

/// Floats of a partial result a query: the weighted sum of values, the maximum and the sum of weights.
pub fn partial_len(head_dim: usize) -> usize {
    head_dim.next_multiple_of(PANEL) + 2
}

/// Floats of all partial results of one token that sees `context` positions.
pub fn partials_len(num_heads: usize, head_dim: usize, context: usize) -> usize {
    context.div_ceil(PIECE) * num_heads * partial_len(head_dim)
}

/// A layer's attention.
pub struct Attend<'a> {
    pub kernels: &'a Kernels,
    pub kv: &'a KvLayer,
    /// Query heads a key/value head.
    pub group: usize,
    pub sliding_window: Option<usize>,
}

impl Attend<'_> {
    /// `out = softmax(q·k) v` for tokens at positions `first..`; `q` and `out` are `n × num_heads·head_dim`, `q` scaled
    /// by 1/√head_dim. `partials` is room for [`partials_len`] floats.
    pub fn attend(
        &self,
        first: usize,
        q: &[f32],
        out: &mut [f32],
        partials: &mut [f32],
        workers: Workers<'_>,
    ) {
        let row = self.kv.num_kv_heads() * self.group * self.layout().head_dim();
        match workers {
            Workers::Team(team) if out.len() == row => self.decode(first, q, out, partials, team),
            _ => self.prefill(first, q, out, row, workers),
        }
    }

    /// One token: every head and piece is a task.
    fn decode(&self, pos: usize, q: &[f32], out: &mut [f32], partials: &mut [f32], team: &Team) {
        let d = self.layout().head_dim();
        let num_kv_heads = self.kv.num_kv_heads();
        let pieces = self.pieces(pos, pos);
        let task = self.group * partial_len(d);
        let partials = &mut partials[..pieces.len() * num_kv_heads * task];
        team.fill(partials, task, |range, partials| {
            for (i, partial) in (range.start / task..).zip(partials.chunks_exact_mut(task)) {
                let (piece, head) = (pieces.start + i / num_kv_heads, i % num_kv_heads);
                let q = &q[head * self.group * d..][..self.group * d];
                self.piece(piece, head, pos, q, partial);
            }
        });
        let (total, rest) = partials.split_at_mut(num_kv_heads * task);
        for piece in rest.chunks_exact(num_kv_heads * task) {
            merge(total, piece, d);
        }
        finish(total, d, out.chunks_exact_mut(d));
    }

    /// Many tokens: every head and every few tokens are a task.
    fn prefill(&self, first: usize, q: &[f32], out: &mut [f32], row: usize, workers: Workers<'_>) {
        let n = out.len() / row;
        let tokens = n.div_ceil((n * self.group).div_ceil(TILE_ROWS)).min((TILE_ROWS / self.group).max(1));
        let width = self.group * self.layout().head_dim();
        let mut tasks: Vec<(usize, OutTile<'_>)> = Vec::new();
        for (i, out) in out.chunks_mut(tokens * row).enumerate() {
            tasks.extend(tiles(out, row, width).into_iter().map(|tile| (i * tokens, tile)));
        }
        // Later tokens have more keys: theirs go first in the pool, so that no long task is left to the end.
        tasks.reverse();
        workers.each(&mut tasks, TileScratch::default, |scratch, (t, tile)| {
            self.tile(first + *t, &q[*t * row..], row, tile, scratch);
        });
    }

    /// One key/value head's queries of the tokens of `out`; `q` starts with the first of these tokens.
    fn tile(&self, first: usize, q: &[f32], row: usize, out: &mut OutTile<'_>, scratch: &mut TileScratch) {
        let d = self.layout().head_dim();
        let TileScratch { q: tile_q, total, partial } = scratch;
        tile_q.clear();
        for q in q.chunks(row).take(out.n_tokens()) {
            tile_q.extend_from_slice(&q[out.rows()]);
        }
        let head = out.rows().start / (self.group * d);
        let pieces = self.pieces(first, first + out.n_tokens() - 1);
        let len = tile_q.len() / d * partial_len(d);
        total.resize(len, 0.0);
        partial.resize(len, 0.0);
        self.piece(pieces.start, head, first, tile_q, total);
        for piece in pieces.skip(1) {
            self.piece(piece, head, first, tile_q, partial);
            merge(total, partial, d);
        }
        for (t, total) in total.chunks_exact(self.group * partial_len(d)).enumerate() {
            finish(total, d, out.token_mut(t).chunks_exact_mut(d));
        }
    }

    /// The pieces that queries at positions `first` to `last` see.
    fn pieces(&self, first: usize, last: usize) -> Range<usize> {
        self.window_start(first) / PIECE..last / PIECE + 1
    }

    /// The first key that a query at `pos` sees.
    fn window_start(&self, pos: usize) -> usize {
        self.sliding_window.map_or(0, |w| (pos + 1).saturating_sub(w))
    }

    /// The keys of a block that a query at `pos` sees, counted from the block's first position.
    fn visible(&self, pos: usize, block: usize) -> Range<usize> {
        let start = block * KEY_BLOCK;
        let end = (pos + 1).saturating_sub(start).min(KEY_BLOCK);
        self.window_start(pos).saturating_sub(start).min(end)..end
    }

    /// The queries `q` (`group` for each token from position `first` on) over the keys of one piece. `partial` gets
    /// the results, [`partial_len`] a query; where a query sees nothing, sums are 0.
    fn piece(&self, piece: usize, head: usize, first: usize, q: &[f32], partial: &mut [f32]) {
        let d = self.layout().head_dim();
        let rows = q.len() / d;
        if rows <= DIRECT_ROWS {
            return self.blocks::<DIRECT_ROWS>(piece, head, first, q, partial);
        }
        if rows <= TILE_ROWS {
            return self.blocks::<TILE_ROWS>(piece, head, first, q, partial);
        }
        // A token with so many heads is no tile of several tokens: any part of its heads will do.
        let partials = partial.chunks_mut(TILE_ROWS * partial_len(d));
        for (q, partial) in q.chunks(TILE_ROWS * d).zip(partials) {
            let part = Attend { group: q.len() / d, ..*self };
            part.blocks::<TILE_ROWS>(piece, head, first, q, partial);
        }
    }

    /// As [`Attend::piece`], for up to `ROWS` queries.
    fn blocks<const ROWS: usize>(
        &self,
        piece: usize,
        head: usize,
        first: usize,
        q: &[f32],
        partial: &mut [f32],
    ) {
        let d = self.layout().head_dim();
        let stride = partial_len(d);
        let tokens = q.len() / d / self.group;
        for row in partial.chunks_exact_mut(stride) {
            row.fill(0.0);
            row[stride - 2] = f32::NEG_INFINITY;
        }
        let mut scores = [[0.0; KEY_BLOCK]; ROWS];
        let mut scratch = [[0.0; PANEL]; PANEL_ROWS];
        let last = first + tokens - 1;
        let start = self.window_start(first).max(piece * PIECE);
        for block in start / KEY_BLOCK..(last / KEY_BLOCK + 1).min((piece + 1) * (PIECE / KEY_BLOCK)) {
            let memory = self.kv.block(head, block);
            // The runs of tokens that see the same of the block's keys; all but the diagonal are one run.
            let runs = || {
                let mut t = 0;
                std::iter::from_fn(move || {
                    while t < tokens {
                        let (from, keys) = (t, self.visible(first + t, block));
                        t += 1;
                        while t < tokens && self.visible(first + t, block) == keys {
                            t += 1;
                        }
                        if !keys.is_empty() {
                            return Some((from * self.group..t * self.group, keys));
                        }
                    }
                    None
                })
            };
            let Some((seeing, _)) = runs().reduce(|a, b| (a.0.start..b.0.end, b.1)) else { continue };
            self.scores(
                memory,
                last - block * KEY_BLOCK,
                &q[seeing.start * d..seeing.end * d],
                &mut scores[seeing],
                &mut scratch,
            );
            for (rows, keys) in runs() {
                for r in rows {
                    let (out, softmax) = partial[r * stride..(r + 1) * stride].split_at_mut(stride - 2);
                    let [max, sum] = softmax else { unreachable!("two floats") };
                    let shrink = (self.kernels.attention.softmax)(&mut scores[r][keys.clone()], max, sum);
                    if shrink != 1.0 {
                        out.iter_mut().for_each(|o| *o *= shrink);
                    }
                }
            }
            for c in 0..self.layout().padded_dim() / PANEL {
                let panel = self.layout().values(memory, c);
                let (ty, panel) = match self.direct(q.len() / d) {
                    true => (self.layout().ty(), panel),
                    false => {
                        (self.kernels.attention.decode_values)(
                            self.layout().ty(),
                            panel,
                            scratch.as_flattened_mut(),
                        );
                        (TensorType::F32, bytemuck::cast_slice(&scratch))
                    }
                };
                let row = PANEL * ty.block_bytes();
                for (rows, keys) in runs() {
                    let weights = Rows {
                        data: &scores.as_flattened()[rows.start * KEY_BLOCK + keys.start..],
                        stride: KEY_BLOCK,
                    };
                    let out = RowsMut { data: &mut partial[rows.start * stride + c * PANEL..], stride };
                    let panel = &panel[keys.start * row..keys.end * row];
                    (self.kernels.attention.multiply)(ty, panel, rows.len(), weights, out);
                }
            }
        }
    }

    /// The products of queries with the keys of a block, as far as the panel with the key `last`.
    fn scores(
        &self,
        block: &[u8],
        last: usize,
        q: &[f32],
        scores: &mut [[f32; KEY_BLOCK]],
        scratch: &mut [[f32; PANEL]; PANEL_ROWS],
    ) {
        let d = self.layout().head_dim();
        let rows = scores.len();
        let scores = scores.as_flattened_mut();
        scores.fill(0.0);
        for p in 0..(last / PANEL + 1).min(KEY_BLOCK / PANEL) {
            let panel = self.layout().keys(block, p);
            let ty = self.layout().ty();
            let mut multiply = |ty: TensorType, panel: &[u8], i: usize| {
                let out = RowsMut { data: &mut scores[p * PANEL..], stride: KEY_BLOCK };
                (self.kernels.attention.multiply)(ty, panel, rows, Rows { data: &q[i..], stride: d }, out);
            };
            if self.direct(rows) {
                multiply(ty, &panel[..d * PANEL * ty.block_bytes()], 0);
                continue;
            }
            let bytes = ty.bytes_for(PANEL_ROWS * PANEL).expect("whole blocks");
            for (i, panel) in (0..d).step_by(PANEL_ROWS).zip(panel.chunks(bytes)) {
                let n = panel.len() / ty.bytes_for(PANEL).expect("whole blocks");
                (self.kernels.attention.decode_keys)(ty, panel, scratch[..n].as_flattened_mut());
                multiply(TensorType::F32, bytemuck::cast_slice(&scratch[..n.min(d - i)]), i);
            }
        }
    }

    /// Whether keys and values are multiplied from as they are by so many queries. Either way gives the same bits.
    fn direct(&self, rows: usize) -> bool {
        match self.layout().ty() {
            TensorType::F32 => true,
            TensorType::F16 => rows <= DIRECT_ROWS,
            _ => false,
        }
    }

    fn layout(&self) -> KvLayout {
        self.kv.layout()
    }
}

/// Floats that a task of prefill works with.
#[derive(Default)]
struct TileScratch {
    q: Vec<f32>,
    total: Vec<f32>,
    partial: Vec<f32>,
}

/// Adds the results of a later piece.
fn merge(total: &mut [f32], piece: &[f32], head_dim: usize) {
    let stride = partial_len(head_dim);
    for (total, piece) in total.chunks_exact_mut(stride).zip(piece.chunks_exact(stride)) {
        let (max, sum) = (stride - 2, stride - 1);
        if piece[sum] == 0.0 {
            continue;
        }
        if total[sum] == 0.0 {
            total.copy_from_slice(piece);
            continue;
        }
        let larger = total[max].max(piece[max]);
        let (old, new) = ((total[max] - larger).exp(), (piece[max] - larger).exp());
        for (total, piece) in total.iter_mut().zip(piece) {
            *total = *total * old + *piece * new;
        }
        total[max] = larger;
    }
}

/// Divides by the sums of weights.
fn finish<'a>(total: &[f32], head_dim: usize, out: impl Iterator<Item = &'a mut [f32]>) {
    let stride = partial_len(head_dim);
    for (total, out) in total.chunks_exact(stride).zip(out) {
        for (out, total_out) in out.iter_mut().zip(total) {
            *out = total_out / total[stride - 1];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brooklet_kernels::all;

    /// Pseudo-random numbers between -1 and 1, the same every time.
    fn random(seed: u64) -> impl FnMut(usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 32) as u32 as f32 / 2f32.powi(31) - 1.0
        };
        move |n| (0..n).map(|_| next()).collect()
    }

    struct Case {
        kv: KvLayer,
        /// Rows of keys and values as they were before they were stored.
        k: Vec<f32>,
        v: Vec<f32>,
        q: Vec<f32>,
        group: usize,
        sliding_window: Option<usize>,
    }

    impl Case {
        fn new(ty: TensorType, (head_dim, num_kv_heads, group): (usize, usize, usize), n: usize) -> Case {
            let mut random = random(n as u64);
            let row = num_kv_heads * head_dim;
            let (k, v, q) = (random(n * row), random(n * row), random(n * row * group));
            let layout = KvLayout::new(ty, head_dim).expect("a type for keys and values");
            let mut kv = KvLayer::new(layout, num_kv_heads, n).expect("there is memory");
            kv.push(all()[0], &k, &v);
            Case { kv, k, v, q, group, sliding_window: None }
        }

        fn row(&self) -> usize {
            self.kv.num_kv_heads() * self.group * self.kv.layout().head_dim()
        }

        fn run(&self, kernels: &Kernels, tokens: Range<usize>) -> Vec<f32> {
            let attend =
                Attend { kernels, kv: &self.kv, group: self.group, sliding_window: self.sliding_window };
            let (row, d) = (self.row(), self.kv.layout().head_dim());
            let mut out = vec![f32::NAN; tokens.len() * row];
            let mut partials = vec![f32::NAN; partials_len(row / d, d, tokens.end)];
            attend.attend(
                tokens.start,
                &self.q[tokens.start * row..tokens.end * row],
                &mut out,
                &mut partials,
                Workers::for_tokens(tokens.len(), 8, &Team::new(2).expect("a team")),
            );
            out
        }

        /// From the definition, in f64.
        fn exact(&self, pos: usize) -> Vec<f64> {
            let d = self.kv.layout().head_dim();
            let kv_row = self.kv.num_kv_heads() * d;
            let seen = self.sliding_window.map_or(0, |w| (pos + 1).saturating_sub(w))..pos + 1;
            let mut out = Vec::new();
            for (h, q) in self.q[pos * self.row()..(pos + 1) * self.row()].chunks(d).enumerate() {
                let at = |x: &[f32], j: usize| x[j * kv_row + h / self.group * d..][..d].to_vec();
                let score =
                    |j| at(&self.k, j).iter().zip(q).map(|(k, q)| f64::from(*k) * f64::from(*q)).sum();
                let weights: Vec<f64> = seen.clone().map(|j| f64::exp(score(j))).collect();
                let sum: f64 = weights.iter().sum();
                let mut weighted = vec![0.0; d];
                for (j, weight) in seen.clone().zip(weights) {
                    for (out, v) in weighted.iter_mut().zip(at(&self.v, j)) {
                        *out += weight / sum * f64::from(v);
                    }
                }
                out.extend(weighted);
            }
            out
        }
    }

    fn bits(x: &[f32]) -> Vec<u32> {
        x.iter().map(|x| x.to_bits()).collect()
    }

    /// Head widths that fill panels and that do not, groups that fill tiles and one larger than any.
    const SHAPES: [(usize, usize, usize); 6] =
        [(64, 2, 2), (8, 1, 5), (80, 2, 1), (32, 1, 4), (128, 1, 3), (8, 1, 150)];

    /// Values between -1 and 1, scores up to ±20 (of a trained model, they are smaller): a quarter above what was
    /// measured, 2.1e-6 as F32, 7.8e-4 as F16 and 2.1e-2 as Q8_0.
    #[test]
    fn equals_the_definition() {
        let n = 2 * PIECE + 70;
        for (ty, bound) in [(TensorType::F32, 2.6e-6), (TensorType::F16, 1e-3), (TensorType::Q8_0, 2.7e-2)] {
            let mut largest = 0f64;
            for shape in SHAPES {
                for window in [None, Some(1), Some(100), Some(1500)] {
                    let case = Case { sliding_window: window, ..Case::new(ty, shape, n) };
                    for kernels in all() {
                        for tokens in [0..1, 0..5, 60..70, 1020..1030, n - 1..n] {
                            let out = case.run(kernels, tokens.clone());
                            for (pos, out) in tokens.clone().zip(out.chunks(case.row())) {
                                for (ours, exact) in out.iter().zip(case.exact(pos)) {
                                    let error = (f64::from(*ours) - exact).abs();
                                    largest = largest.max(error);
                                    assert!(
                                        error <= bound,
                                        "{}, {ty}, {shape:?}, {window:?}, position {pos}: off by {error:e}",
                                        kernels.name
                                    );
                                }
                            }
                        }
                    }
                }
            }
            println!("{ty}: off by {largest:e} at most");
        }
    }

    /// A token's result does not depend on the tokens beside it: across blocks, pieces, tiles and windows.
    #[test]
    fn any_grouping_gives_the_same_bits() {
        let n = PIECE + 200;
        for ty in KvLayout::TYPES {
            for shape in SHAPES {
                for window in [None, Some(100), Some(1100)] {
                    let case = Case { sliding_window: window, ..Case::new(ty, shape, n) };
                    let row = case.row();
                    for kernels in all().into_iter().take(if shape.2 == 2 { 3 } else { 1 }) {
                        for tokens in [0..150, 900..1060, n - 70..n] {
                            let together = case.run(kernels, tokens.clone());
                            for t in tokens.clone().step_by(7) {
                                let part = &together[(t - tokens.start) * row..][..row];
                                let what = format!("{}, {ty}, {shape:?}, {window:?}, {t}", kernels.name);
                                assert_eq!(bits(&case.run(kernels, t..t + 1)), bits(part), "{what}");
                            }
                            let middle = tokens.start + 31..tokens.end - 2;
                            let part = &together[31 * row..(tokens.len() - 2) * row];
                            assert!(
                                bits(&case.run(kernels, middle)) == bits(part),
                                "{ty}, {shape:?}, {window:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}
