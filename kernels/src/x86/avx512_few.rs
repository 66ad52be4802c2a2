//! Products of a few tokens in vectors of 512 bits, for the types of most files; the others are taken in 256.
//!
//! As in [`super::gemv`]; a vector holds four groups with a scale each. Blocks of 32 come as [`Q8x256::paired`] has them, i,
//! i + 4, i + 1 and i + 5, the first halves in one vector and the second in another; groups of 16 as they are stored.

use std::arch::x86_64::*;

use super::avx2::load_f32;
use super::avx2_dot::{hsum, load, load_128};
use super::gemv::avx512vnni::rows;
use super::gemv::{self, Unsafe, affine, f16_8, f16s, load_i16, times};
use crate::format::TensorType;
use crate::isa::{Gemv, Gemvs};
use crate::q8::{Few, Q8x256};

/// The functions by type, for up to eight tokens.
pub(super) fn gemv(ty: TensorType) -> Option<Gemvs> {
    match ty {
        TensorType::Q4_0 => for_tokens!(self, q4_0, 1 2 3 4 5 6 7 8),
        TensorType::Q8_0 => for_tokens!(self, q8_0, 1 2 3 4 5 6 7 8),
        TensorType::Q4_K => for_tokens!(self, q4_k, 1 2 3 4 5 6 7 8),
        TensorType::Q6_K => for_tokens!(self, q6_k, 1 2 3 4 5 6 7 8),
        _ => gemv::avx512vnni(ty),
    }
}

/// The sums of a row and a token.
#[derive(Clone, Copy)]
struct Sums {
    products: __m512,
    offset: __m256,
}

#[inline]
#[target_feature(enable = "avx512f")]
fn zero() -> Sums {
    Sums { products: _mm512_setzero_ps(), offset: _mm256_setzero_ps() }
}

#[inline]
#[target_feature(enable = "avx512f,fma")]
fn total(sums: Sums) -> f32 {
    let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(sums.products)));
    hsum(_mm256_add_ps(_mm256_add_ps(_mm512_castps512_ps256(sums.products), high), sums.offset))
}

/// Where the nibbles of eight blocks of Q4_0 are among their first 64 words, blocks in the order of [`Q8x256::paired`]. Those of
/// block 7 lie behind.
const NIBBLES: [[i16; 32]; 2] = [nibbles([0, 4, 1, 5]), nibbles([2, 6, 3, 7])];

const fn nibbles(blocks: [i16; 4]) -> [i16; 32] {
    let mut at = [0; 32];
    let mut i = 0;
    while i < 32 {
        at[i] = (9 * blocks[i / 8] + 1 + i as i16 % 8) % 64;
        i += 1;
    }
    at
}

#[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512bw,avx512vnni")]
fn q4_0<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
    rows::<{ 8 * 18 }, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
        // All 144 bytes in three loads: many small ones would take longer than what is done with them. A block is nine words
        // of 16 bits, the scale and its nibbles; the last nibbles are the third load.
        let (low, high) = (load_512(w, 0), load_512(w, 64));
        let words = |at| _mm512_permutex2var_epi16(low, at, high);
        let [first, second] = [0, 1].map(|i| words(load_512(bytemuck::bytes_of(&NIBBLES[i]), 0)));
        let second = _mm512_inserti32x4::<3>(second, load_128(w, 128));
        let scales = words(_mm512_zextsi128_si512(_mm_setr_epi16(0, 9, 18, 27, 36, 45, 54, 63)));
        let d = _mm256_cvtph_ps(_mm512_castsi512_si128(scales));
        add_offsets(sums, times(d, -8.0), x);
        add_pairs(sums, d, x, |i| {
            let both = [first, second][i / 2];
            [low_bits(both, 15), low_bits(_mm512_srli_epi32(both, 4), 15)]
        });
    });
}

#[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512vnni")]
fn q4_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
    rows::<144, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
        let (d, mins) = affine(w);
        add_offsets(sums, times(mins, -1.0), x);
        // Blocks i and i + 1 are the low and the high nibbles of the same 32 bytes; the high ones stay where they are, sixteen
        // times what they stand for.
        let (low, high) = (load_512(w, 16), load_512(w, 80));
        let sixteenth = 1.0 / 16.0;
        let units = _mm256_setr_ps(1.0, sixteenth, 1.0, sixteenth, 1.0, sixteenth, 1.0, sixteenth);
        add_pairs(sums, _mm256_mul_ps(d, units), x, |i| {
            let half = |j: usize| {
                let both = _mm512_permutex2var_epi64(low, lanes(i + j), high);
                _mm512_and_si512(both, halves(0x0f0f_0f0f, 0xf0f0_f0f0_u32 as i32))
            };
            [half(0), half(1)]
        });
    });
}

#[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512vnni")]
fn q6_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
    rows::<210, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
        let (d, scales) = (f16_8(w, 208), load_128(w, 192));
        let (words, unit) = (_mm256_cvtepi8_epi16(scales), times(d, -32.0));
        for (sums, x) in sums.iter_mut().zip(x) {
            let of_x = _mm256_cvtepi32_ps(_mm256_madd_epi16(words, load_i16(&x.sums)));
            sums.offset = _mm256_fmadd_ps(_mm256_mul_ps(unit, load_f32(&x.d)), of_x, sums.offset);
        }
        for (half, scales) in gemv::by_halves(scales).into_iter().enumerate() {
            let mut of_tokens = [_mm512_setzero_ps(); T];
            for (of_token, x) in of_tokens.iter_mut().zip(x) {
                // SAFETY: an unaligned load of 16 bytes.
                let xd = _mm256_broadcast_ps(unsafe { &*x.d.as_chunks::<4>().0[half].as_ptr().cast() });
                *of_token = twice(_mm256_mul_ps(scales, _mm256_mul_ps(d, xd)));
            }
            // Parts 0 and 1 are the low nibbles of 64 bytes, parts 2 and 3 the high ones; all have two bits of each of
            // another 32.
            let low = two(load(w, 64 * half), load(w, 64 * half + 32));
            let high = load(w, 128 + 32 * half);
            let high = two(high, high);
            let first = _mm512_sllv_epi32(high, halves(4, 2));
            let second = _mm512_srlv_epi32(high, halves(0, 2));
            for (part, low, high) in [(0, low, first), (2, _mm512_srli_epi32(low, 4), second)] {
                let q = _mm512_or_si512(low_bits(low, 15), low_bits(high, 0x30));
                for (t, sums) in sums.iter_mut().enumerate() {
                    let x = bytes(&x[t].qs, 4 * half + part);
                    let products = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q, x);
                    add_scaled(sums, products, _mm512_permutevar_ps(of_tokens[t], in_turns(part)));
                }
            }
        }
    });
}

#[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512vnni")]
fn q8_0<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
    rows::<{ 8 * 34 }, T, Sums>(w, x, out, (zero(), |s| total(s)), |w, x, sums| {
        let d = f16s::<34>(w, 0);
        // Moved by 128 to become unsigned.
        add_offsets(sums, times(d, -128.0), x);
        let mut scales = [_mm512_setzero_ps(); T];
        for (scales, x) in scales.iter_mut().zip(x) {
            *scales = twice(_mm256_mul_ps(d, load_f32(&x.d)));
        }
        for i in [0, 2, 4, 6] {
            let q = two(load(w, 34 * i + 2), load(w, 34 * (i + 1) + 2));
            let q = _mm512_xor_si512(q, _mm512_set1_epi8(-128));
            let order = in_turns(i);
            for (t, sums) in sums.iter_mut().enumerate() {
                let products = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q, bytes(&x[t].qs, i));
                add_scaled(sums, products, _mm512_permutexvar_ps(order, scales[t]));
            }
        }
    });
}

/// Adds blocks of 32: `q(i)` is the first and the second halves of blocks i, i + 4, i + 1 and i + 5, `d` the blocks' scales.
#[inline]
#[target_feature(enable = "avx2,fma,avx512vl,avx512vnni")]
fn add_pairs<const T: usize>(
    sums: &mut [Sums; T],
    d: __m256,
    x: &[Q8x256; T],
    q: impl Fn(usize) -> [__m512i; 2],
) {
    let mut scales = [_mm512_setzero_ps(); T];
    for (scales, x) in scales.iter_mut().zip(x) {
        *scales = twice(_mm256_mul_ps(d, load_f32(&x.d)));
    }
    for i in [0, 2] {
        let q = q(i);
        for (t, sums) in sums.iter_mut().enumerate() {
            let [first, second] = Q8x256::pair(i).map(|at| bytes(&x[t].paired, at));
            let products = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q[0], first);
            let products = _mm512_dpbusd_epi32(products, q[1], second);
            add_scaled(sums, products, _mm512_permutevar_ps(scales[t], in_turns(i)));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_scaled(sums: &mut Sums, products: __m512i, scale: __m512) {
    sums.products = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), scale, sums.products);
}

/// Adds `d`, a factor a block of 32, times the sums of the activations.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_offsets<const T: usize>(sums: &mut [Sums; T], d: __m256, x: &[Q8x256; T]) {
    for (sums, x) in sums.iter_mut().zip(x) {
        sums.offset = _mm256_fmadd_ps(d, load_f32(&x.offset), sums.offset);
    }
}

/// Lane i of the first of two vectors, that of the second, and both again.
#[inline]
#[target_feature(enable = "avx512f")]
fn lanes(i: usize) -> __m512i {
    let i = 2 * i as i64;
    _mm512_setr_epi64(i, i + 1, i + 8, i + 9, i, i + 1, i + 8, i + 9)
}

/// Element i of a lane for the lower two lanes, i + 1 for the upper.
#[inline]
#[target_feature(enable = "avx512f")]
fn in_turns(i: usize) -> __m512i {
    halves(i as i32, i as i32 + 1)
}

/// Eight times `low`, eight times `high`.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(low: i32, high: i32) -> __m512i {
    two(_mm256_set1_epi32(low), _mm256_set1_epi32(high))
}

/// Two vectors as one.
#[inline]
#[target_feature(enable = "avx512f")]
fn two(low: __m256i, high: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn twice(v: __m256) -> __m512 {
    _mm512_castpd_ps(_mm512_broadcast_f64x4(_mm256_castps_pd(v)))
}

/// The bits of every byte that `mask` has.
#[inline]
#[target_feature(enable = "avx512f")]
fn low_bits(v: __m512i, mask: i8) -> __m512i {
    _mm512_and_si512(v, _mm512_set1_epi8(mask))
}

/// The 64 bytes at `at`.
#[inline]
#[target_feature(enable = "avx512f")]
fn load_512(b: &[u8], at: usize) -> __m512i {
    let b = &b[at..at + 64];
    // SAFETY: an unaligned load of 64 bytes.
    unsafe { _mm512_loadu_si512(b.as_ptr().cast()) }
}

/// Entries `i` and `i + 1`.
#[inline]
#[target_feature(enable = "avx512f")]
fn bytes(x: &[[i8; 32]; 8], i: usize) -> __m512i {
    let x: &[[i8; 32]; 2] = x[i..].first_chunk().expect("an even number below eight");
    // SAFETY: an unaligned load of 64 bytes.
    unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
}
