//! Many rows of quantized weights with one row of activations or a few: decoding reads every weight once a token, or
//! once for the tokens of some sequences, so that these run at the speed of memory, or should.
//!
//! All types go in steps of 256 elements, eight blocks of 32 or one of 256. `maddubs` multiplies unsigned by signed bytes:
//! weights are unsigned where that is possible, and what that adds is taken out through the sums of the activations. Integers
//! are taken out of their blocks once for all tokens. The products of a group of elements, sixteen or 32, are summed as integers,
//! and a vector has the sums of eight groups, which are scaled and added to those of other 256 elements at the same places.
//! One token has the parts of these sums in the lanes of several vectors, which are added up; for more, weights are turned so that
//! there are none. The integers are the same, and so are all bits.

use std::arch::x86_64::*;
use std::ops::Range;

use super::avx2::load_f32;
use super::bits::{bit, hsums, load, load_128, load_i16, shifted, two_bits};
use super::unpack::{
    affine, by_halves, byte_pairs, columns, f16_8, f16s, five_bit_pairs, four_bit_pairs, q3_scales,
    sixteen_bytes, turned, two_bits_at_4,
};
use super::{READER, Reader, floats};
use crate::format::TensorType;
use crate::format::iq4_nl::LEVELS;
use crate::isa::{Gemv, Q8Gemv};
use crate::q8::{FEW_TOKENS, Few, Q8x256};

/// The sums of a row and a token where a group is sixteen elements.
type Sums = [__m256; 2];

/// The functions whose instructions differ from level to level.
macro_rules! in_each_set {
    ($($item:item)*) => {
        compile_for!(avx2, "avx2,fma,f16c", $($item)*);
        compile_for!(avxvnni, "avx2,fma,f16c,avxvnni", $($item)*);
        compile_for!(avx512vnni, "avx2,fma,f16c,avx512vl,avx512vnni", $($item)*);
    };
}

/// Of such a type are functions that need instructions beyond x86-64's.
pub(super) type Unsafe = unsafe fn(&[u8], Few<'_>, &mut [&mut [f32]]);

/// The functions of a level by type: for one token, and for any number up to [`FEW_TOKENS`].
macro_rules! table {
    ($set:ident, $floats:path, $($ty:ident $f:ident),*) => {
        pub(super) fn $set(ty: TensorType) -> Option<Gemv> {
            match ty {
                $(TensorType::$ty => gemvs!($set::$f::<1>, $set::$f::<ANY>, $set::$f::<ANY>),)*
                _ => $floats(ty),
            }
        }
    };
}

/// The same of all types.
macro_rules! table_of_all {
    ($set:ident) => {
        table!(
            $set, floats::avx2, Q4_0 q4_0, Q4_1 q4_1, Q5_0 q5_0, Q5_1 q5_1, Q8_0 q8_0, Q2_K q2_k, Q3_K q3_k, Q4_K q4_k, Q5_K q5_k,
            Q6_K q6_k, IQ4_NL iq4_nl
        );
    };
}

table_of_all!(avx2);
table_of_all!(avxvnni);
// The types of most files are in [`super::avx512_few`].
table!(avx512vnni, floats::avx512, Q4_1 q4_1, Q5_0 q5_0, Q5_1 q5_1, Q2_K q2_k, Q3_K q3_k, Q5_K q5_k, IQ4_NL iq4_nl);

/// As a function's number of tokens: as many as there are, for more than one.
const ANY: usize = 0;

/// Rows whose sums are added up together.
const ROWS: usize = 8;

/// How many times 256 activations lie in an L1 cache beside all else.
const NEAR: usize = 48;

in_each_set! {
    /// The products of all rows and T tokens. `add` adds those of 256 elements, in `BYTES` bytes, to the tokens' sums, which
    /// begin with `zero`; `eight_sums` makes eight of them, whose own sum is the result.
    #[inline]
    pub(in crate::x86) fn rows<const BYTES: usize, const T: usize, S: Copy>(
        w: &[u8],
        x: Few<'_>,
        out: &mut [&mut [f32]],
        (zero, eight_sums): (S, impl Fn(S) -> __m256),
        add: impl Fn(&[u8; BYTES], &[Q8x256], &mut [S]),
    ) {
        let n = if T == ANY { out.len() } else { T };
        assert!(n == out.len() && n <= FEW_TOKENS);
        if w.is_empty() {
            return out.iter_mut().for_each(|out| out.fill(0.0));
        }
        let row_bytes = w.len() / out[0].len();
        let steps = row_bytes.div_ceil(BYTES);
        assert!(x.steps() == steps);
        let ahead = Distances::of::<BYTES>(T == 1);
        // The last blocks of a row that are not 256 elements, and zeros.
        let mut padded = [0; BYTES];
        // Adds some steps of a row. Inlined, as it is called in one place of those below alone, and `add` in it.
        let mut add_steps = |w: &[u8], steps: Range<usize>, sums: &mut [S]| {
            let (blocks, rest) = w.as_chunks::<BYTES>();
            let mut blocks = blocks[steps.start.min(blocks.len())..].iter();
            for x in x.each(steps, n) {
                let w = blocks.next().unwrap_or_else(|| {
                    padded[..rest.len()].copy_from_slice(rest);
                    &padded
                });
                look_ahead(w, ahead);
                add(w, x, sums);
            }
        };
        // The results of some rows at a time: taken a row at a time, what comes next waits for them.
        let results = |[a, b, c, d, e, f, g, h]: [S; ROWS]| {
            let (a, b, c, d) = (eight_sums(a), eight_sums(b), eight_sums(c), eight_sums(d));
            let (e, f, g, h) = (eight_sums(e), eight_sums(f), eight_sums(g), eight_sums(h));
            hsums([a, b, c, d, e, f, g, h])
        };
        if T == 1 {
            let out = &mut *out[0];
            let rows_a_stream = out.len().div_ceil(ahead.streams);
            let turns = rows_a_stream * ahead.streams;
            let row = |turn| row_of(turn, ahead.streams, rows_a_stream);
            for first in (0..turns).step_by(ROWS) {
                let mut sums = [zero; ROWS];
                for (turn, sums) in (first..turns).zip(&mut sums) {
                    if let Some(w) = w[(row(turn) * row_bytes).min(w.len())..].get(..row_bytes) {
                        let mut sum = [zero];
                        add_steps(w, 0..steps, &mut sum);
                        [*sums] = sum;
                    }
                }
                for (turn, result) in (first..turns).zip(results(sums)) {
                    if let Some(out) = out.get_mut(row(turn)) {
                        *out = result;
                    }
                }
            }
            return;
        }
        // Some rows at a time are taken as far as the activations of all tokens come from the L1 cache.
        let part = NEAR / n;
        let mut sums = [[zero; FEW_TOKENS]; ROWS];
        for (i, w) in w.chunks(ROWS * row_bytes).enumerate() {
            sums.iter_mut().for_each(|sums| sums[..n].fill(zero));
            for start in (0..steps).step_by(part) {
                for (w, sums) in w.chunks_exact(row_bytes).zip(&mut sums) {
                    add_steps(w, start..steps.min(start + part), &mut sums[..n]);
                }
            }
            let [a, b, c, d, e, f, g, h] = &sums;
            for (t, out) in out.iter_mut().enumerate() {
                let results = results([a[t], b[t], c[t], d[t], e[t], f[t], g[t], h[t]]);
                for (out, result) in out[ROWS * i..].iter_mut().zip(results) {
                    *out = result;
                }
            }
        }
    }

    /// As [`rows`], of eight blocks of 32 with a scale each.
    #[inline]
    fn blocks<const BYTES: usize, const T: usize>(
        w: &[u8],
        x: Few<'_>,
        out: &mut [&mut [f32]],
        add: impl Fn(&[u8; BYTES], &[Q8x256], &mut [__m256]),
    ) {
        rows::<BYTES, T, __m256>(w, x, out, (_mm256_setzero_ps(), |s| s), add);
    }

    #[allow(dead_code, reason = "with AVX-512 another one is used")]
    pub(in crate::x86) fn q4_0<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        blocks::<{ 8 * 18 }, T>(w, x, out, |w, x, sums| {
            let (q, d) = (nibbles_of::<T, 18>(w, 2), f16s::<18>(w, 0));
            for (sum, x) in sums.iter_mut().zip(x) {
                add_scaled(sum, unsigned::<T, 8>(&q, x), d, x);
                add_offsets(sum, times(d, -8.0), x);
            }
        });
    }

    pub(in crate::x86) fn q4_1<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        blocks::<{ 8 * 20 }, T>(w, x, out, |w, x, sums| {
            let q = nibbles_of::<T, 20>(w, 4);
            let (d, m) = (f16s::<20>(w, 0), f16s::<20>(w, 2));
            for (sum, x) in sums.iter_mut().zip(x) {
                add_scaled(sum, unsigned::<T, 8>(&q, x), d, x);
                add_offsets(sum, m, x);
            }
        });
    }

    pub(in crate::x86) fn q5_0<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        blocks::<{ 8 * 22 }, T>(w, x, out, |w, x, sums| {
            let (q, d) = (pairs::<T>(|i| five_bit_pairs::<22>(w, 2, i)), f16s::<22>(w, 0));
            for (sum, x) in sums.iter_mut().zip(x) {
                add_scaled(sum, unsigned::<T, 4>(&q, x), d, x);
                add_offsets(sum, times(d, -16.0), x);
            }
        });
    }

    pub(in crate::x86) fn q5_1<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        blocks::<{ 8 * 24 }, T>(w, x, out, |w, x, sums| {
            let q = pairs::<T>(|i| five_bit_pairs::<24>(w, 4, i));
            let (d, m) = (f16s::<24>(w, 0), f16s::<24>(w, 2));
            for (sum, x) in sums.iter_mut().zip(x) {
                add_scaled(sum, unsigned::<T, 4>(&q, x), d, x);
                add_offsets(sum, m, x);
            }
        });
    }

    pub(in crate::x86) fn iq4_nl<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        // SAFETY: an unaligned load of 16 bytes.
        let levels = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(LEVELS.as_ptr().cast()) });
        let levels = moved(levels);
        blocks::<{ 8 * 18 }, T>(w, x, out, |w, x, sums| {
            let (nibbles, d) = (nibbles_of::<T, 18>(w, 2), f16s::<18>(w, 0));
            let q = eight(|i| _mm256_shuffle_epi8(levels, nibbles[i]));
            for (sum, x) in sums.iter_mut().zip(x) {
                add_scaled(sum, signed::<T>(&q, x), d, x);
            }
        });
    }

    #[allow(dead_code, reason = "with AVX-512 another one is used")]
    pub(in crate::x86) fn q8_0<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        blocks::<{ 8 * 34 }, T>(w, x, out, |w, x, sums| {
            let (bytes, d) = (pairs::<T>(|i| byte_pairs::<34>(w, 2, i)), f16s::<34>(w, 0));
            let q = eight(|i| moved(bytes[i]));
            for (sum, x) in sums.iter_mut().zip(x) {
                add_scaled(sum, signed::<T>(&q, x), d, x);
            }
        });
    }

    #[allow(dead_code, reason = "with AVX-512 another one is used")]
    pub(in crate::x86) fn q4_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        blocks::<144, T>(w, x, out, |w, x, sums| {
            let (q, (d, mins)) = (pairs::<T>(|i| four_bit_pairs(w, 16, i)), affine(w));
            for (sum, x) in sums.iter_mut().zip(x) {
                add_scaled(sum, unsigned::<T, 8>(&q, x), d, x);
                add_offsets(sum, times(mins, -1.0), x);
            }
        });
    }

    pub(in crate::x86) fn q5_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        blocks::<176, T>(w, x, out, |w, x, sums| {
            // Bit i of the bytes in the low lane is for block i, in the high lane for block i + 4.
            let bits = |at| {
                let both = _mm256_broadcastsi128_si256(load_128(w, at));
                _mm256_srlv_epi32(both, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4))
            };
            let (first, second) = (bits(16), bits(32));
            let fifth = |bits, i: usize| {
                let count = _mm_cvtsi32_si128(4 - i as i32);
                _mm256_and_si256(_mm256_sll_epi16(bits, count), _mm256_set1_epi8(16))
            };
            let q = pairs::<T>(|i| {
                let low = four_bit_pairs(w, 48, i);
                [_mm256_or_si256(low[0], fifth(first, i)), _mm256_or_si256(low[1], fifth(second, i))]
            });
            let (d, mins) = affine(w);
            for (sum, x) in sums.iter_mut().zip(x) {
                add_scaled(sum, unsigned::<T, 4>(&q, x), d, x);
                add_offsets(sum, times(mins, -1.0), x);
            }
        });
    }

    #[allow(dead_code, reason = "with AVX-512 another one is used")]
    pub(in crate::x86) fn q6_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<210, T, Sums>(w, x, out, (zero(), |[a, b]| _mm256_add_ps(a, b)), |w, x, sums| {
            let q = eight(|i| {
                // Parts 0 and 2 of a half share 32 bytes, parts 1 and 3 the next.
                let (half, part) = (i / 4, i % 4);
                let low = shifted(load(w, 64 * half + 32 * (part % 2)), 4 * (part / 2), 15);
                _mm256_or_si256(low, two_bits_at_4(load(w, 128 + 32 * half), part))
            });
            let (scales, d) = (load_128(w, 192), f16_8(w, 208));
            add_sixteens::<T, 2>(sums, x, q, (scales, d), (scales, times(d, -32.0)));
        });
    }

    pub(in crate::x86) fn q3_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<110, T, Sums>(w, x, out, (zero(), |[a, b]| _mm256_add_ps(a, b)), |w, x, sums| {
            let third = load(w, 0);
            let q = eight(|i| _mm256_or_si256(two_bits(w, 32, i), bit(third, i, 4)));
            let (scales, d) = (q3_scales(w), f16_8(w, 108));
            add_sixteens::<T, 4>(sums, x, q, (scales, d), (scales, times(d, -4.0)));
        });
    }

    pub(in crate::x86) fn q2_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<84, T, Sums>(w, x, out, (zero(), |[a, b]| _mm256_add_ps(a, b)), |w, x, sums| {
            let (both, nibble) = (load_128(w, 0), _mm_set1_epi8(15));
            let (scales, mins) = (_mm_and_si128(both, nibble), _mm_and_si128(_mm_srli_epi16(both, 4), nibble));
            let q = eight(|i| two_bits(w, 16, i));
            add_sixteens::<T, 4>(sums, x, q, (scales, f16_8(w, 80)), (mins, times(f16_8(w, 82), -1.0)));
        });
    }

    /// Adds blocks of 32 with the integers `q` whose halves have a scale each, integers in units of `d`, and as many offsets
    /// in units of their own. PER as for [`unsigned_halves`].
    #[inline]
    fn add_sixteens<const T: usize, const PER: usize>(
        sums: &mut [Sums],
        x: &[Q8x256],
        q: [__m256i; 8],
        (scales, d): (__m128i, __m256),
        (offsets, unit): (__m128i, __m256),
    ) {
        let (offsets, [low, high]) = (_mm256_cvtepi8_epi16(offsets), by_halves(scales));
        let scales = [_mm256_mul_ps(low, d), _mm256_mul_ps(high, d)];
        let q = if T == 1 { q } else { turned(q) };
        for (sums, x) in sums.iter_mut().zip(x) {
            let offsets = _mm256_cvtepi32_ps(_mm256_madd_epi16(offsets, load_i16(&x.sums)));
            sums[0] = _mm256_fmadd_ps(_mm256_mul_ps(unit, load_f32(&x.d)), offsets, sums[0]);
            let products =
                if T == 1 { unsigned_halves::<PER>(&q, x) } else { unsigned_half_columns::<PER>(&q, x) };
            for i in 0..2 {
                // SAFETY: an unaligned load of 16 bytes.
                let xd = _mm256_broadcast_ps(unsafe { &*x.d.as_chunks::<4>().0[i].as_ptr().cast() });
                let products = _mm256_cvtepi32_ps(products[i]);
                sums[i] = _mm256_fmadd_ps(products, _mm256_mul_ps(scales[i], xd), sums[i]);
            }
        }
    }

    /// The sums of eight blocks of unsigned weights, for T tokens as [`pairs`] has them. PER as for [`unsigned_blocks`].
    #[inline]
    fn unsigned<const T: usize, const PER: usize>(q: &[__m256i; 8], x: &Q8x256) -> __m256i {
        if T == 1 { unsigned_blocks::<PER>(q, x) } else { unsigned_columns::<PER>(q, x) }
    }

    /// As [`unsigned`], of signed weights.
    #[inline]
    fn signed<const T: usize>(q: &[__m256i; 8], x: &Q8x256) -> __m256i {
        if T == 1 { signed_blocks(q, x) } else { signed_columns(q, x) }
    }

    /// The first and the second halves of blocks i and i + 4, for i below 4, as T tokens want them: for one, all of the first,
    /// then of the second; for more, turned to columns, so that the sums of a vector's lanes need not be added up for each.
    #[inline]
    fn pairs<const T: usize>(q: impl Fn(usize) -> [__m256i; 2]) -> [__m256i; 8] {
        let ([a, e], [b, f], [c, g], [d, h]) = (q(0), q(1), q(2), q(3));
        let q = [a, b, c, d, e, f, g, h];
        if T == 1 { q } else { turned(q) }
    }

    /// As [`pairs`], of blocks of `SIZE` bytes whose integers are the nibbles of the sixteen bytes from `at` on.
    #[inline]
    fn nibbles_of<const T: usize, const SIZE: usize>(w: &[u8], at: usize) -> [__m256i; 8] {
        let both = |i| sixteen_bytes::<SIZE>(w, at, i);
        let both = [both(0), both(1), both(2), both(3)];
        let [a, b, c, d] = if T == 1 { both } else { columns(both) };
        let mask = _mm256_set1_epi8(15);
        let low = |v| _mm256_and_si256(v, mask);
        let high = |v| _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
        [low(a), low(b), low(c), low(d), high(a), high(b), high(c), high(d)]
    }

    /// The integers of eight blocks.
    #[inline]
    fn eight(q: impl Fn(usize) -> __m256i) -> [__m256i; 8] {
        [q(0), q(1), q(2), q(3), q(4), q(5), q(6), q(7)]
    }
}

/// Which row has its turn where rows are read by turns at so many places, a power of two, of `rows_a_stream` rows each. The last
/// place may have fewer: then there is no such row.
#[inline(always)]
fn row_of(turn: usize, streams: usize, rows_a_stream: usize) -> usize {
    (turn & (streams - 1)) * rows_a_stream + (turn >> streams.trailing_zeros())
}

/// How many bytes ahead of their use weights are fetched into the L1 cache, and into the L2 cache, 0 for not; and at how many
/// places, a power of two, the rows of one token are read by turns.
#[derive(Clone, Copy)]
pub(super) struct Distances {
    pub near: usize,
    pub far: usize,
    streams: usize,
}

impl Distances {
    /// What the processor likes best with steps of so many bytes, and one token or more: docs/performance.md.
    ///
    /// AMD's read ahead as far as the memory is away by prefetches into the L2 cache. Those into the L1 cache take up the few
    /// places that it has for lines on their way. Intel's read ahead too little by itself, like both, and read ahead more of four
    /// streams than of one.
    #[inline(always)]
    pub(super) fn of<const BYTES: usize>(one_token: bool) -> Distances {
        match *READER {
            Reader::Intel if one_token => Distances { near: 512, far: 2048, streams: 4 },
            Reader::Intel => Distances { near: 2048, far: 8192, streams: 1 },
            Reader::Zen4 if BYTES > 256 => Distances { near: 0, far: 0, streams: 1 },
            Reader::Zen4 | Reader::Other => Distances { near: 0, far: 12288, streams: 1 },
        }
    }
}

/// Has the weights behind a step's brought nearer.
#[inline(always)]
pub(super) fn look_ahead<const BYTES: usize>(w: &[u8; BYTES], ahead: Distances) {
    // One byte is read and dropped: a plain load at the head of every step shows the processor what comes next, vectors at odd
    // places alone it may not recognise.
    // SAFETY: the byte is borrowed; volatile, for it to be read at all.
    unsafe { w.as_ptr().read_volatile() };
    let line = |bytes, line| w.as_ptr().wrapping_add(bytes + line).cast();
    for i in (0..BYTES).step_by(64) {
        if ahead.near > 0 {
            // SAFETY: here and below, part of every x86-64; any address will do.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line(ahead.near, i)) };
        }
        if ahead.far > 0 {
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(line(ahead.far, i)) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn zero() -> Sums {
    [_mm256_setzero_ps(); 2]
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn times(v: __m256, by: f32) -> __m256 {
    _mm256_mul_ps(v, _mm256_set1_ps(by))
}

/// Adds the integer sums of eight blocks with the scales `d`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn add_scaled(sum: &mut __m256, products: __m256i, d: __m256, x: &Q8x256) {
    *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_mul_ps(d, load_f32(&x.d)), *sum);
}

/// Adds `d`, a factor a block, times the sums of the activations.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_offsets(sum: &mut __m256, d: __m256, x: &Q8x256) {
    *sum = _mm256_fmadd_ps(d, load_f32(&x.offset), *sum);
}

#[cfg(test)]
mod tests {
    use super::row_of;

    #[test]
    fn every_row_has_one_turn() {
        for (rows, streams) in (0..40).flat_map(|rows| [1, 2, 4].map(|streams| (rows, streams))) {
            let rows_a_stream = usize::div_ceil(rows, streams);
            let turns = (0..rows_a_stream * streams).map(|turn| row_of(turn, streams, rows_a_stream));
            let mut taken: Vec<usize> = turns.filter(|&row| row < rows).collect();
            taken.sort();
            assert!(taken.into_iter().eq(0..rows), "{rows} rows, {streams} streams");
        }
    }
}
