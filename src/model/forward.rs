//! The forward pass, in the order of the paper (LFM2 technical report, arXiv:2511.23404, and
//! transformers' `modeling_lfm2.py`).

use super::attention::{Attend, partials_len};
use super::rope::Rope;
use super::shortconv::{Run, advance};
use super::state::{LayerState, State};
use super::weights::{Attention, Layer, Matrix, Mixer, Mlp, ShortConv};
use super::workers::{POOL_TOKENS, Workers, tile_rows};
use super::{Config, Model};
use brooklet_kernels::{Activations, Panel, Q8Buffer, Q8Part, Spread, format, tiles};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// What some of a model's matrices read in a pass.
pub struct Inputs<'a> {
    /// The names in the file of the matrices that read it.
    pub readers: &'a [&'a str],
    /// Elements a row: the columns of those matrices.
    pub width: usize,
    /// A row a token, one after the other, before they are rounded in any way.
    pub rows: &'a [f32],
}

/// Is shown what every matrix reads, within the pass, on one of the session's threads.
pub type Observer = Arc<dyn Fn(&Inputs<'_>) + Send + Sync>;

/// Working memory for up to `tokens` tokens at once, reused by every layer.
pub struct Scratch {
    tokens: usize,
    /// `n × hidden`: the residual stream. After [`Model::forward`], the last layer's output for the tokens that are wanted.
    x: Vec<f32>,
    /// `n × hidden`: normed input or the mixer's output before its projection.
    h: Vec<f32>,
    /// `n × max(3·hidden, q, ffn)`.
    wide: Vec<f32>,
    /// `n × max(q, ffn)`.
    wide2: Vec<f32>,
    /// `n × kv` each.
    k: Vec<f32>,
    v: Vec<f32>,
    /// `n × hidden`: what a sub-layer adds to the residual stream.
    delta: Vec<f32>,
    /// What the pieces of a long context give for one token.
    partials: Vec<f32>,
    rope: Rope,
    operand: Operand,
}

impl Scratch {
    /// With room for a context of `context` positions.
    pub fn new(config: &Config, context: usize) -> Scratch {
        Scratch {
            tokens: 0,
            x: Vec::new(),
            h: Vec::new(),
            wide: Vec::new(),
            wide2: Vec::new(),
            k: Vec::new(),
            v: Vec::new(),
            delta: Vec::new(),
            partials: vec![0.0; partials_len(config.num_heads, config.head_dim, context)],
            rope: Rope::new(config.rope_dim, config.rope_theta),
            operand: Operand::default(),
        }
    }

    /// From now on shows every matrix's input to the observer, if there is one.
    pub fn observe(&mut self, observer: Option<Observer>) {
        self.operand.observer = observer;
    }

    /// Makes room for a context of `context` positions, if there is not already.
    pub fn reserve_context(&mut self, config: &Config, context: usize) {
        let len = partials_len(config.num_heads, config.head_dim, context);
        self.partials.resize(len.max(self.partials.len()), 0.0);
    }

    /// Makes room for `n` tokens at once, if there is not already.
    fn reserve(&mut self, config: &Config, n: usize) {
        if n <= self.tokens {
            return;
        }
        let hidden = config.hidden_size;
        let q = config.num_heads * config.head_dim;
        let ffn = config.intermediate_size;
        // Key/value heads divide query heads, so q bounds kv.
        let widths = [
            (&mut self.x, hidden),
            (&mut self.h, hidden.max(q)),
            // One token's q, k and v lie side by side.
            (&mut self.wide, (3 * hidden).max(3 * q).max(ffn)),
            (&mut self.wide2, ffn),
            (&mut self.k, q),
            (&mut self.v, q),
            (&mut self.delta, hidden),
        ];
        for (buffer, width) in widths {
            buffer.resize(n * width, 0.0);
        }
        self.operand.q8 = Q8Buffer::with_capacity((n * hidden.max(q).max(ffn)).next_multiple_of(32));
        self.operand.q8.reserve_chunks(n, hidden.max(q).max(ffn));
        self.tokens = n;
    }
}

/// Consecutive tokens of one sequence.
pub struct Segment<'a> {
    pub ids: &'a [u32],
    /// The position of the first.
    pub first: usize,
    /// Of the sequence.
    pub state: &'a mut State,
    /// Whether keys and values of these tokens are there already.
    pub replay: bool,
    /// How many tokens' hidden states are wanted, the last ones'.
    pub wanted: usize,
}

impl Segment<'_> {
    /// The positions of its last `n` tokens.
    fn last(&self, n: usize) -> Range<usize> {
        let end = self.first + self.ids.len();
        end - n..end
    }
}

/// Which tokens of a segment a layer works on: always the last ones.
#[derive(Clone, Copy)]
struct Extent<'a> {
    /// The layer and all behind it.
    layers: &'a [Layer],
    conv_kernel: usize,
    /// Whether all tokens go through all layers.
    all: bool,
}

impl Extent<'_> {
    /// How many tokens the layer takes in.
    fn before(&self, segment: &Segment<'_>) -> usize {
        self.rows(segment, self.layers)
    }

    /// How many its mixer gives out.
    fn after(&self, segment: &Segment<'_>) -> usize {
        self.rows(segment, &self.layers[1..])
    }

    /// How many `layers` take in: all up to the last keys and values, behind them those that are wanted and those that
    /// convolutions look back to or remember.
    fn rows(&self, segment: &Segment<'_>, layers: &[Layer]) -> usize {
        let (mut rows, n) = (segment.wanted, segment.ids.len());
        for layer in layers {
            match layer.mixer {
                Mixer::Attention(_) if segment.replay => {}
                Mixer::Attention(_) => return n,
                Mixer::ShortConv(_) => rows += self.conv_kernel - 1,
            }
        }
        if self.all { n } else { rows.min(n) }
    }

    /// Of the rows of all segments that the layer takes in leaves those that its mixer gives out, and the angles of these.
    fn narrow(&self, x: &mut [f32], width: usize, rope: &mut Rope, segments: &[Segment<'_>]) {
        if segments.iter().any(|s| self.after(s) < self.before(s)) {
            keep_last(x, width, segments.iter().map(|s| (self.before(s), self.after(s))));
            rope.prepare(segments.iter().flat_map(|s| s.last(self.after(s))));
        }
    }
}

/// Of so many rows of each segment, one's after the other's, leaves the last so many.
fn keep_last(x: &mut [f32], width: usize, rows: impl Iterator<Item = (usize, usize)>) {
    let (mut end, mut to) = (0, 0);
    for (before, after) in rows {
        end += before * width;
        x.copy_within(end - after * width..end, to);
        to += after * width;
    }
}

impl Model {
    /// Takes the tokens of the segments, leaves the hidden states of those that are wanted, one segment's after the
    /// other's, in the scratch and, but for a replay, appends keys and values to the states. Every weight is read once for
    /// all; no layer computes what none behind it needs, unless an observer looks on.
    ///
    /// A result depends on a token's position and past alone, and on whether the workers are those for few tokens or for
    /// many, which compute in different ways.
    pub(crate) fn forward(&self, segments: &mut [Segment<'_>], scratch: &mut Scratch, workers: Workers<'_>) {
        let config = &self.config;
        let hidden = config.hidden_size;
        let n = segments.iter().map(|s| s.ids.len()).sum();
        scratch.reserve(config, n);
        if let Workers::Pool = workers {
            scratch.operand.panels.resize_with(rayon::current_num_threads(), Mutex::default);
        }
        let (conv_kernel, all) = (config.conv_kernel, scratch.operand.observer.is_some());
        let first = Extent { layers: &self.weights.layers, conv_kernel, all };
        scratch.rope.prepare(segments.iter().flat_map(|s| s.last(first.before(s))));
        let ids = segments.iter().flat_map(|s| &s.ids[s.ids.len() - first.before(s)..]);
        self.embed(ids, &mut scratch.x[..n * hidden]);
        for (l, layer) in self.weights.layers.iter().enumerate() {
            let extent = Extent { layers: &self.weights.layers[l..], ..first };
            match &layer.mixer {
                Mixer::ShortConv(w) => self.short_conv(w, l, segments, extent, scratch, workers),
                Mixer::Attention(w) => self.attention(w, l, segments, extent, scratch, workers),
            }
            let n: usize = segments.iter().map(|s| extent.after(s)).sum();
            if n > 0 {
                add(&mut scratch.x[..n * hidden], &scratch.delta, hidden, workers);
                self.mlp(&layer.mlp, &layer.ffn_norm, n, scratch, workers);
                add(&mut scratch.x[..n * hidden], &scratch.delta, hidden, workers);
            }
        }
        if all {
            keep_last(&mut scratch.x, hidden, segments.iter().map(|s| (s.ids.len(), s.wanted)));
        }
    }

    /// Logits of tokens that were wanted of the last [`Model::forward`], by their number among these: `vocab_size` each.
    pub(crate) fn logits(
        &self,
        tokens: impl Iterator<Item = usize>,
        scratch: &mut Scratch,
        out: &mut [f32],
        workers: Workers<'_>,
    ) {
        let hidden = self.config.hidden_size;
        let mut n = 0;
        for (t, h) in tokens.zip(scratch.h.chunks_exact_mut(hidden)) {
            let x = &scratch.x[t * hidden..(t + 1) * hidden];
            (self.kernels.rms_norm)(x, &self.weights.norm, self.config.norm_eps, h);
            n += 1;
        }
        let mut x = self.prepare(
            &mut scratch.h[..n * hidden],
            &mut scratch.operand,
            &[&self.weights.head],
            workers,
            None,
        );
        self.matmul(&self.weights.head, &mut x, out, workers);
    }

    /// `n × hidden` rows of the embedding.
    fn embed<'a>(&self, ids: impl Iterator<Item = &'a u32>, x: &mut [f32]) {
        let w = &self.weights.embedding;
        let data = w.data(&self.files);
        for (id, x) in ids.zip(x.chunks_exact_mut(w.cols)) {
            format::decode(w.ty, &data[*id as usize * w.row_bytes()..][..w.row_bytes()], x);
        }
    }

    /// Writes the RMS norm of rows of `x`, a range of their elements a call.
    fn norm<'a>(&'a self, x: &'a [f32], weight: &'a [f32]) -> impl Fn(Range<usize>, &mut [f32]) + Sync + 'a {
        let width = weight.len();
        move |range, out| {
            for (x, out) in x[range].chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                (self.kernels.rms_norm)(x, weight, self.config.norm_eps, out);
            }
        }
    }

    /// `delta = W_out (C ⊙ conv(B ⊙ X))` with `[B, C, X] = W_in h`.
    fn short_conv(
        &self,
        w: &ShortConv,
        layer: usize,
        segments: &mut [Segment<'_>],
        extent: Extent<'_>,
        s: &mut Scratch,
        workers: Workers<'_>,
    ) {
        let hidden = self.config.hidden_size;
        let n: usize = segments.iter().map(|s| extent.before(s)).sum();
        let bcx = &mut s.wide[..n * 3 * hidden];
        let norm = self.norm(&s.x, &self.weights.layers[layer].operator_norm);
        let h = &mut s.h[..n * hidden];
        let mut x = self.prepare(h, &mut s.operand, &[&w.in_proj], workers, Some(&norm));
        self.matmul(&w.in_proj, &mut x, bcx, workers);
        drop(norm);
        extent.narrow(&mut s.x, hidden, &mut s.rope, segments);
        let n: usize = segments.iter().map(|s| extent.after(s)).sum();
        let (bcx, conv) = (&*bcx, &mut s.h[..n * hidden]);
        let of_sequences = &*segments;
        let convolve = |range: Range<usize>, mut out: &mut [f32]| {
            let (mut bcx, mut start) = (bcx, 0);
            for segment in of_sequences {
                let LayerState::ShortConv(state) = &segment.state.layers[layer] else {
                    unreachable!("{SAME}")
                };
                let (before, after) = (extent.before(segment), extent.after(segment));
                let end = start + after;
                let bcx = shared_first(&mut bcx, before * 3 * hidden);
                // Those of its tokens that are asked for.
                let [from, to] = [range.start, range.end].map(|at| (at / hidden).clamp(start, end));
                let run = Run { bcx, taps: &w.taps, state, hidden };
                run.rows(before - after + from - start, first(&mut out, (to - from) * hidden));
                start = end;
            }
        };
        if n > 0 {
            let mut x = self.prepare(conv, &mut s.operand, &[&w.out_proj], workers, Some(&convolve));
            self.matmul(&w.out_proj, &mut x, &mut s.delta[..n * hidden], workers);
        }
        let mut bcx = bcx;
        for segment in segments {
            let rows = extent.before(segment);
            let LayerState::ShortConv(state) = &mut segment.state.layers[layer] else {
                unreachable!("{SAME}")
            };
            advance(state, shared_first(&mut bcx, rows * 3 * hidden), hidden);
        }
    }

    /// `delta = W_o softmax(q·k / √d) v`, with q and k normed a head and turned by RoPE.
    fn attention(
        &self,
        w: &Attention,
        layer: usize,
        segments: &mut [Segment<'_>],
        extent: Extent<'_>,
        s: &mut Scratch,
        workers: Workers<'_>,
    ) {
        let Config { hidden_size: hidden, num_heads, head_dim, .. } = self.config;
        let q_dim = num_heads * head_dim;
        let kv_dim = w.num_kv_heads * head_dim;
        let weight = &self.weights.layers[layer].operator_norm;
        let n: usize = segments.iter().map(|s| extent.before(s)).sum();
        let n_queries: usize = segments.iter().map(|s| extent.after(s)).sum();
        let fresh = segments.iter().any(|s| !s.replay);
        let norm = self.norm(&s.x, weight);
        let (h, readers) = (&mut s.h[..n * hidden], [&w.q_proj, &w.k_proj, &w.v_proj]);
        let (q, k, v) = match workers {
            Workers::Team(team) if n == 1 && n_queries == 1 => {
                let x = self.prepare(h, &mut s.operand, &readers, workers, Some(&norm));
                let qkv = &mut s.wide[..q_dim + 2 * kv_dim];
                self.matvecs(&readers, &x, qkv, team);
                let (q, kv) = qkv.split_at_mut(q_dim);
                let (k, v) = kv.split_at_mut(kv_dim);
                (q, k, v)
            }
            _ => {
                let (q, k, v) =
                    (&mut s.wide[..n_queries * q_dim], &mut s.k[..n * kv_dim], &mut s.v[..n * kv_dim]);
                let all = n_queries == n;
                if all || fresh {
                    let readers = if all { &readers[..] } else { &readers[1..] };
                    let mut x = self.prepare(h, &mut s.operand, readers, workers, Some(&norm));
                    if all {
                        self.matmul(&w.q_proj, &mut x, q, workers);
                    }
                    if fresh {
                        self.matmul(&w.k_proj, &mut x, k, workers);
                        self.matmul(&w.v_proj, &mut x, v, workers);
                    }
                }
                (q, k, v)
            }
        };
        if fresh {
            self.norm_and_rotate(k, kv_dim, &w.k_norm, &s.rope, 1.0, workers);
            let (mut k, mut v) = (&*k, &*v);
            for segment in segments.iter_mut() {
                let rows = extent.before(segment) * kv_dim;
                let (k, v) = (shared_first(&mut k, rows), shared_first(&mut v, rows));
                let LayerState::Attention(kv) = &mut segment.state.layers[layer] else {
                    unreachable!("{SAME}")
                };
                if !segment.replay {
                    kv.push(self.kernels, k, v);
                }
            }
        }
        drop(norm);
        if n_queries < n {
            extent.narrow(&mut s.x, hidden, &mut s.rope, segments);
            if n_queries == 0 {
                return;
            }
            let norm = self.norm(&s.x, weight);
            let h = &mut s.h[..n_queries * hidden];
            let mut x = self.prepare(h, &mut s.operand, &[&w.q_proj], workers, Some(&norm));
            self.matmul(&w.q_proj, &mut x, q, workers);
        }
        self.norm_and_rotate(q, q_dim, &w.q_norm, &s.rope, 1.0 / (head_dim as f32).sqrt(), workers);

        let out = &mut s.h[..n_queries * q_dim];
        let group = num_heads / w.num_kv_heads;
        let (mut q, mut part) = (&*q, &mut *out);
        for segment in segments {
            let LayerState::Attention(kv) = &segment.state.layers[layer] else { unreachable!("{SAME}") };
            let attend =
                Attend { kernels: self.kernels, kv, group, sliding_window: self.config.sliding_window };
            let positions = segment.last(extent.after(segment));
            let rows = positions.len() * q_dim;
            let (q, out) = (shared_first(&mut q, rows), first(&mut part, rows));
            if !positions.is_empty() {
                attend.attend(positions.start, q, out, &mut s.partials, workers);
            }
        }
        let mut x = self.prepare(out, &mut s.operand, &[&w.out_proj], workers, None);
        self.matmul(&w.out_proj, &mut x, &mut s.delta[..n_queries * hidden], workers);
    }

    /// Norms every head of every row of `x`, turns it by its position and scales it.
    fn norm_and_rotate(
        &self,
        x: &mut [f32],
        row: usize,
        weight: &[f32],
        rope: &Rope,
        scale: f32,
        workers: Workers<'_>,
    ) {
        let eps = self.config.norm_eps;
        workers.rows(x, row, |range, x| {
            for (t, row) in (range.start / row..).zip(x.chunks_exact_mut(row)) {
                let (cos, sin) = rope.angles(t);
                for head in row.chunks_exact_mut(weight.len()) {
                    (self.kernels.attention.norm_rotate)(head, weight, eps, cos, sin, scale);
                }
            }
        });
    }

    /// `delta = W_down (silu(W_gate h) ⊙ W_up h)`.
    fn mlp(&self, w: &Mlp, norm: &[f32], n: usize, s: &mut Scratch, workers: Workers<'_>) {
        let Config { hidden_size: hidden, intermediate_size: ffn, .. } = self.config;
        let (gate, up) = (&mut s.wide[..n * ffn], &mut s.wide2[..n * ffn]);
        let norm = self.norm(&s.x, norm);
        let h = &mut s.h[..n * hidden];
        let mut x = self.prepare(h, &mut s.operand, &[&w.gate, &w.up], workers, Some(&norm));
        let mut x = match workers {
            Workers::Team(team) => {
                match n {
                    1 => self.gate_up(w, &x, gate, team),
                    _ => self.gate_up_few(w, &x, gate, up, team),
                }
                self.prepare(gate, &mut s.operand, &[&w.down], workers, None)
            }
            Workers::Pool => {
                self.matmul(&w.gate, &mut x, gate, workers);
                self.matmul(&w.up, &mut x, up, workers);
                let silu = |range, gate: &mut [f32]| (self.kernels.silu_mul)(gate, &up[range]);
                self.prepare(gate, &mut s.operand, &[&w.down], workers, Some(&silu))
            }
        };
        self.matmul(&w.down, &mut x, &mut s.delta[..n * hidden], workers);
    }

    /// Has `make` write the rows of `x`, a range of their elements a call, and quantizes them once for all the matrices
    /// that read them, if any wants that: of many tokens each part while it is in a cache.
    fn prepare<'a>(
        &self,
        x: &'a mut [f32],
        operand: &'a mut Operand,
        readers: &[&Matrix],
        workers: Workers<'_>,
        make: Option<MakeRows<'_>>,
    ) -> Input<'a> {
        operand.spread.clear();
        let k = readers[0].cols;
        let quantized = readers.iter().any(|w| w.ty.is_quantized());
        if let (Workers::Pool, true) = (workers, quantized) {
            let (rows, part_len) = (x.len() / k, POOL_TOKENS * k);
            let parts = operand.q8.parts(rows, k, POOL_TOKENS).into_iter();
            let mut parts: Vec<_> = parts.zip(x.chunks_mut(part_len)).enumerate().collect();
            let part = |(): &mut (), (i, (part, x)): &mut (usize, (Q8Part<'_>, &mut [f32]))| {
                if let Some(make) = make {
                    make(*i * part_len..*i * part_len + x.len(), x);
                }
                part.quantize(self.kernels, x);
            };
            workers.each(&mut parts, || (), part);
        } else {
            if let Some(make) = make {
                workers.rows(x, k, make);
            }
            if quantized {
                operand.q8.quantize(self.kernels, x, k);
            }
        }
        if let Some(observer) = &operand.observer {
            let names: Vec<&str> = readers.iter().map(|w| w.name(&self.files)).collect();
            observer(&Inputs { readers: &names, width: k, rows: x });
        }
        Input { x, operand }
    }

    /// `out = x · Wᵀ`, token-major.
    fn matmul(&self, w: &Matrix, x: &mut Input<'_>, out: &mut [f32], workers: Workers<'_>) {
        if let Workers::Team(team) = workers {
            return match out.len() == w.rows {
                true => self.matvecs(&[w], x, out, team),
                false => self.matmul_few(w, x, out, team),
            };
        }
        let n = out.len() / w.rows;
        let tile_rows = tile_rows(w.rows);
        let data = w.data(&self.files).chunks(tile_rows * w.row_bytes());
        let mut tiles: Vec<_> = tiles(out, w.rows, tile_rows).into_iter().zip(data).collect();
        let Operand { q8, spread, panels, .. } = &mut *x.operand;
        let x = activations(w, x.x, q8);
        let mut parts = spread.parts(self.kernels, w.ty, w.cols, n);
        workers.each(&mut parts, || (), |(), part| self.kernels.spread(w.ty, x, part));
        workers.each(
            &mut tiles,
            || panel(panels),
            |panel, (tile, w_rows)| {
                self.kernels.matmul(w.ty, w_rows, w.cols, (x, spread), tile, panel);
            },
        );
    }
}

/// Why a state has the layers that the weights have.
const SAME: &str = "state and weights are built from the same configuration";

/// Takes the first `n` elements off.
fn first<'a>(of: &mut &'a mut [f32], n: usize) -> &'a mut [f32] {
    of.split_off_mut(..n).expect("as many elements as tokens need")
}

/// As [`first`].
fn shared_first<'a>(of: &mut &'a [f32], n: usize) -> &'a [f32] {
    of.split_off(..n).expect("as many elements as tokens need")
}

/// A panel that no other thread has.
fn panel(panels: &[Mutex<Panel>]) -> MutexGuard<'_, Panel> {
    for panel in panels {
        match panel.try_lock() {
            Ok(panel) => return panel,
            // A panicked task leaves nothing that the next one reads.
            Err(TryLockError::Poisoned(panel)) => return panel.into_inner(),
            Err(TryLockError::WouldBlock) => {}
        }
    }
    unreachable!("there is a panel a thread")
}

/// Writes whole rows, given where their elements are among those of all.
type MakeRows<'a> = &'a (dyn Fn(Range<usize>, &mut [f32]) + Sync);

/// What matrices read: activations as floats and, made of them as the weights' types want, in other forms.
pub(super) struct Input<'a> {
    x: &'a [f32],
    operand: &'a mut Operand,
}

impl Input<'_> {
    /// The form that the weights want, for a few tokens.
    pub(super) fn activations(&self, w: &Matrix) -> Activations<'_> {
        activations(w, self.x, &self.operand.q8)
    }
}

fn activations<'a>(w: &Matrix, x: &'a [f32], q8: &'a Q8Buffer) -> Activations<'a> {
    if w.ty.is_quantized() { Activations::Q8(q8) } else { Activations::Float { x } }
}

/// Memory for the other forms, and for the weights that a thread works on.
#[derive(Default)]
struct Operand {
    q8: Q8Buffer,
    spread: Spread,
    /// One a thread of the pool.
    panels: Vec<Mutex<Panel>>,
    observer: Option<Observer>,
}

/// Adds rows of `width`.
fn add(x: &mut [f32], delta: &[f32], width: usize, workers: Workers<'_>) {
    workers.rows(x, width, |range, x| {
        for (x, d) in x.iter_mut().zip(&delta[range]) {
            *x += d;
        }
    });
}
