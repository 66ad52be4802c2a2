//! Activations quantized to int8 in blocks of 32, the right-hand side of every quantized product.

/// Elements that share one scale.
pub const Q8_BLOCK: usize = 32;
/// Elements that share one entry of [`Q8Row::sums`].
pub const Q8_SUM: usize = 16;

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

/// Storage for up to `rows` quantized rows of up to `k` activations, allocated once.
#[derive(Clone, Debug, Default)]
pub struct Q8Buffer {
    k: usize,
    rows: usize,
    qs: Vec<i8>,
    d: Vec<f32>,
    sums: Vec<i16>,
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
        }
    }

    /// Quantizes `x`, `x.len() / k` rows of `k` activations, with `kernels`.
    ///
    /// # Panics
    /// If `k` is no multiple of 32, `x` no multiple of `k`, or the buffer too small.
    pub fn quantize(&mut self, kernels: &crate::Kernels, x: &[f32], k: usize) {
        self.whole(x.len(), k).quantize(kernels, x);
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
