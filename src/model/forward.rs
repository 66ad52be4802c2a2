//! The forward pass, in the order of the paper (LFM2 technical report, arXiv:2511.23404, and
//! transformers' `modeling_lfm2.py`).

use super::attention::{Attend, partials_len};
use super::kv::KvLayer;
use super::rope::Rope;
use super::shortconv::short_conv;
use super::state::{LayerState, State};
use super::weights::{Attention, Matrix, Mixer, Mlp, ShortConv};
use super::{Config, Model};
use brooklet_kernels::{Activations, Panel, Q8Buffer, Spread, Team, format, tiles};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// The most weight rows that a task computes at once in prefill: a chunk of them fills half of an L2 cache.
const TILE_ROWS: usize = 256;
/// Row counts of tiles are multiples of this, the most rows that a micro-kernel computes together.
const ROW_GROUP: usize = 16;
/// Tiles that a matrix is cut into, a thread, so that a slow core does not hold up the others.
const TILES_A_THREAD: usize = 4;
/// The most tokens that are taken on the team, like one, and not on rayon's pool.
pub(super) const FEW_TOKENS: usize = 16;
/// The fewest tokens whose work outside of the matrices is worth a task of its own.
const TASK_TOKENS: usize = 8;

/// Working memory for up to `tokens` tokens at once, reused by every layer.
pub struct Scratch {
    tokens: usize,
    /// `n × hidden`: the residual stream. After [`Model::forward`], the last layer's output.
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

    /// Makes room for `n` tokens at once, if there is not already.
    fn reserve(&mut self, config: &Config, n: usize, threads: usize) {
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
        self.operand.q8.reserve_lone(hidden.max(q).max(ffn));
        self.operand.panels.resize_with(threads, Mutex::default);
        self.tokens = n;
    }
}

/// The tokens of a forward pass: how many, from which position on, and whether they were there before.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    n: usize,
    replay: bool,
}

impl Model {
    /// Takes `ids` at positions `first..`, leaves their hidden states in the scratch and, unless
    /// `replay` is set, appends keys and values to the state; a replay finds them there already.
    /// A result depends on a token's position and past alone, and on whether the token was the only one: those go
    /// another way, on the team, where several use rayon's current pool.
    pub(crate) fn forward(
        &self,
        ids: &[u32],
        first: usize,
        state: &mut State,
        scratch: &mut Scratch,
        replay: bool,
        team: &Team,
    ) {
        let (config, n) = (&self.config, ids.len());
        let hidden = config.hidden_size;
        scratch.reserve(config, n, team.threads());
        scratch.rope.prepare(first, n);
        self.embed(ids, &mut scratch.x[..n * hidden]);
        for (layer, state) in self.weights.layers.iter().zip(&mut state.layers) {
            self.norm(&scratch.x[..n * hidden], &layer.operator_norm, &mut scratch.h);
            match (&layer.mixer, state) {
                (Mixer::ShortConv(w), LayerState::ShortConv(columns)) => {
                    self.short_conv(w, columns, n, scratch, team);
                }
                (Mixer::Attention(w), LayerState::Attention(kv)) => {
                    self.attention(w, kv, Span { first, n, replay }, scratch, team);
                }
                _ => unreachable!("state and weights are built from the same configuration"),
            }
            add(&mut scratch.x, &scratch.delta[..n * hidden]);
            self.norm(&scratch.x[..n * hidden], &layer.ffn_norm, &mut scratch.h);
            self.mlp(&layer.mlp, n, scratch, team);
            add(&mut scratch.x, &scratch.delta[..n * hidden]);
        }
    }

    /// Logits of the `count` tokens of the last [`Model::forward`] from the `t`-th on:
    /// `count × vocab_size`.
    pub(crate) fn logits(&self, t: usize, count: usize, scratch: &mut Scratch, out: &mut [f32], team: &Team) {
        let hidden = self.config.hidden_size;
        self.norm(&scratch.x[t * hidden..(t + count) * hidden], &self.weights.norm, &mut scratch.h);
        let mut x = self.prepare(&scratch.h[..count * hidden], &mut scratch.operand, &[&self.weights.head]);
        self.matmul(&self.weights.head, &mut x, out, team);
    }

    /// `n × hidden` rows of the embedding.
    fn embed(&self, ids: &[u32], x: &mut [f32]) {
        let w = &self.weights.embedding;
        let data = w.data(&self.gguf);
        for (id, x) in ids.iter().zip(x.chunks_exact_mut(w.cols)) {
            format::decode(w.ty, &data[*id as usize * w.row_bytes()..][..w.row_bytes()], x);
        }
    }

    /// RMS norm of every row of `x`.
    fn norm(&self, x: &[f32], weight: &[f32], out: &mut [f32]) {
        let width = weight.len();
        let norm = |(x, out): (&[f32], &mut [f32])| {
            for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                (self.kernels.rms_norm)(x, weight, self.config.norm_eps, out);
            }
        };
        if x.len() <= FEW_TOKENS * width {
            return norm((x, out));
        }
        x.par_chunks(TASK_TOKENS * width).zip(out.par_chunks_mut(TASK_TOKENS * width)).for_each(norm);
    }

    /// `delta = W_out (C ⊙ conv(B ⊙ X))` with `[B, C, X] = W_in h`.
    fn short_conv(&self, w: &ShortConv, columns: &mut [f32], n: usize, s: &mut Scratch, team: &Team) {
        let hidden = self.config.hidden_size;
        let bcx = &mut s.wide[..n * 3 * hidden];
        let mut x = self.prepare(&s.h[..n * hidden], &mut s.operand, &[&w.in_proj]);
        self.matmul(&w.in_proj, &mut x, bcx, team);
        let conv = &mut s.h[..n * hidden];
        short_conv(bcx, &w.taps, columns, conv, hidden);
        let mut x = self.prepare(conv, &mut s.operand, &[&w.out_proj]);
        self.matmul(&w.out_proj, &mut x, &mut s.delta[..n * hidden], team);
    }

    /// `delta = W_o softmax(q·k / √d) v`, with q and k normed a head and turned by RoPE.
    fn attention(&self, w: &Attention, kv: &mut KvLayer, span: Span, s: &mut Scratch, team: &Team) {
        let Span { first, n, replay } = span;
        let Config { hidden_size: hidden, num_heads, head_dim, .. } = self.config;
        let q_dim = num_heads * head_dim;
        let kv_dim = w.num_kv_heads * head_dim;
        let mut x = self.prepare(&s.h[..n * hidden], &mut s.operand, &[&w.q_proj, &w.k_proj, &w.v_proj]);
        let (q, k, v) = if n == 1 {
            let qkv = &mut s.wide[..q_dim + 2 * kv_dim];
            self.matvecs(&[&w.q_proj, &w.k_proj, &w.v_proj], &x, qkv, team);
            let (q, kv) = qkv.split_at_mut(q_dim);
            let (k, v) = kv.split_at_mut(kv_dim);
            (q, k, v)
        } else {
            let (q, k, v) = (&mut s.wide[..n * q_dim], &mut s.k[..n * kv_dim], &mut s.v[..n * kv_dim]);
            self.matmul(&w.q_proj, &mut x, q, team);
            if !replay {
                self.matmul(&w.k_proj, &mut x, k, team);
                self.matmul(&w.v_proj, &mut x, v, team);
            }
            (q, k, v)
        };
        if !replay {
            self.norm_and_rotate(k, kv_dim, &w.k_norm, &s.rope, 1.0);
            kv.push(self.kernels, k, v);
        }
        self.norm_and_rotate(q, q_dim, &w.q_norm, &s.rope, 1.0 / (head_dim as f32).sqrt());

        let out = &mut s.h[..n * q_dim];
        let group = num_heads / w.num_kv_heads;
        Attend { kernels: self.kernels, kv, group, sliding_window: self.config.sliding_window }.attend(
            first,
            q,
            out,
            &mut s.partials,
            team,
        );
        let mut x = self.prepare(out, &mut s.operand, &[&w.out_proj]);
        self.matmul(&w.out_proj, &mut x, &mut s.delta[..n * hidden], team);
    }

    /// Norms every head of every row of `x`, turns it by its position and scales it.
    fn norm_and_rotate(&self, x: &mut [f32], row: usize, weight: &[f32], rope: &Rope, scale: f32) {
        let eps = self.config.norm_eps;
        let turn = |(t, row): (usize, &mut [f32])| {
            let (cos, sin) = rope.angles(t);
            for head in row.chunks_exact_mut(weight.len()) {
                (self.kernels.attention.norm_rotate)(head, weight, eps, cos, sin, scale);
            }
        };
        match x.len() <= FEW_TOKENS * row {
            true => x.chunks_exact_mut(row).enumerate().for_each(turn),
            false => x.par_chunks_exact_mut(row).enumerate().for_each(turn),
        }
    }

    /// `delta = W_down (silu(W_gate h) ⊙ W_up h)`.
    fn mlp(&self, w: &Mlp, n: usize, s: &mut Scratch, team: &Team) {
        let Config { hidden_size: hidden, intermediate_size: ffn, .. } = self.config;
        let (gate, up) = (&mut s.wide[..n * ffn], &mut s.wide2[..n * ffn]);
        let mut x = self.prepare(&s.h[..n * hidden], &mut s.operand, &[&w.gate, &w.up]);
        if n == 1 {
            self.gate_up(w, &x, gate, team);
        } else {
            self.matmul(&w.gate, &mut x, gate, team);
            self.matmul(&w.up, &mut x, up, team);
            let part = if n <= FEW_TOKENS { n } else { TASK_TOKENS } * ffn;
            if n <= FEW_TOKENS {
                (self.kernels.silu_mul)(gate, up);
            } else {
            gate.par_chunks_mut(part)
                .zip(up.par_chunks(part))
                .for_each(|(gate, up)| (self.kernels.silu_mul)(gate, up));
            }
        }
        let mut x = self.prepare(gate, &mut s.operand, &[&w.down]);
        self.matmul(&w.down, &mut x, &mut s.delta[..n * hidden], team);
    }

    /// Quantizes the rows of `x` once for all the matrices that read them, if any wants that.
    fn prepare<'a>(&self, x: &'a [f32], operand: &'a mut Operand, readers: &[&Matrix]) -> Input<'a> {
        operand.spread.clear();
        if readers.iter().any(|w| w.ty.is_quantized()) {
            let k = readers[0].cols;
            if x.len() <= FEW_TOKENS * k {
                operand.q8.quantize(self.kernels, x, k);
            } else {
                let parts = operand.q8.parts(x.len() / k, k, TASK_TOKENS);
                let x = x.par_chunks(TASK_TOKENS * k);
                parts.into_par_iter().zip(x).for_each(|(mut part, x)| part.quantize(self.kernels, x));
            }
        }
        Input { x, operand }
    }

    /// `out = x · Wᵀ`, token-major.
    fn matmul(&self, w: &Matrix, x: &mut Input<'_>, out: &mut [f32], team: &Team) {
        if out.len() == w.rows {
            return self.matvecs(&[w], x, out, team);
        }
        let Operand { q8, spread, panels } = &mut *x.operand;
        let x = activations(w, x.x, q8);
        if out.len() <= w.rows * FEW_TOKENS {
            for part in &mut spread.parts(self.kernels, w.ty, w.cols, out.len() / w.rows) {
                self.kernels.spread(w.ty, x, part);
            }
            let (rows, bytes) = (super::decode::task_rows(w.row_bytes()), w.row_bytes());
            let mut tiles = tiles(out, w.rows, rows);
            team.fill(&mut tiles, 1, |range, tiles| {
                let mut panel = Panel::default();
                for (i, tile) in range.zip(tiles) {
                    let data = &w.data(&self.gguf)[i * rows * bytes..][..tile.rows().len() * bytes];
                    self.kernels.matmul(w.ty, data, w.cols, (x, spread), tile, &mut panel);
                }
            });
            return;
        }
        spread
            .parts(self.kernels, w.ty, w.cols, out.len() / w.rows)
            .par_iter_mut()
            .for_each(|part| self.kernels.spread(w.ty, x, part));
        let tile_rows = w.rows.div_ceil(rayon::current_num_threads() * TILES_A_THREAD);
        let tile_rows = tile_rows.next_multiple_of(ROW_GROUP).min(TILE_ROWS);
        let data = w.data(&self.gguf).par_chunks(tile_rows * w.row_bytes());
        tiles(out, w.rows, tile_rows).par_iter_mut().zip(data).for_each(|(tile, w_rows)| {
            let thread = rayon::current_thread_index().unwrap_or(0);
            // A panicked task leaves nothing that the next one reads.
            let mut panel = panels[thread].lock().unwrap_or_else(PoisonError::into_inner);
            self.kernels.matmul(w.ty, w_rows, w.cols, (x, spread), tile, &mut panel);
        });
    }
}

/// What matrices read: activations as floats and, made of them as the weights' types want, in other forms.
pub(super) struct Input<'a> {
    x: &'a [f32],
    operand: &'a mut Operand,
}

impl Input<'_> {
    /// The form that the weights want, for a lone token.
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
    /// One a thread, so that none waits for its lock.
    panels: Vec<Mutex<Panel>>,
}

fn add(x: &mut [f32], delta: &[f32]) {
    for (x, d) in x.iter_mut().zip(delta) {
        *x += d;
    }
}
