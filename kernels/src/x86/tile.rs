//! What the tiles of integers have in common: their operands and the order in which they are taken.
//!
//! A panel is sixteen rows: [`super::gemm_pack`]. Activations lie as they are, a token's after another's, and are broadcast as
//! they are read.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::gemm::{floats, load, start};
use super::gemm_pack as pack;
use crate::format::TensorType;
use crate::gemm::{
    Ahead, Chunk, Gemm, Kind, Multiply, Operands, Out, Pack, ROW_INPUT, STEP, Vector, even_parts, put_token,
    token,
};
use crate::matmul::Activations;

/// Rows of a vector, half those of a panel.
pub(super) const ROWS: usize = 8;
/// Vectors of a step that hold a byte kernel's integers: four elements of K in each.
pub(super) const QUADS: usize = STEP / 4;
/// Vectors of a step that hold a word kernel's integers: two elements of K in each.
pub(super) const PAIRS: usize = STEP / 2;
/// Vectors of a step of a token's input for a word kernel: 32 activations in two, and the factors.
pub(super) const WORD_INPUT: usize = 3;
/// Tokens that a panel is multiplied with, by one tile or several, while it lies in the L1 cache.
pub(super) const TOKENS: usize = 12;

/// Pairs of vectors of a step of a byte kernel's panel, with `subs` scales and, where there is no `middle`, as many offsets.
pub(super) const fn panel_step(subs: usize, middle: i32) -> usize {
    QUADS + if middle == 0 { 2 * subs } else { subs }
}

/// A level that multiplies bytes of all eight bits without running out of room for their sums.
pub(super) trait Level {
    /// For [`bytes`].
    fn multiply<const SUBS: usize, const MIDDLE: i32>() -> Multiply;
}

/// A level's micro-kernel for weights of a type.
pub(super) fn gemm<L: Level>(ty: TensorType) -> Gemm {
    use TensorType::*;
    match ty {
        Q4_0 => bytes::<1, 8>(pack::q4_0, L::multiply::<1, 8>()),
        Q4_1 => bytes::<1, 0>(pack::q4_1, L::multiply::<1, 0>()),
        Q5_0 => bytes::<1, 16>(pack::q5_0, L::multiply::<1, 16>()),
        Q5_1 => bytes::<1, 0>(pack::q5_1, L::multiply::<1, 0>()),
        Q8_0 => bytes::<1, 128>(pack::q8_0_bytes, L::multiply::<1, 128>()),
        Q2_K => bytes::<2, 0>(pack::q2_k, L::multiply::<2, 0>()),
        Q3_K => bytes::<2, 4>(pack::q3_k, L::multiply::<2, 4>()),
        Q4_K => bytes::<1, 0>(pack::q4_k, L::multiply::<1, 0>()),
        Q5_K => bytes::<1, 0>(pack::q5_k, L::multiply::<1, 0>()),
        Q6_K => bytes::<2, 32>(pack::q6_k, L::multiply::<2, 32>()),
        IQ4_NL => bytes::<1, 128>(pack::iq4_nl_bytes, L::multiply::<1, 128>()),
        F32 => floats(pack::f32),
        F16 => floats(pack::f16),
        BF16 => floats(pack::bf16),
    }
}

/// For unsigned integers of a byte with `SUBS` scales a step. They stand for themselves less MIDDLE; where that is 0, there
/// are SUBS offsets too.
pub(super) fn bytes<const SUBS: usize, const MIDDLE: i32>(pack: Pack, multiply: Multiply) -> Gemm {
    Gemm {
        kind: Kind::Rows,
        chunk: 512,
        rows: 2 * ROWS,
        tokens: TOKENS,
        panel_step: 2 * panel_step(SUBS, MIDDLE),
        input_step: ROW_INPUT,
        panel_rest: 0,
        input_rest: 0,
        fixed: None,
        pack,
        spread: spread_rows,
        multiply,
    }
}

/// A step of a byte kernel's input: [`ROW_INPUT`] vectors a token. After the factors follow, negative, the sums of all
/// activations, of the first half and of the second.
fn spread_rows(x: Activations<'_>, first: usize, n: usize, k: Chunk, input: &mut [Vector]) {
    for t in 0..n {
        let x = x.q8_row(first + t, k);
        for (s, step) in input.chunks_exact_mut(ROW_INPUT * n).enumerate() {
            let to = &mut step[ROW_INPUT * t..][..ROW_INPUT];
            put_token(token(x, s), to);
            let [first, second] = x.sums.as_chunks::<2>().0[s].map(i32::from);
            let words: &mut [i32] = bytemuck::cast_slice_mut(&mut to[1..]);
            words[4..7].copy_from_slice(&[-first - second, -first, -second]);
        }
    }
}

/// A step of a word kernel's input: [`WORD_INPUT`] vectors a token.
pub(super) fn spread_words(x: Activations<'_>, first: usize, n: usize, k: Chunk, input: &mut [Vector]) {
    for t in 0..n {
        let x = x.q8_row(first + t, k);
        for (s, step) in input.chunks_exact_mut(WORD_INPUT * n).enumerate() {
            let (qs, factors) = token(x, s);
            let (words, after) = step[WORD_INPUT * t..][..WORD_INPUT].split_at_mut(WORD_INPUT - 1);
            let words: &mut [i16] = bytemuck::cast_slice_mut(words);
            for (word, q) in words.iter_mut().zip(qs) {
                *word = i16::from(*q);
            }
            Vector::floats_of(after)[..factors.len()].copy_from_slice(&factors);
        }
    }
}

/// Fills a tile.
///
/// # Safety
/// The processor must have the instructions; the tile must have as many tokens as the function is for.
pub(super) type Function = unsafe fn(Tile<'_>);

/// The tiles of a level for weights of a type.
pub(super) struct Tiles<'a> {
    /// For one token, two, and so on.
    pub functions: &'a [Function],
    /// The same for two panels, where the level has such.
    pub of_two: &'a [Function],
    /// Vectors of a step of a token's input.
    pub input_step: usize,
    /// What integers stand for themselves less of.
    pub middle: i32,
}

impl Tiles<'_> {
    /// Takes the products.
    ///
    /// # Safety
    /// As of [`Multiply`] and [`Function`].
    pub(super) unsafe fn multiply(&self, operands: Operands<'_>) {
        let Operands { panels, n_panels, input, n, out, ahead } = operands;
        let &Tiles { functions, of_two, input_step, middle } = self;
        let len = panels.len() / n_panels;
        let in_twos = if of_two.is_empty() { 0 } else { n_panels / 2 * 2 };
        let tiles = |panels, functions: &[Function]| match functions.len() {
            0 => 0,
            most => panels * n.div_ceil(most),
        };
        let tiles = tiles(in_twos / 2, of_two) + tiles(n_panels - in_twos, functions);
        ahead.share_out(tiles * (input.len() / (input_step * n)));
        let (twos, ones) = panels.split_at(in_twos * len);
        let twos = twos.chunks_exact(2 * len).enumerate().map(|(i, two)| (2 * i, two, of_two));
        let ones = ones.chunks_exact(len).enumerate().map(|(i, one)| (in_twos + i, one, functions));
        for (p, panels, functions) in twos.chain(ones) {
            for (t, tokens) in even_parts(n, functions.len()) {
                // SAFETY: by the contract.
                unsafe {
                    let tile = Tile { middle, ..Tile::new(panels, input, input_step, (t, n), out, p, ahead) };
                    functions[tokens - 1](tile);
                }
            }
        }
    }
}

/// The operands of a tile, the rows of a panel or two and some tokens.
pub(super) struct Tile<'a> {
    panels: &'a [Vector],
    /// From the first token on.
    input: &'a [Vector],
    /// Vectors of a step of the input.
    stride: usize,
    out: Out,
    /// As of [`Tiles`].
    middle: i32,
    ahead: &'a mut Ahead,
}

impl<'a> Tile<'a> {
    /// Panels from number `p` on and the tokens from `t` on of `n`.
    ///
    /// # Safety
    /// `out` must lend the results of the panels and tokens up to these.
    #[inline(always)]
    pub(super) unsafe fn new(
        panels: &'a [Vector],
        input: &'a [Vector],
        input_step: usize,
        (t, n): (usize, usize),
        out: Out,
        p: usize,
        ahead: &'a mut Ahead,
    ) -> Self {
        // SAFETY: by the contract.
        let first = unsafe { out.first.add(t * out.stride + 2 * ROWS * p) };
        let input = &input[input_step * t..];
        Tile { panels, input, stride: input_step * n, out: Out { first, ..out }, middle: 0, ahead }
    }

    /// The steps of a tile of one panel: so many pairs of vectors of it, and T times INPUT vectors of the input.
    #[inline(always)]
    pub(super) fn steps<const T: usize, const INPUT: usize>(&self, pairs: usize) -> Steps<'a, T, INPUT> {
        self.steps_of::<1, T, INPUT>(pairs)
    }

    /// As [`Tile::steps`], of P panels.
    #[inline(always)]
    pub(super) fn steps_of<const P: usize, const T: usize, const INPUT: usize>(
        &self,
        pairs: usize,
    ) -> Steps<'a, T, INPUT, P> {
        let n = self.panels.len() / (2 * pairs * P);
        assert!(n > 0 && self.panels.len() == 2 * n * pairs * P);
        assert!(self.input.len() >= (n - 1) * self.stride + T * INPUT);
        let (w, x) = (self.panels.as_ptr().cast(), self.input.as_ptr());
        Steps { n, step: Step { w, panel: n * pairs, x, lifetime: PhantomData }, pairs, stride: self.stride }
    }

    /// To be called with every step.
    #[inline(always)]
    pub(super) fn look_ahead(&mut self) {
        self.ahead.fetch();
    }

    /// Where the results of token `t` are, sixteen a panel.
    ///
    /// # Safety
    /// The tile must have the token.
    #[inline(always)]
    pub(super) unsafe fn results(&self, t: usize) -> *mut f32 {
        // SAFETY: by the contract.
        unsafe { self.out.first.add(t * self.out.stride) }
    }

    /// Whether the products are to be added to the results.
    pub(super) fn adds(&self) -> bool {
        self.out.add
    }

    /// The logarithm of what integers stand for themselves less of, a power of two.
    #[inline(always)]
    pub(super) fn middle_bits(&self) -> u32 {
        self.middle.trailing_zeros()
    }

    /// What the sums of token `t` begin with.
    ///
    /// # Safety
    /// The tile must have the token.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn start(&self, t: usize) -> [__m256; 2] {
        // SAFETY: by the contract.
        unsafe { [start(self.out, t, 0), start(self.out, t, ROWS)] }
    }

    /// Stores the sums of token `t`.
    ///
    /// # Safety
    /// The tile must have the token.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn store(&self, t: usize, sums: [__m256; 2]) {
        for (half, sums) in sums.into_iter().enumerate() {
            // SAFETY: by the contract; a token has sixteen results.
            unsafe { _mm256_storeu_ps(self.results(t).add(ROWS * half), sums) };
        }
    }
}

/// The steps of a tile, one after the other.
pub(super) struct Steps<'a, const T: usize, const INPUT: usize, const P: usize = 1> {
    n: usize,
    step: Step<'a, T, INPUT, P>,
    pairs: usize,
    stride: usize,
}

impl<'a, const T: usize, const INPUT: usize, const P: usize> Iterator for Steps<'a, T, INPUT, P> {
    type Item = Step<'a, T, INPUT, P>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step;
        self.n = self.n.checked_sub(1)?;
        self.step.w = step.w.wrapping_add(self.pairs);
        self.step.x = step.x.wrapping_add(self.stride);
        Some(step)
    }
}

/// [`STEP`] elements of K: pairs of vectors of P panels, and T times INPUT vectors of the input.
#[derive(Clone, Copy)]
pub(super) struct Step<'a, const T: usize, const INPUT: usize, const P: usize = 1> {
    w: *const [Vector; 2],
    /// Pairs of a whole panel.
    panel: usize,
    x: *const Vector,
    lifetime: PhantomData<&'a [Vector]>,
}

impl<const T: usize, const INPUT: usize, const P: usize> Step<'_, T, INPUT, P> {
    /// Pair `i` of the panel's vectors.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn weights(&self, i: usize) -> [__m256i; 2] {
        let [low, high] = self.pair(i);
        [load(low), load(high)]
    }

    #[inline(always)]
    fn pair(&self, i: usize) -> &[Vector; 2] {
        self.pair_of(0, i)
    }

    /// Pair `i` of the vectors of panel `p`.
    #[inline(always)]
    pub(super) fn pair_of(&self, p: usize, i: usize) -> &[Vector; 2] {
        debug_assert!(p < P);
        // SAFETY: [`Tile::steps_of`] made sure that the step is there; no caller has a larger `i` than a step has pairs.
        unsafe { &*self.w.add(p * self.panel + i) }
    }

    /// As [`Step::weights`], floats.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn floats(&self, i: usize) -> [__m256; 2] {
        self.weights(i).map(|v| _mm256_castsi256_ps(v))
    }

    /// Activations of token `t` that are multiplied by pair `i` of the panel: as many as fill 32 bits.
    #[inline(always)]
    pub(super) fn word(&self, t: usize, i: usize) -> i32 {
        *self.at(t, i)
    }

    /// Word `i` of the input of token `t`.
    #[inline(always)]
    fn at(&self, t: usize, i: usize) -> &i32 {
        debug_assert!(t < T && i < 8 * INPUT);
        // SAFETY: as above; the input of a token is INPUT vectors of eight words.
        unsafe { &*self.x.add(t * INPUT).cast::<i32>().add(i) }
    }

    /// The scale of token `t`'s activations.
    #[inline(always)]
    pub(super) fn scale(&self, t: usize) -> f32 {
        f32::from_bits(*self.after(t, 0) as u32)
    }

    /// What offset `sub` of SUBS is multiplied by: the scale times the sum of its activations.
    #[inline(always)]
    pub(super) fn sum<const SUBS: usize>(&self, t: usize, sub: usize) -> f32 {
        f32::from_bits(*self.after(t, if SUBS == 1 { 1 } else { 2 + sub }) as u32)
    }

    /// The sum of token `t`'s activations in part `sub` of SUBS, negative.
    #[inline(always)]
    pub(super) fn less<const SUBS: usize>(&self, t: usize, sub: usize) -> &i32 {
        self.after(t, if SUBS == 1 { 4 } else { 5 + sub })
    }

    /// Word `i` of those that follow the activations.
    #[inline(always)]
    fn after(&self, t: usize, i: usize) -> &i32 {
        self.at(t, 8 * (INPUT - 1) + i)
    }

    /// What the integer sums of token `t` begin with: MIDDLE times the activations, taken off.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn start<const SUBS: usize, const MIDDLE: i32>(&self, t: usize, sub: usize) -> __m256i {
        if MIDDLE == 0 {
            return _mm256_setzero_si256();
        }
        _mm256_mullo_epi32(_mm256_set1_epi32(*self.less::<SUBS>(t, sub)), _mm256_set1_epi32(MIDDLE))
    }

    /// Adds integer sums, scaled, and the offsets, if they are stored.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn add_scaled<const SUBS: usize, const MIDDLE: i32>(
        &self,
        sub: usize,
        sums: [[__m256i; 2]; T],
        acc: &mut [[__m256; 2]; T],
    ) {
        let d = self.floats(QUADS + sub);
        for (t, acc) in acc.iter_mut().enumerate() {
            let x = _mm256_set1_ps(self.scale(t));
            for half in 0..2 {
                let scale = _mm256_mul_ps(d[half], x);
                acc[half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t][half]), scale, acc[half]);
            }
        }
        if MIDDLE == 0 {
            let offset = self.floats(QUADS + SUBS + sub);
            for (t, acc) in acc.iter_mut().enumerate() {
                let sum = _mm256_set1_ps(self.sum::<SUBS>(t, sub));
                for half in 0..2 {
                    acc[half] = _mm256_fmadd_ps(offset[half], sum, acc[half]);
                }
            }
        }
    }
}
