//! Many rows of quantized weights with one row of activations or a few: decoding reads every weight once a token, or
//! once for the tokens of some sequences, so that these run at the speed of memory, or should.
//!
//! All types go in steps of 256 elements, eight blocks of 32 or one of 256. As in [`super::avx2_dot`], weights are
//! unsigned where that is possible, and what that adds is taken out through the sums of the activations. Integers are
//! taken out of their blocks once for all tokens; every token's sums are taken in the same order as that of one alone.

use std::arch::x86_64::*;

use super::avx2::{load_f32, store_f32};
use super::avx2_dot::{affine_integers, bit, hsum, load, load_128, shifted, two_bits};
use super::{READER, Reader};
use crate::format::TensorType;
use crate::format::iq4_nl::LEVELS;
use crate::isa::{Gemv, Gemvs};
use crate::q8::{Few, Q8x256};

/// The sums of a row and a token: two that take turns, to shorten the chain of additions.
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

/// The functions of a level by type, for as many tokens as there are registers for.
macro_rules! table {
    ($set:ident, $($ty:ident $f:ident),*) => {
        pub(super) fn $set(ty: TensorType) -> Option<Gemvs> {
            match ty {
                $(TensorType::$ty => for_tokens!($set, $f, 1 2 3 4),)*
                _ => None,
            }
        }
    };
}

/// The same of all types.
macro_rules! table_of_all {
    ($set:ident) => {
        table!(
            $set, Q4_0 q4_0, Q4_1 q4_1, Q5_0 q5_0, Q5_1 q5_1, Q8_0 q8_0, Q2_K q2_k, Q3_K q3_k, Q4_K q4_k, Q5_K q5_k,
            Q6_K q6_k, IQ4_NL iq4_nl
        );
    };
}

table_of_all!(avx2);
table_of_all!(avxvnni);
// The types of most files are in [`super::avx512_few`].
table!(avx512vnni, Q4_1 q4_1, Q5_0 q5_0, Q5_1 q5_1, Q2_K q2_k, Q3_K q3_k, Q5_K q5_k, IQ4_NL iq4_nl);

in_each_set! {
    /// The products of all rows and T tokens. `add` adds those of 256 elements, in `BYTES` bytes, to the sums, which begin
    /// with `zero` and of which `total` makes the result.
    #[inline]
    pub(in crate::x86) fn rows<const BYTES: usize, const T: usize, S: Copy>(
        w: &[u8],
        x: Few<'_>,
        out: &mut [&mut [f32]],
        (zero, total): (S, impl Fn(S) -> f32),
        add: impl Fn(&[u8; BYTES], &[Q8x256; T], &mut [S; T]),
    ) {
        let out: &mut [&mut [f32]; T] = out.try_into().expect("a column a token");
        if w.is_empty() {
            return out.iter_mut().for_each(|out| out.fill(0.0));
        }
        let reader = *READER;
        // The last blocks of a row that are not 256 elements, and zeros.
        let mut padded = [0; BYTES];
        for (r, w) in w.chunks_exact(w.len() / out[0].len()).enumerate() {
            let mut sums = [zero; T];
            let (blocks, rest) = w.as_chunks::<BYTES>();
            let steps = blocks.len() + usize::from(!rest.is_empty());
            assert!(x.steps() == steps);
            for i in 0..steps {
                let w = blocks.get(i).unwrap_or_else(|| {
                    padded[..rest.len()].copy_from_slice(rest);
                    &padded
                });
                look_ahead(w, reader);
                // Called in one place alone, so that it is inlined.
                add(w, x.step(i), &mut sums);
            }
            for (out, sums) in out.iter_mut().zip(sums) {
                out[r] = total(sums);
            }
        }
    }

    #[allow(dead_code, reason = "with AVX-512 another one is used")]
    pub(in crate::x86) fn q4_0<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<{ 8 * 18 }, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
            let d = f16s::<18>(w, 0);
            add_offsets(sums, times(d, -8.0), x);
            add_pairs(sums, d, x, |i| nibble_pairs::<18>(w, 2, i), |q, x| unsigned_pairs(q, x));
        });
    }

    pub(in crate::x86) fn q4_1<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<{ 8 * 20 }, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
            add_offsets(sums, f16s::<20>(w, 2), x);
            add_pairs(sums, f16s::<20>(w, 0), x, |i| nibble_pairs::<20>(w, 4, i), |q, x| unsigned_pairs(q, x));
        });
    }

    pub(in crate::x86) fn q5_0<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<{ 8 * 22 }, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
            let d = f16s::<22>(w, 0);
            add_offsets(sums, times(d, -16.0), x);
            add_pairs(sums, d, x, |i| five_bit_pairs::<22>(w, 2, i), |q, x| unsigned_pairs(q, x));
        });
    }

    pub(in crate::x86) fn q5_1<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<{ 8 * 24 }, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
            add_offsets(sums, f16s::<24>(w, 2), x);
            add_pairs(sums, f16s::<24>(w, 0), x, |i| five_bit_pairs::<24>(w, 4, i), |q, x| unsigned_pairs(q, x));
        });
    }

    pub(in crate::x86) fn iq4_nl<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        // SAFETY: an unaligned load of 16 bytes.
        let levels = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(LEVELS.as_ptr().cast()) });
        let levels = moved(levels);
        rows::<{ 8 * 18 }, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
            let d = f16s::<18>(w, 0);
            if MOVED != 0.0 {
                add_offsets(sums, times(d, MOVED), x);
            }
            let pairs = |i| {
                let [a, b] = nibble_pairs::<18>(w, 2, i);
                [_mm256_shuffle_epi8(levels, a), _mm256_shuffle_epi8(levels, b)]
            };
            add_pairs(sums, d, x, pairs, |q, x| signed_pairs(q, x));
        });
    }

    #[allow(dead_code, reason = "with AVX-512 another one is used")]
    pub(in crate::x86) fn q8_0<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<{ 8 * 34 }, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
            let d = f16s::<34>(w, 0);
            if MOVED != 0.0 {
                add_offsets(sums, times(d, MOVED), x);
            }
            let mut scales = [[0.0; 8]; T];
            for (scales, x) in scales.iter_mut().zip(x) {
                store_f32(scales, _mm256_mul_ps(d, load_f32(&x.d)));
            }
            for (i, w) in w.as_chunks::<34>().0.iter().enumerate() {
                let q = moved(load(w, 2));
                for t in 0..T {
                    let products = signed(q, &x[t].qs[i]);
                    add_scaled(&mut sums[t][i % 2], products, _mm256_set1_ps(scales[t][i]));
                }
            }
        });
    }

    #[allow(dead_code, reason = "with AVX-512 another one is used")]
    pub(in crate::x86) fn q4_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<144, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
            let (d, mins) = affine(w);
            add_offsets(sums, times(mins, -1.0), x);
            add_pairs(sums, d, x, |i| four_bit_pairs(w, 16, i), |q, x| unsigned_pairs(q, x));
        });
    }

    pub(in crate::x86) fn q5_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<176, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
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
            let pairs = |i: usize| {
                let low = four_bit_pairs(w, 48, i);
                [_mm256_or_si256(low[0], fifth(first, i)), _mm256_or_si256(low[1], fifth(second, i))]
            };
            let (d, mins) = affine(w);
            add_offsets(sums, times(mins, -1.0), x);
            add_pairs(sums, d, x, pairs, |q, x| unsigned_pairs(q, x));
        });
    }

    #[allow(dead_code, reason = "with AVX-512 another one is used")]
    pub(in crate::x86) fn q6_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<210, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
            add_sixteens(sums, -32.0, f16_8(w, 208), load_128(w, 192), x, |i| {
                // Parts 0 and 2 of a half share 32 bytes, parts 1 and 3 the next.
                let (half, part) = (i / 4, i % 4);
                let low = shifted(load(w, 64 * half + 32 * (part % 2)), 4 * (part / 2), 15);
                _mm256_or_si256(low, two_bits_at_4(load(w, 128 + 32 * half), part))
            });
        });
    }

    pub(in crate::x86) fn q3_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<110, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
            let third = load(w, 0);
            add_sixteens(sums, -4.0, f16_8(w, 108), q3_scales(w), x, |i| {
                _mm256_or_si256(two_bits(w, 32, i), bit(third, i, 4))
            });
        });
    }

    pub(in crate::x86) fn q2_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
        rows::<84, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
            let both = load_128(w, 0);
            let nibble = _mm_set1_epi8(15);
            let mins = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(both, 4), nibble));
            let dmin = times(f16_8(w, 82), -1.0);
            for ([sum, _], x) in sums.iter_mut().zip(x) {
                let mins = _mm256_cvtepi32_ps(_mm256_madd_epi16(mins, load_i16(&x.sums)));
                let dmin = _mm256_mul_ps(dmin, load_f32(&x.d));
                *sum = _mm256_fmadd_ps(dmin, mins, *sum);
            }
            add_halves(sums, f16_8(w, 80), _mm_and_si128(both, nibble), x, |i| two_bits(w, 16, i));
        });
    }

    /// Adds pairs of blocks: `q(i)` is the first and the second halves of blocks i and i + 4, `products` eight sums of them
    /// and of the activations in the same order. `d` is the blocks' scales.
    #[inline]
    fn add_pairs<const T: usize>(
        sums: &mut [Sums; T],
        d: __m256,
        x: &[Q8x256; T],
        q: impl Fn(usize) -> [__m256i; 2],
        products: impl Fn([__m256i; 2], [&[i8; 32]; 2]) -> __m256i,
    ) {
        let mut scales = [d; T];
        for (scales, x) in scales.iter_mut().zip(x) {
            *scales = _mm256_mul_ps(d, load_f32(&x.d));
        }
        for i in 0..4 {
            let q = q(i);
            for t in 0..T {
                let products = products(q, Q8x256::pair(i).map(|at| &x[t].paired[at]));
                add_scaled(&mut sums[t][i % 2], products, in_lanes(scales[t], i));
            }
        }
    }

    /// Adds blocks of 32 whose halves have a scale each, in units of `d`, of integers to which `offset` is to be added.
    /// `q(i)` is the integers of block i.
    #[inline]
    fn add_sixteens<const T: usize>(
        sums: &mut [Sums; T],
        offset: f32,
        d: __m256,
        scales: __m128i,
        x: &[Q8x256; T],
        q: impl Fn(usize) -> __m256i,
    ) {
        let (words, unit) = (_mm256_cvtepi8_epi16(scales), times(d, offset));
        for ([sum, _], x) in sums.iter_mut().zip(x) {
            let offset = _mm256_cvtepi32_ps(_mm256_madd_epi16(words, load_i16(&x.sums)));
            *sum = _mm256_fmadd_ps(_mm256_mul_ps(unit, load_f32(&x.d)), offset, *sum);
        }
        add_halves(sums, d, scales, x, q);
    }

    /// As [`add_sixteens`], without the offsets.
    #[inline]
    fn add_halves<const T: usize>(
        sums: &mut [Sums; T],
        d: __m256,
        scales: __m128i,
        x: &[Q8x256; T],
        q: impl Fn(usize) -> __m256i,
    ) {
        for (j, scales) in by_halves(scales).into_iter().enumerate() {
            let mut of_tokens = [scales; T];
            for (of_token, x) in of_tokens.iter_mut().zip(x) {
                // SAFETY: an unaligned load of 16 bytes.
                let xd = _mm256_broadcast_ps(unsafe { &*x.d.as_chunks::<4>().0[j].as_ptr().cast() });
                *of_token = _mm256_mul_ps(scales, _mm256_mul_ps(d, xd));
            }
            for i in 0..4 {
                let q = q(4 * j + i);
                for t in 0..T {
                    let products = unsigned(q, &x[t].qs[4 * j + i]);
                    add_scaled(&mut sums[t][i % 2], products, in_lanes(of_tokens[t], i));
                }
            }
        }
    }
}

/// Has the weights behind a step's brought nearer, as the processor and the step's bytes say best: docs/performance.md.
///
/// AMD: with steps of whole 16 bytes one byte is read and dropped. A plain load at the head of every step shows the processor
/// what comes next, and it reads ahead as far as the memory is away; vectors at odd places alone it may not recognise.
/// Prefetches take up the few places that an L1 cache has for lines on their way, but with other steps they are what helps.
/// From Zen 4 on prefetches into the L2 cache help, but on Zen 4 not with steps of more than 256 bytes.
/// Intel reads ahead too little by itself: prefetches into the L2 cache from far and into the L1 cache from near.
#[inline(always)]
fn look_ahead<const BYTES: usize>(w: &[u8; BYTES], reader: Reader) {
    let ahead = |bytes, line| w.as_ptr().wrapping_add(bytes + line).cast();
    let (read, near, far) = match reader {
        Reader::Intel => (false, Some(2048), Some(8192)),
        Reader::Zen4 if BYTES > 256 => (true, None, None),
        Reader::Zen4 | Reader::Zen5 => (true, None, Some(12288)),
        Reader::Other if BYTES.is_multiple_of(16) => (true, None, None),
        Reader::Other => (false, Some(4096), None),
    };
    if read {
        // SAFETY: the byte is borrowed; volatile, for it to be read at all.
        unsafe { w.as_ptr().read_volatile() };
    }
    for line in (0..BYTES).step_by(64) {
        if let Some(near) = near {
            // SAFETY: here and below, part of every x86-64; any address will do.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead(near, line)) };
        }
        if let Some(far) = far {
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(ahead(far, line)) };
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
fn total([a, b]: Sums) -> f32 {
    hsum(_mm256_add_ps(a, b))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn times(v: __m256, by: f32) -> __m256 {
    _mm256_mul_ps(v, _mm256_set1_ps(by))
}

/// Adds `d`, a factor a block of 32, times the sums of the activations.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_offsets<const T: usize>(sums: &mut [Sums; T], d: __m256, x: &[Q8x256; T]) {
    for ([sum, _], x) in sums.iter_mut().zip(x) {
        *sum = _mm256_fmadd_ps(d, load_f32(&x.offset), *sum);
    }
}

/// Scales and minima of the eight blocks of 32 of a block that begins as Q4_K's and Q5_K's do.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn affine(w: &[u8]) -> (__m256, __m256) {
    let (of, units) = (affine_integers(w), _mm_cvtph_ps(load_128(w, 0)));
    let floats = |v| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v));
    let d = _mm256_broadcastss_ps(units);
    let dmin = _mm256_broadcastss_ps(_mm_movehdup_ps(units));
    (_mm256_mul_ps(d, floats(of)), _mm256_mul_ps(dmin, floats(_mm_unpackhi_epi64(of, of))))
}

/// The sixteen scales of a Q3_K block, less what they are stored with.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn q3_scales(w: &[u8]) -> __m128i {
    // The packing is that of `q3_k::unpack_scales`, here four scales a lane of 32 bits.
    let packed = load_128(w, 94);
    let low = _mm_srlv_epi32(_mm_shuffle_epi8(packed, q3_order([2, 6, 2, 6])), _mm_setr_epi32(0, 0, 4, 4));
    let high = _mm_srlv_epi32(_mm_shuffle_epi8(packed, q3_order([10; 4])), _mm_setr_epi32(0, 2, 4, 6));
    let (low, high) = (_mm_and_si128(low, _mm_set1_epi8(15)), _mm_and_si128(high, _mm_set1_epi8(3)));
    let scales = _mm_or_si128(low, _mm_slli_epi16(high, 4));
    _mm_sub_epi8(scales, _mm_set1_epi8(32))
}

/// Sixteen scales of halves, four blocks at a time: those of the first halves in the lower lane, of the second in the upper.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn by_halves(scales: __m128i) -> [__m256; 2] {
    let order = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
    let scales = _mm_shuffle_epi8(scales, order);
    [scales, _mm_unpackhi_epi64(scales, scales)].map(|s| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(s)))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_scaled(sum: &mut __m256, products: __m256i, scale: __m256) {
    *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), scale, *sum);
}

/// Element `i` of either lane all over the lane.
#[inline]
#[target_feature(enable = "avx2")]
fn in_lanes(v: __m256, i: usize) -> __m256 {
    _mm256_permutevar_ps(v, _mm256_set1_epi32(i as i32))
}

/// The f16s at `at` of eight blocks of `SIZE` bytes.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn f16s<const SIZE: usize>(w: &[u8], at: usize) -> __m256 {
    // Of the 16 bytes from here on, block i's f16 is the i-th pair.
    let from = |i: usize| load_128(w, at + (SIZE - 2) * i);
    let v = _mm_blend_epi16::<0b10>(from(0), from(1));
    let v = _mm_blend_epi16::<0b100>(v, from(2));
    let v = _mm_blend_epi16::<0b1000>(v, from(3));
    let v = _mm_blend_epi16::<0b1_0000>(v, from(4));
    let v = _mm_blend_epi16::<0b10_0000>(v, from(5));
    let v = _mm_blend_epi16::<0b100_0000>(v, from(6));
    _mm256_cvtph_ps(_mm_blend_epi16::<0b1000_0000>(v, from(7)))
}

/// The f16 at `at`, eight times.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn f16_8(w: &[u8], at: usize) -> __m256 {
    _mm256_cvtph_ps(_mm_set1_epi16(i16::from_le_bytes([w[at], w[at + 1]])))
}

/// The nibbles at `at` of blocks i and i + 4 of `SIZE` bytes, in the order of [`Q8x256::paired`].
#[inline]
#[target_feature(enable = "avx2")]
fn nibble_pairs<const SIZE: usize>(w: &[u8], at: usize, i: usize) -> [__m256i; 2] {
    let both = _mm256_set_m128i(load_128(w, SIZE * (i + 4) + at), load_128(w, SIZE * i + at));
    let mask = _mm256_set1_epi8(15);
    [_mm256_and_si256(both, mask), _mm256_and_si256(_mm256_srli_epi16(both, 4), mask)]
}

/// As [`nibble_pairs`], of a 256-element block.
#[inline]
#[target_feature(enable = "avx2")]
fn four_bit_pairs(w: &[u8], at: usize, i: usize) -> [__m256i; 2] {
    // Blocks 2 j and 2 j + 1 are the low and the high nibbles of the same 32 bytes.
    let at = at + 32 * (i / 2);
    let half = |at: usize| {
        let both = _mm256_set_m128i(load_128(w, at + 64), load_128(w, at));
        shifted(both, 4 * (i % 2), 15)
    };
    [half(at), half(at + 16)]
}

/// As [`nibble_pairs`] with four bytes of fifth bits before the nibbles.
#[inline]
#[target_feature(enable = "avx2")]
fn five_bit_pairs<const SIZE: usize>(w: &[u8], at: usize, i: usize) -> [__m256i; 2] {
    let bits = _mm256_set_m128i(word_4(w, SIZE * (i + 4) + at), word_4(w, SIZE * i + at));
    let [first, second] = nibble_pairs::<SIZE>(w, at + 4, i);
    [_mm256_or_si256(first, bits_at_4(bits, 0)), _mm256_or_si256(second, bits_at_4(bits, 2))]
}

/// The four bytes at `at`, four times.
#[inline]
#[target_feature(enable = "avx2")]
fn word_4(w: &[u8], at: usize) -> __m128i {
    _mm_set1_epi32(i32::from_le_bytes([w[at], w[at + 1], w[at + 2], w[at + 3]]))
}

/// The bits of the bytes `from` and `from + 1` of either lane as bit 4 of the lane's bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn bits_at_4(bits: __m256i, from: i8) -> __m256i {
    let (a, b) = (from, from + 1);
    let order = _mm_setr_epi8(a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b);
    let bytes = _mm256_shuffle_epi8(bits, _mm256_broadcastsi128_si256(order));
    let mask = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, mask), mask);
    _mm256_and_si256(set, _mm256_set1_epi8(16))
}

/// The `part`th two bits of every byte as bits 4 and 5.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn two_bits_at_4(bytes: __m256i, part: usize) -> __m256i {
    let moved = match part {
        0 => _mm256_slli_epi16(bytes, 4),
        1 => _mm256_slli_epi16(bytes, 2),
        2 => bytes,
        _ => _mm256_srli_epi16(bytes, 2),
    };
    _mm256_and_si256(moved, _mm256_set1_epi8(0x30))
}

/// The order that puts the four bytes from each of `at` on side by side.
#[inline]
#[target_feature(enable = "avx2")]
fn q3_order(at: [i32; 4]) -> __m128i {
    let [a, b, c, d] = at.map(|at| at * 0x0101_0101 + 0x0302_0100);
    _mm_setr_epi32(a, b, c, d)
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_i16(x: &[i16; 16]) -> __m256i {
    // SAFETY: an unaligned load of 32 bytes.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}
