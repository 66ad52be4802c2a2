//! Activations quantized to int8 in blocks of 32, the right-hand side of every quantized product.

/// Elements that share one scale.
pub const Q8_BLOCK: usize = 32;
/// Elements that share one entry of [`Q8Row::sums`].
pub const Q8_SUM: usize = 16;

/// The most tokens that [`Kernels::matmul_few`](crate::Kernels::matmul_few) takes, and so the most rows that are kept in
/// the form for few.
pub const FEW_TOKENS: usize = 16;

/// One quantized row of `k` activations: `x[i] ≈ qs[i] · d[i / 32]`.
#[derive(Clone, Copy, Debug)]
pub struct Q8Row<'a> {
    /// `k` values in -127..=127; -128 would overflow in some kernels.
    pub qs: &'a [i8],
    /// `k / 32` scales; NaN where the block held a value that was not finite.
    pub d: &'a [f32],
    /// `k / 16` sums of 16 consecutive `qs`, for the types that carry an offset or a minimum.
    pub sums: &'a [i16],
}

impl Q8Row<'_> {
    /// The `len` activations from `start` on, both multiples of 32.
    pub(crate) fn range(self, start: usize, len: usize) -> Self {
        let part = |unit: usize| start / unit..(start + len) / unit;
        Q8Row { qs: &self.qs[part(1)], d: &self.d[part(Q8_BLOCK)], sums: &self.sums[part(Q8_SUM)] }
    }
}

/// 256 activations of a row, laid out for the kernels that multiply many weight rows with few of activations.
///
/// A row that is no multiple of 256 is filled up with zeros.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Q8x256 {
    /// As [`Q8Row::qs`].
    pub qs: [[i8; 32]; 8],
    /// The same integers for weights that keep elements i and i + 16 in one byte, the halves of blocks i and i + 4 in
    /// each: the first halves for i = 0 and 2, the second halves for 0 and 2, then those for 1 and 3.
    pub paired: [[i8; 32]; 8],
    /// The same in columns: elements 4 i to 4 i + 3 of every block in entry i. Filled in, as [`Q8x256::half_columns`], on x86
    /// where there are several rows.
    pub columns: [[i8; 32]; 8],
    /// The same in columns of halves of blocks: for i below 4 elements 4 i to 4 i + 3 of the first halves of the first four blocks
    /// and of the second halves, then those of the last four blocks.
    pub half_columns: [[i8; 32]; 8],
    /// As [`Q8Row::d`].
    pub d: [f32; 8],
    /// `d` · Σ `qs`, a block.
    pub offset: [f32; 8],
    /// As [`Q8Row::sums`].
    pub sums: [i16; 16],
}

impl Q8x256 {
    /// Activations of each.
    const LEN: usize = 256;

    const ZERO: Q8x256 = Q8x256 {
        qs: [[0; 32]; 8],
        paired: [[0; 32]; 8],
        columns: [[0; 32]; 8],
        half_columns: [[0; 32]; 8],
        d: [0.0; 8],
        offset: [0.0; 8],
        sums: [0; 16],
    };

    /// The first 256 activations of each of `rows` rows, then the next 256 of each, and so on.
    pub fn chunks<'a>(rows: usize, row: impl Fn(usize) -> Q8Row<'a>) -> impl Iterator<Item = Q8x256> {
        let k = if rows > 0 { row(0).qs.len() } else { 0 };
        let places = (0..k).step_by(Self::LEN).flat_map(move |start| (0..rows).map(move |r| (start, r)));
        places.map(move |(start, r)| {
            let mut x = Q8x256::new(row(r).range(start, Self::LEN.min(k - start)));
            if rows > 1 && cfg!(target_arch = "x86_64") {
                x.put_columns();
            }
            x
        })
    }

    /// Where [`Q8x256::paired`] has the first halves of blocks i and i + 4, and where the second.
    #[inline(always)]
    pub(crate) const fn pair(i: usize) -> [usize; 2] {
        let first = i % 2 * 4 + i / 2;
        [first, first + 2]
    }

    /// At most 256 activations.
    fn new(row: Q8Row<'_>) -> Q8x256 {
        let mut x = Q8x256::ZERO;
        x.qs.as_flattened_mut()[..row.qs.len()].copy_from_slice(row.qs);
        x.d[..row.d.len()].copy_from_slice(row.d);
        x.sums[..row.sums.len()].copy_from_slice(row.sums);
        for i in 0..8 {
            let (first, second) = x.qs[i].split_at(16);
            let half = i / 4 * 16..i / 4 * 16 + 16;
            let [at_first, at_second] = Self::pair(i % 4);
            x.paired[at_first][half.clone()].copy_from_slice(first);
            x.paired[at_second][half].copy_from_slice(second);
            x.offset[i] = x.d[i] * f32::from(x.sums[2 * i] + x.sums[2 * i + 1]);
        }
        x
    }

    fn put_columns(&mut self) {
        for (block, qs) in self.qs.iter().enumerate() {
            for (i, four) in qs.as_chunks::<4>().0.iter().enumerate() {
                self.columns[i].as_chunks_mut::<4>().0[block] = *four;
                let halves = self.half_columns[block / 4 * 4 + i % 4].as_chunks_mut::<4>().0;
                halves[i / 4 * 4 + block % 4] = *four;
            }
        }
    }
}

/// A few rows of activations, laid out for the kernels that multiply them with many weight rows.
#[derive(Clone, Copy, Debug)]
pub struct Few<'a> {
    chunks: &'a [Q8x256],
    /// All rows that the chunks are of.
    rows: usize,
    /// The first row that is meant.
    first: usize,
}

impl<'a> Few<'a> {
    /// `rows` rows by [`Q8x256::chunks`].
    pub fn new(chunks: &'a [Q8x256], rows: usize) -> Few<'a> {
        Few { chunks, rows, first: 0 }
    }

    /// The rows from `first` on.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn from(self, first: usize) -> Few<'a> {
        assert!(self.first + first <= self.rows);
        Few { first: self.first + first, ..self }
    }

    /// The `i`th 256 activations of the first `n` rows.
    ///
    /// # Panics
    /// If there are not so many activations or rows.
    #[inline(always)]
    pub(crate) fn rows(self, i: usize, n: usize) -> &'a [Q8x256] {
        &self.chunks[i * self.rows..][self.first..][..n]
    }

    /// [`Few::rows`] of one step after another.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn each(self, steps: std::ops::Range<usize>, n: usize) -> impl Iterator<Item = &'a [Q8x256]> {
        // Or the rows of the next step would be taken for more of this one.
        assert!(self.first + n <= self.rows);
        steps.map(move |i| self.rows(i, n))
    }

    /// How many times 256 activations there are.
    pub(crate) fn steps(self) -> usize {
        self.chunks.len() / self.rows.max(1)
    }
}

/// Storage for up to `rows` quantized rows of up to `k` activations, allocated once.
#[derive(Clone, Debug, Default)]
pub struct Q8Buffer {
    k: usize,
    rows: usize,
    qs: Vec<i8>,
    d: Vec<f32>,
    sums: Vec<i16>,
    /// The rows as [`Few`], if they are.
    chunks: Vec<Q8x256>,
}

impl Q8Buffer {
    /// Makes room for `elements` activations in all (rows × k), a multiple of 32.
    pub fn with_capacity(elements: usize) -> Self {
        Q8Buffer {
            k: 0,
            rows: 0,
            qs: vec![0; elements],
            d: vec![0.0; elements / Q8_BLOCK],
            sums: vec![0; elements / Q8_SUM],
            chunks: Vec::new(),
        }
    }

    /// Makes room for `rows` rows of `k` activations, as many of them as are few, so that quantizing them does not
    /// allocate.
    pub fn reserve_chunks(&mut self, rows: usize, k: usize) {
        let len = rows.min(FEW_TOKENS) * k.div_ceil(Q8x256::LEN);
        self.chunks.reserve(len.saturating_sub(self.chunks.len()));
    }

    /// Quantizes `x`, `x.len() / k` rows of `k` activations, with `kernels`.
    ///
    /// # Panics
    /// If `k` is no multiple of 32, `x` no multiple of `k`, or the buffer too small.
    pub fn quantize(&mut self, kernels: &crate::Kernels, x: &[f32], k: usize) {
        self.whole(x.len(), k).quantize(kernels, x);
        if self.rows <= FEW_TOKENS {
            let mut chunks = std::mem::take(&mut self.chunks);
            chunks.extend(Q8x256::chunks(self.rows, |r| self.row(r)));
            self.chunks = chunks;
        }
    }

    /// The rows of the last [`Q8Buffer::quantize`] in the form for few; none if there were more than [`FEW_TOKENS`], or they
    /// were quantized by [`Q8Buffer::parts`].
    pub fn few(&self) -> Few<'_> {
        Few::new(&self.chunks, self.rows)
    }

    /// Parts of so many rows each, the last maybe of fewer, to be filled with the quantized rows of `rows · k`
    /// activations, side by side.
    ///
    /// # Panics
    /// As [`Q8Buffer::quantize`].
    pub fn parts(&mut self, rows: usize, k: usize, rows_a_part: usize) -> Vec<Q8Part<'_>> {
        let mut rest = self.whole(rows * k, k);
        let mut parts = Vec::with_capacity(rows.div_ceil(rows_a_part));
        while !rest.qs.is_empty() {
            let len = rest.qs.len().min(rows_a_part * k);
            let (part, after) = rest.split(len);
            parts.push(part);
            rest = after;
        }
        parts
    }

    fn whole(&mut self, elements: usize, k: usize) -> Q8Part<'_> {
        assert!(k.is_multiple_of(Q8_BLOCK) && elements.is_multiple_of(k));
        self.k = k;
        self.rows = elements / k;
        self.chunks.clear();
        Q8Part {
            qs: &mut self.qs[..elements],
            d: &mut self.d[..elements / Q8_BLOCK],
            sums: &mut self.sums[..elements / Q8_SUM],
        }
    }

    /// Rows of the last [`Q8Buffer::quantize`].
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Activations a row of the last [`Q8Buffer::quantize`].
    pub fn k(&self) -> usize {
        self.k
    }

    /// Row `r` of the last [`Q8Buffer::quantize`].
    pub fn row(&self, r: usize) -> Q8Row<'_> {
        let k = self.k;
        assert!(r < self.rows);
        Q8Row {
            qs: &self.qs[r * k..(r + 1) * k],
            d: &self.d[r * k / Q8_BLOCK..(r + 1) * k / Q8_BLOCK],
            sums: &self.sums[r * k / Q8_SUM..(r + 1) * k / Q8_SUM],
        }
    }
}

/// Some rows of a [`Q8Buffer`] to be filled.
pub struct Q8Part<'a> {
    qs: &'a mut [i8],
    d: &'a mut [f32],
    sums: &'a mut [i16],
}

impl<'a> Q8Part<'a> {
    /// Quantizes `x`, as many activations as the part has.
    pub fn quantize(&mut self, kernels: &crate::Kernels, x: &[f32]) {
        (kernels.quantize_q8)(x, self.qs, self.d, self.sums);
    }

    fn split(self, at: usize) -> (Self, Self) {
        let (qs, rest_qs) = self.qs.split_at_mut(at);
        let (d, rest_d) = self.d.split_at_mut(at / Q8_BLOCK);
        let (sums, rest_sums) = self.sums.split_at_mut(at / Q8_SUM);
        (Q8Part { qs, d, sums }, Q8Part { qs: rest_qs, d: rest_d, sums: rest_sums })
    }
}

/// The scale of a block and its reciprocal, from the bits of its largest magnitude: that becomes ±127.
///
/// As integers, magnitudes order as they do as floats, and NaN above infinity. A block of zeros, or one so small
/// that the scale would be subnormal, has scale 0; one that holds NaN or infinity has scale NaN, so that a broken
/// activation shows in the result. In both cases the reciprocal is 0, and so are all integers.
pub(crate) fn block_scale(amax: u32) -> (f32, f32) {
    let amax = f32::from_bits(amax);
    let d = amax / 127.0;
    if !amax.is_finite() {
        (f32::NAN, 0.0)
    } else if d < f32::MIN_POSITIVE {
        (0.0, 0.0)
    } else {
        (d, 1.0 / d)
    }
}

/// Quantizes one block, halves rounded away from zero, and returns its scale.
pub(crate) fn quantize_block(x: &[f32; Q8_BLOCK], qs: &mut [i8; Q8_BLOCK]) -> f32 {
    let (d, id) = block_scale(x.iter().fold(0, |max, v| max.max(v.to_bits() & 0x7fff_ffff)));
    // Casting makes the NaN of infinity · 0 a 0.
    *qs = x.map(|v| (v * id).round() as i8);
    d
}
