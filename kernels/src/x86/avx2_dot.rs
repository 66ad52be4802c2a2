//! Dot products of quantized weights with quantized activations.
//!
//! `maddubs` multiplies unsigned by signed bytes and adds pairs to i16, saturating: the weights go in unsigned,
//! at most 128, and two products of 128 · 127 just fit. What the weights were moved by to become unsigned, and the
//! minima, are taken out through the sums of the activations.

use std::arch::x86_64::*;

use super::avx2::{load_f32, store_f32};
use super::unpack::q3_scales;
use crate::format::block::get_f16;
use crate::format::iq4_nl::LEVELS;
use crate::q8::Q8Row;

/// What is added to the products of the 32-element types, an element.
#[derive(Clone, Copy)]
enum Offset {
    None,
    /// `d` times this.
    Times(f32),
    /// The f16 in bytes 2 and 3 of the block.
    Stored,
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q4_0(w: &[u8], x: Q8Row<'_>) -> f32 {
    dot_32::<18>(w, x, Offset::Times(-8.0), |b, x| unsigned(nibbles(b, 2), x))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q4_1(w: &[u8], x: Q8Row<'_>) -> f32 {
    dot_32::<20>(w, x, Offset::Stored, |b, x| unsigned(nibbles(b, 4), x))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q5_0(w: &[u8], x: Q8Row<'_>) -> f32 {
    dot_32::<22>(w, x, Offset::Times(-16.0), |b, x| {
        unsigned(_mm256_or_si256(nibbles(b, 6), fifth_bits(b, 2)), x)
    })
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q5_1(w: &[u8], x: Q8Row<'_>) -> f32 {
    dot_32::<24>(w, x, Offset::Stored, |b, x| unsigned(_mm256_or_si256(nibbles(b, 8), fifth_bits(b, 4)), x))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q8_0(w: &[u8], x: Q8Row<'_>) -> f32 {
    dot_32::<34>(w, x, Offset::None, |b, x| signed(load(b, 2), x))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn iq4_nl(w: &[u8], x: Q8Row<'_>) -> f32 {
    // SAFETY: an unaligned load of 16 bytes.
    let levels = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(LEVELS.as_ptr().cast()) });
    dot_32::<18>(w, x, Offset::None, |b, x| signed(_mm256_shuffle_epi8(levels, nibbles(b, 2)), x))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q2_k(w: &[u8], x: Q8Row<'_>) -> f32 {
    dot_256::<84>(w, x, |b, x, acc| {
        let both = load_128(b, 0);
        let low = _mm_set1_epi8(15);
        let mins = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(both, 4), low));
        let group = Groups {
            d: get_f16(b, 80),
            scales: by_sixteen(_mm_and_si128(both, low)),
            offset: get_f16(b, 82),
            sums: _mm256_madd_epi16(mins, x.sums()),
        };
        add_groups(acc, x, group, |j| two_bits(b, 16, j))
    })
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q3_k(w: &[u8], x: Q8Row<'_>) -> f32 {
    dot_256::<110>(w, x, |b, x, acc| {
        let (scales, d) = (q3_scales(b), get_f16(b, 108));
        let group = Groups {
            d,
            scales: by_sixteen(scales),
            offset: 4.0 * d,
            sums: _mm256_madd_epi16(_mm256_cvtepi8_epi16(scales), x.sums()),
        };
        let third_bits = load(b, 0);
        add_groups(acc, x, group, |j| _mm256_or_si256(two_bits(b, 32, j), bit(third_bits, j, 4)))
    })
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q4_k(w: &[u8], x: Q8Row<'_>) -> f32 {
    dot_256::<144>(w, x, |b, x, acc| add_groups(acc, x, affine(b, x), |j| four_bits(b, 16, j)))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q5_k(w: &[u8], x: Q8Row<'_>) -> f32 {
    dot_256::<176>(w, x, |b, x, acc| {
        let fifth_bits = load(b, 16);
        add_groups(acc, x, affine(b, x), |j| _mm256_or_si256(four_bits(b, 48, j), bit(fifth_bits, j, 16)))
    })
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q6_k(w: &[u8], x: Q8Row<'_>) -> f32 {
    dot_256::<210>(w, x, |b, x, acc| {
        let scales = load_128(b, 192);
        let d = get_f16(b, 208);
        let group = Groups {
            d,
            scales: by_sixteen(scales),
            offset: 32.0 * d,
            sums: _mm256_madd_epi16(_mm256_cvtepi8_epi16(scales), x.sums()),
        };
        add_groups(acc, x, group, |j| {
            // Parts 0 and 2 share 32 bytes, parts 1 and 3 the next.
            let (half, part) = (j / 4, j % 4);
            let low = shifted(load(b, 64 * half + 32 * (part % 2)), 4 * (part / 2), 15);
            _mm256_or_si256(low, _mm256_slli_epi16(two_bits(b, 128, j), 4))
        })
    })
}

/// The products of 32-element blocks of `BYTES` bytes that begin with the scale, eight blocks at a time.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_32<const BYTES: usize>(
    w: &[u8],
    x: Q8Row<'_>,
    offset: Offset,
    products: impl Fn(&[u8; BYTES], &[i8; 32]) -> __m256i,
) -> f32 {
    let w = w.as_chunks::<BYTES>().0;
    let qs = x.qs.as_chunks::<32>().0;
    let sums = x.sums.as_chunks::<2>().0;
    assert!(w.len() * 32 == x.qs.len() && w.len() == x.d.len() && w.len() == sums.len());
    let mut acc = [_mm256_setzero_ps(); 2];
    // The same for eight blocks and for the rest; inlined, the former unrolls.
    let mut add = |w: &[[u8; BYTES]], qs: &[[i8; 32]], xd: &[f32; 8], sums: &[[i16; 2]; 8]| {
        let f16 = |at: usize| {
            let mut bits = [0u16; 8];
            for (bits, w) in bits.iter_mut().zip(w) {
                *bits = u16::from_le_bytes([w[at], w[at + 1]]);
            }
            // SAFETY: an unaligned load of 16 bytes.
            _mm256_cvtph_ps(unsafe { _mm_loadu_si128(bits.as_ptr().cast()) })
        };
        let (d, xd) = (f16(0), load_f32(xd));
        let mut scale = [0.0; 8];
        store_f32(&mut scale, _mm256_mul_ps(d, xd));
        for (i, (w, qs)) in w.iter().zip(qs).enumerate() {
            let products = _mm256_cvtepi32_ps(products(w, qs));
            acc[i % 2] = _mm256_fmadd_ps(products, _mm256_set1_ps(scale[i]), acc[i % 2]);
        }
        let offset = match offset {
            Offset::None => return,
            Offset::Times(c) => _mm256_mul_ps(d, _mm256_set1_ps(c)),
            Offset::Stored => f16(2),
        };
        // SAFETY: an unaligned load of 32 bytes.
        let sums = unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) };
        let sums = _mm256_cvtepi32_ps(_mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
        acc[0] = _mm256_fmadd_ps(_mm256_mul_ps(offset, xd), sums, acc[0]);
    };

    let ((w, w_rest), (qs, qs_rest)) = (w.as_chunks::<8>(), qs.as_chunks::<8>());
    let ((xd, xd_rest), (sums, sums_rest)) = (x.d.as_chunks::<8>(), sums.as_chunks::<8>());
    for (((w, qs), xd), sums) in w.iter().zip(qs).zip(xd).zip(sums) {
        add(w, qs, xd, sums);
    }
    if !w_rest.is_empty() {
        let (mut xd, mut sums) = ([0.0; 8], [[0; 2]; 8]);
        xd[..xd_rest.len()].copy_from_slice(xd_rest);
        sums[..sums_rest.len()].copy_from_slice(sums_rest);
        add(w_rest, qs_rest, &xd, &sums);
    }
    hsum(_mm256_add_ps(acc[0], acc[1]))
}

/// The activations of a 256-element block.
#[derive(Clone, Copy)]
struct Activations<'a> {
    qs: &'a [[i8; 32]; 8],
    d: &'a [f32; 8],
    sums: &'a [i16; 16],
}

impl Activations<'_> {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn sums(&self) -> __m256i {
        load_i16(self.sums)
    }
}

/// The products of 256-element blocks; `add` adds those of one to the lanes of an accumulator.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_256<const BYTES: usize>(
    w: &[u8],
    x: Q8Row<'_>,
    add: impl Fn(&[u8; BYTES], Activations<'_>, __m256) -> __m256,
) -> f32 {
    let w = w.as_chunks::<BYTES>().0;
    let qs = x.qs.as_chunks::<32>().0.as_chunks::<8>().0;
    let (d, sums) = (x.d.as_chunks::<8>().0, x.sums.as_chunks::<16>().0);
    assert!(w.len() * 256 == x.qs.len() && w.len() == d.len() && w.len() == sums.len());
    let mut acc = _mm256_setzero_ps();
    for (((w, qs), d), sums) in w.iter().zip(qs).zip(d).zip(sums) {
        acc = add(w, Activations { qs, d, sums }, acc);
    }
    hsum(acc)
}

/// The scales of a 256-element block, and what it takes off.
struct Groups {
    d: f32,
    /// As i16: in the low lane the scales of the first sixteens of the eight 32s, in the high lane of the second.
    scales: __m256i,
    offset: f32,
    /// What `offset` is multiplied by, an i32 a 32.
    sums: __m256i,
}

/// Adds the products of a block. `q(j)` is the unsigned integers of its `j`th 32.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_groups(acc: __m256, x: Activations<'_>, group: Groups, q: impl Fn(usize) -> __m256i) -> __m256 {
    let xd = load_f32(x.d);
    let mut d = [0.0; 8];
    store_f32(&mut d, _mm256_mul_ps(_mm256_set1_ps(group.d), xd));
    let offset = _mm256_mul_ps(_mm256_set1_ps(group.offset), xd);
    let mut acc = [_mm256_fnmadd_ps(offset, _mm256_cvtepi32_ps(group.sums), acc), _mm256_setzero_ps()];
    for j in 0..8 {
        let pairs = _mm256_maddubs_epi16(q(j), load_i8(&x.qs[j]));
        let pick = _mm256_set1_epi16(0x0100 + 0x0202 * j as i16);
        let products = _mm256_madd_epi16(pairs, _mm256_shuffle_epi8(group.scales, pick));
        acc[j % 2] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_set1_ps(d[j]), acc[j % 2]);
    }
    _mm256_add_ps(acc[0], acc[1])
}

/// The scales of a block that starts as Q4_K's and Q5_K's do.
#[inline]
#[target_feature(enable = "avx2")]
fn affine(b: &[u8], x: Activations<'_>) -> Groups {
    let of = affine_integers(b);
    let sums = _mm256_madd_epi16(x.sums(), _mm256_set1_epi16(1));
    Groups {
        d: get_f16(b, 0),
        scales: _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(of)),
        offset: get_f16(b, 2),
        sums: _mm256_mullo_epi32(_mm256_cvtepu8_epi32(_mm_unpackhi_epi64(of, of)), sums),
    }
}

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

/// Sixteen signed scales as [`Groups::scales`] has them.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn by_sixteen(scales: __m128i) -> __m256i {
    let order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    _mm256_cvtepi8_epi16(_mm_shuffle_epi8(scales, order))
}

/// Eight sums of four products of unsigned weights.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn unsigned(w: __m256i, x: &[i8; 32]) -> __m256i {
    _mm256_madd_epi16(_mm256_maddubs_epi16(w, load_i8(x)), _mm256_set1_epi16(1))
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
