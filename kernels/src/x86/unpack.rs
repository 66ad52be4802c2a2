//! How the integers, scales and minima of a row's next 256 elements are taken out of their blocks, for [`super::gemv`], and how
//! vectors are turned.

use std::arch::x86_64::*;

use super::bits::{affine_integers, load_128, shifted};

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

/// The sixteen bytes at `at` of blocks i and i + 4 of `SIZE` bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sixteen_bytes<const SIZE: usize>(w: &[u8], at: usize, i: usize) -> __m256i {
    _mm256_set_m128i(load_128(w, SIZE * (i + 4) + at), load_128(w, SIZE * i + at))
}

/// The nibbles at `at` of blocks i and i + 4 of `SIZE` bytes, in the order of [`crate::q8::Q8x256::paired`].
#[inline]
#[target_feature(enable = "avx2")]
fn nibble_pairs<const SIZE: usize>(w: &[u8], at: usize, i: usize) -> [__m256i; 2] {
    let both = sixteen_bytes::<SIZE>(w, at, i);
    let mask = _mm256_set1_epi8(15);
    [_mm256_and_si256(both, mask), _mm256_and_si256(_mm256_srli_epi16(both, 4), mask)]
}

/// As [`nibble_pairs`], of bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn byte_pairs<const SIZE: usize>(w: &[u8], at: usize, i: usize) -> [__m256i; 2] {
    [sixteen_bytes::<SIZE>(w, at, i), sixteen_bytes::<SIZE>(w, at + 16, i)]
}

/// As [`nibble_pairs`], of a 256-element block.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn four_bit_pairs(w: &[u8], at: usize, i: usize) -> [__m256i; 2] {
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
pub(super) fn five_bit_pairs<const SIZE: usize>(w: &[u8], at: usize, i: usize) -> [__m256i; 2] {
    let bits = _mm256_set_m128i(word_4(w, SIZE * (i + 4) + at), word_4(w, SIZE * i + at));
    let [first, second] = nibble_pairs::<SIZE>(w, at + 4, i);
    [_mm256_or_si256(first, bits_at_4(bits, 0)), _mm256_or_si256(second, bits_at_4(bits, 2))]
}

/// [`columns`] of the first four and of the last four.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn turned([a, b, c, d, e, f, g, h]: [__m256i; 8]) -> [__m256i; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (columns([a, b, c, d]), columns([e, f, g, h]));
    [a, b, c, d, e, f, g, h]
}

/// Turns four rows of four 32-bit elements into columns, in either lane.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn columns([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    four(pair(a, b), pair(c, d))
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

/// Elements of two rows in turns, within the 128-bit lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn pair(a: __m256i, b: __m256i) -> [__m256i; 2] {
    [_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)]
}

/// Of two pairs of rows, the columns within the 128-bit lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn four(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 4] {
    let ([a, b], [c, d]) = (by_64(a[0], b[0]), by_64(a[1], b[1]));
    [a, b, c, d]
}

/// Of the lanes of `a` and `b` the low 64 bits, and the high ones.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn by_64(a: __m256i, b: __m256i) -> [__m256i; 2] {
    [_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)]
}
