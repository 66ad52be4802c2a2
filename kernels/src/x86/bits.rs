//! Loads of vectors of 256 bits, weights of a few bits taken out of them, and sums of their lanes.

use std::arch::x86_64::*;

/// The eight scales and the eight minima of a block that begins as Q4_K's and Q5_K's do, as they are stored.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn affine_integers(w: &[u8]) -> __m128i {
    // The packing is that of `q4_k::unpack_scales`. After d and dmin there is a word for scales, one for minima, and one for
    // the low bits of the second four of both.
    let w = load_128(w, 0);
    let words = |v: [i32; 4]| {
        let [a, b, c, d] = v.map(|v| v * 0x0101_0101);
        _mm_setr_epi32(a, b, c, d)
    };
    let low = _mm_srlv_epi32(_mm_shuffle_epi32::<0b11_10_11_01>(w), _mm_setr_epi32(0, 0, 0, 4));
    let high = _mm_srli_epi32::<2>(_mm_shuffle_epi32::<0b10_10_01_01>(w));
    _mm_or_si128(_mm_and_si128(low, words([63, 15, 63, 15])), _mm_and_si128(high, words([0, 48, 0, 48])))
}

/// Eight sums of four products of signed weights: magnitudes times activations with the weights' signs.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn signed(w: __m256i, x: &[i8; 32]) -> __m256i {
    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(load_i8(x), w));
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
}

/// The 32 nibbles of 16 bytes at `at`, the low ones first.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn nibbles(b: &[u8], at: usize) -> __m256i {
    let both = _mm256_broadcastsi128_si256(load_128(b, at));
    let shift = _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4);
    _mm256_and_si256(_mm256_srlv_epi32(both, shift), _mm256_set1_epi8(15))
}

/// The 32 bits of four bytes at `at`, each as 16 or 0 in a byte.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn fifth_bits(b: &[u8], at: usize) -> __m256i {
    let bits = _mm256_set1_epi32(i32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]));
    let (low, high) = (0x0101_0101_0101_0101, 0x0202_0202_0202_0202);
    let bytes = _mm256_shuffle_epi8(bits, _mm256_setr_epi64x(0, low, high, low + high));
    let mask = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, mask), mask);
    _mm256_and_si256(set, _mm256_set1_epi8(16))
}

/// Bit `j` of every byte as `value` or 0.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn bit(bytes: __m256i, j: usize, value: i8) -> __m256i {
    let mask = _mm256_set1_epi8((1u8 << j) as i8);
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, mask), mask);
    _mm256_and_si256(set, _mm256_set1_epi8(value))
}

/// The `j`th 32 of a block's 2-bit integers at `at`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn two_bits(b: &[u8], at: usize, j: usize) -> __m256i {
    shifted(load(b, at + 32 * (j / 4)), 2 * (j % 4), 3)
}

/// The `j`th 32 of a block's 4-bit integers at `at`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn four_bits(b: &[u8], at: usize, j: usize) -> __m256i {
    shifted(load(b, at + 32 * (j / 2)), 4 * (j % 2), 15)
}

/// Every byte shifted to the right and masked; the mask must not reach the bits that a neighbour shifts in.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn shifted(bytes: __m256i, count: usize, mask: i8) -> __m256i {
    _mm256_and_si256(_mm256_srl_epi16(bytes, _mm_cvtsi32_si128(count as i32)), _mm256_set1_epi8(mask))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn hsum(v: __m256) -> f32 {
    let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
}

/// [`hsum`] of each of eight, with the same bits.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn hsums(v: [__m256; 8]) -> [f32; 8] {
    let [a, b, c, d, e, f, g, h] = v;
    // Those of two vectors in the lanes of one, of four, of eight.
    let two = |a, b| {
        let (low, high) = (_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
        _mm256_castps_pd(_mm256_add_ps(low, high))
    };
    let four = |a, b| {
        let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        _mm256_add_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high))
    };
    let (low, high) = (four(two(a, e), two(b, f)), four(two(c, g), two(d, h)));
    let even = _mm256_shuffle_ps::<0b10_00_10_00>(low, high);
    let sums = _mm256_add_ps(even, _mm256_shuffle_ps::<0b11_01_11_01>(low, high));
    let mut totals = [0.0; 8];
    // SAFETY: an unaligned store of eight floats.
    unsafe { _mm256_storeu_ps(totals.as_mut_ptr(), sums) };
    totals
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_i8(x: &[i8; 32]) -> __m256i {
    // SAFETY: an unaligned load of 32 bytes.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_i16(x: &[i16; 16]) -> __m256i {
    // SAFETY: an unaligned load of 32 bytes.
    unsafe { _mm256_loadu_si256(x.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(b: &[u8], at: usize) -> __m256i {
    let b = &b[at..at + 32];
    // SAFETY: an unaligned load of 32 bytes.
    unsafe { _mm256_loadu_si256(b.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_128(b: &[u8], at: usize) -> __m128i {
    let b = &b[at..at + 16];
    // SAFETY: an unaligned load of 16 bytes.
    unsafe { _mm_loadu_si128(b.as_ptr().cast()) }
}
