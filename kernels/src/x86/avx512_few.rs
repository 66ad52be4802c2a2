//! Products of a few tokens in vectors of 512 bits, for the types of most files; the others are taken in 256.
//!
//! The products of a group of elements, sixteen or 32, are summed as integers. Scaled, they are added to those of the groups at
//! the same place of other 256 elements, and in the end the sums of all places become one. A row with one token has the
//! groups of 256 elements side by side in a vector; with more tokens sixteen rows are laid open as for many, and a vector has
//! theirs. The bits are the same.

use std::arch::x86_64::*;

use super::avx2::load_f32;
use super::avx512_open::{Open, ROWS, Rows, masked};
use super::bits::{affine_integers, load, load_128, load_i16};
use super::gemv::avx512vnni::rows;
use super::gemv::{self, Unsafe, add_scaled};
use super::products::less;
use super::tile::QUADS;
use super::unpack::{f16_8, f16s};
use crate::format::TensorType;
use crate::format::q4_0::Q4_0;
use crate::format::q4_k::Q4_K;
use crate::format::q6_k::Q6_K;
use crate::format::q8_0::Q8_0;
use crate::isa::{Gemv, Q8Gemv};
use crate::q8::{FEW_TOKENS, Few, Q8x256};

/// The functions by type: for one token, and for two where that is as fast, a row at a time, which the processor foresees better
/// when it reads them; for more sixteen rows at a time.
pub(super) fn gemv(ty: TensorType) -> Option<Gemv> {
    match ty {
        TensorType::Q4_0 => gemvs!(q4_0, sixteen_rows::<Q4_0, 8>, sixteen_rows::<Q4_0, 8>),
        TensorType::Q8_0 => gemvs!(q8_0::<1>, q8_0::<2>, sixteen_rows::<Q8_0, 8>),
        TensorType::Q4_K => gemvs!(q4_k, sixteen_rows::<Q4_K, 8>, sixteen_rows::<Q4_K, 8>),
        TensorType::Q6_K => gemvs!(q6_k::<1>, q6_k::<2>, sixteen_rows::<Q6_K, 16>),
        _ => gemv::avx512vnni(ty),
    }
}

/// Where the nibbles of eight blocks of Q4_0 are among their first 64 words, blocks in the order of [`Q8x256::paired`]. Those of
/// block 7 lie behind.
const NIBBLES: [[i16; 32]; 2] = [nibbles([0, 4, 2, 6]), nibbles([1, 5, 3, 7])];

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
fn q4_0(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
    rows::<{ 8 * 18 }, 1, __m256>(w, x, out, (_mm256_setzero_ps(), |s| s), |w, x, sums| {
        // All 144 bytes in three loads: many small ones would take longer than what is done with them. A block is nine words
        // of 16 bits, the scale and its nibbles; the last nibbles are the third load.
        let (low, high) = (load_512(w, 0), load_512(w, 64));
        let words = |at| _mm512_permutex2var_epi16(low, at, high);
        let nibbles = |i: usize| words(load_512(bytemuck::bytes_of(&NIBBLES[i]), 0));
        let (first, second) = (nibbles(0), nibbles(1));
        let second = _mm512_inserti32x4::<3>(second, load_128(w, 128));
        let scales = words(_mm512_zextsi128_si512(_mm_setr_epi16(0, 9, 18, 27, 36, 45, 54, 63)));
        let q = |both| [masked(both, 15), masked(_mm512_srli_epi32(both, 4), 15)];
        let (q, d) = ([q(first), q(second)], _mm256_cvtph_ps(_mm512_castsi512_si128(scales)));
        for (sums, x) in sums.iter_mut().zip(x) {
            add_scaled(sums, less(of_pairs(x, q), x, 8), d, x);
        }
    });
}

#[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512bw,avx512vnni")]
fn q4_k(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
    rows::<144, 1, __m256>(w, x, out, (_mm256_setzero_ps(), |s| s), |w, x, sums| {
        let both = scales_and_minima(w);
        let (d, mins) = (_mm512_castps512_ps256(both), upper(both));
        // Blocks i and i + 1 are the low and the high nibbles of the same 32 bytes; the high ones stay where they are, sixteen
        // times what they stand for, until they are summed.
        let (low, high) = (load_512(w, 16), load_512(w, 80));
        let first = _mm512_permutex2var_epi64(low, every_other(0), high);
        let second = _mm512_permutex2var_epi64(low, every_other(2), high);
        let q = [[masked(first, 15), masked(second, 15)], [masked(first, -16), masked(second, -16)]];
        for (sums, x) in sums.iter_mut().zip(x) {
            let shifts = _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4);
            add_scaled(sums, _mm256_srav_epi32(of_pairs(x, q), shifts), d, x);
            *sums = _mm256_fnmadd_ps(mins, load_f32(&x.offset), *sums);
        }
    });
}

#[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512bw,avx512vnni")]
fn q8_0<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
    rows::<{ 8 * 34 }, T, __m256>(w, x, out, (_mm256_setzero_ps(), |s| s), |w, x, sums| {
        // Moved by 128 to become unsigned.
        let of_two = |i: usize| {
            _mm512_xor_si512(two(load(w, 34 * i + 2), load(w, 34 * (i + 1) + 2)), _mm512_set1_epi8(-128))
        };
        let (q, d) = ([of_two(0), of_two(2), of_two(4), of_two(6)], f16s::<34>(w, 0));
        for (sums, x) in sums.iter_mut().zip(x) {
            // A lane has four sums of the same half of blocks i, i + 2, i + 4 and i + 6.
            let halves = of_quads(x, q);
            let order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
            let halves = _mm512_permutexvar_epi32(order, halves);
            let (first, second) = (_mm512_castsi512_si256(halves), _mm512_extracti64x4_epi64::<1>(halves));
            add_scaled(sums, less(_mm256_add_epi32(first, second), x, 128), d, x);
        }
    });
}

#[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512bw,avx512vnni")]
fn q6_k<const T: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
    rows::<210, T, __m512>(w, x, out, (_mm512_setzero_ps(), |s| eight_sums(s)), |w, x, sums| {
        // Of either half of the block, parts 0 and 1 are the low nibbles of 64 bytes, parts 2 and 3 the high ones; all have two
        // bits of each of another 32.
        let two_parts = |i: usize| {
            let (half, part) = (i / 2, i % 2 * 2);
            let low = two(load(w, 64 * half), load(w, 64 * half + 32));
            let high = load(w, 128 + 32 * half);
            let high = two(high, high);
            let (low, high) = if part == 0 {
                (low, _mm512_sllv_epi32(high, halves(4, 2)))
            } else {
                (_mm512_srli_epi32(low, 4), _mm512_srlv_epi32(high, halves(0, 2)))
            };
            _mm512_or_si512(masked(low, 15), masked(high, 0x30))
        };
        let q = [two_parts(0), two_parts(1), two_parts(2), two_parts(3)];
        let scales = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_128(w, 192)));
        let scales = _mm512_mul_ps(twice(f16_8(w, 208)), scales);
        for (sums, x) in sums.iter_mut().zip(x) {
            // Lane l has the sums of groups l, l + 4, l + 8 and l + 12.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let products = _mm512_permutexvar_epi32(order, of_quads(x, q));
            let less = _mm512_slli_epi32(_mm512_cvtepi16_epi32(load_i16(&x.sums)), 5);
            let products = _mm512_cvtepi32_ps(_mm512_sub_epi32(products, less));
            let order = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
            let of_x = _mm512_permutexvar_ps(order, _mm512_castps256_ps512(load_f32(&x.d)));
            *sums = _mm512_fmadd_ps(products, _mm512_mul_ps(scales, of_x), *sums);
        }
    });
}

/// The integer sums of eight blocks of 32: `q` is the first and the second halves of blocks 0, 4, 2 and 6, and of 1, 5, 3
/// and 7.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512vnni")]
fn of_pairs(x: &Q8x256, q: [[__m512i; 2]; 2]) -> __m256i {
    let of_four = |i: usize| {
        let [first, second] = Q8x256::pair(i);
        let products = _mm512_dpbusd_epi32(_mm512_setzero_si512(), q[i][0], bytes(&x.paired, first));
        _mm512_dpbusd_epi32(products, q[i][1], bytes(&x.paired, second))
    };
    let (a, b) = (of_four(0), of_four(1));
    // A lane has four sums of a block of a; so has b's.
    let sums = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let sums = _mm512_add_epi32(sums, _mm512_shuffle_epi32::<0b01_00_11_10>(sums));
    let order = _mm512_setr_epi32(0, 1, 8, 9, 4, 5, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, sums))
}

/// The integer sums of every sixteen of 256 elements: those of lane i of all four vectors in lane i.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn of_quads(x: &Q8x256, q: [__m512i; 4]) -> __m512i {
    let products = |i: usize| _mm512_dpbusd_epi32(_mm512_setzero_si512(), q[i], bytes(&x.qs, 2 * i));
    let pairs = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (first, second) = (pairs(products(0), products(1)), pairs(products(2), products(3)));
    _mm512_add_epi32(_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn eight_sums(sums: __m512) -> __m256 {
    _mm256_add_ps(_mm512_castps512_ps256(sums), upper(sums))
}

/// The second half.
#[inline]
#[target_feature(enable = "avx512f")]
fn upper(v: __m512) -> __m256 {
    _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v)))
}

/// The scales of the eight blocks of 32 of a block of Q4_K, and their minima.
#[inline]
#[target_feature(enable = "avx2,avx512f,f16c")]
fn scales_and_minima(w: &[u8; 144]) -> __m512 {
    let units = _mm512_castps128_ps512(_mm_cvtph_ps(load_128(w, 0)));
    let units = _mm512_permutexvar_ps(halves(0, 1), units);
    _mm512_mul_ps(units, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(affine_integers(w))))
}

/// Of a token and sixteen rows.
#[derive(Clone, Copy)]
struct Token<const GROUPS: usize> {
    /// The sums of the groups at the same place.
    sums: [__m512; GROUPS],
    /// What the integer sums of groups begin with: those of the activations, MIDDLE times taken off.
    starts: [i32; GROUPS],
}

/// The products of all rows and any number of tokens; 256 elements are so many GROUPS.
#[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512bw,avx512vnni")]
fn sixteen_rows<W: Open, const GROUPS: usize>(w: &[u8], x: Few<'_>, out: &mut [&mut [f32]]) {
    const { assert!(GROUPS == 8 * W::SUBS) };
    if w.is_empty() {
        return out.iter_mut().for_each(|out| out.fill(0.0));
    }
    let n_rows = out[0].len();
    let row_bytes = w.len() / n_rows;
    // Rows of whole 256 elements, sixteen by sixteen.
    let whole = if row_bytes.is_multiple_of(W::BYTES) { n_rows / ROWS * ROWS } else { 0 };
    let mut tokens = [Token { sums: [_mm512_setzero_ps(); GROUPS], starts: [0; GROUPS] }; FEW_TOKENS];
    // The compiler would keep them in registers, of which there are not enough.
    let tokens = std::hint::black_box(&mut tokens[..out.len()]);
    for first in (0..whole).step_by(ROWS) {
        let w = &w[first * row_bytes..];
        let rows = Rows::of(w, row_bytes);
        for step in 0..row_bytes / W::BYTES {
            let x = x.rows(step, tokens.len());
            for (token, x) in tokens.iter_mut().zip(x) {
                put_starts::<W, GROUPS>(x, &mut token.starts);
            }
            let add = |group: usize, q: &[__m512i], [d, offset]: [__m512; 2]| {
                // As much of the rows behind the next ones.
                let part = ROWS * W::BYTES / GROUPS;
                let ahead = ROWS * (2 * row_bytes + step * W::BYTES) + group * part;
                fetch_near(w.as_ptr().wrapping_add(ahead), part);
                let (j, quad) = (group / W::SUBS, group % W::SUBS * (QUADS / W::SUBS));
                for (token, x) in tokens.iter_mut().zip(x) {
                    let words: &[i32; QUADS] = bytemuck::cast_ref(&x.qs[j]);
                    let start = if W::MIDDLE == 0 { 0 } else { token.starts[group] };
                    let mut products = _mm512_set1_epi32(start);
                    for (q, word) in q.iter().zip(&words[quad..]) {
                        products = _mm512_dpbusd_epi32(products, *q, _mm512_set1_epi32(*word));
                    }
                    let scale = _mm512_mul_ps(d, _mm512_set1_ps(x.d[j]));
                    // The first sums are not added to what is there.
                    let there = if step == 0 { 0 } else { u16::MAX };
                    let sum = _mm512_maskz_mov_ps(there, token.sums[group]);
                    let sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), scale, sum);
                    token.sums[group] = if W::MIDDLE == 0 {
                        _mm512_fmadd_ps(offset, _mm512_set1_ps(x.offset[j]), sum)
                    } else {
                        sum
                    };
                }
            };
            // SAFETY: this function has the same features.
            unsafe { W::open(&rows, step, add) };
        }
        for (token, out) in tokens.iter().zip(out.iter_mut()) {
            let out: &mut [f32; ROWS] = (&mut out[first..first + ROWS]).try_into().expect("as many rows");
            // SAFETY: a store of sixteen floats.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum_of_groups(token.sums)) };
        }
    }
    if let (true, Some(Gemv::Q8([one, ..]))) = (whole < n_rows, gemv(W::TYPE)) {
        for (t, out) in out.iter_mut().enumerate() {
            one(&w[whole * row_bytes..], x.from(t), &mut [&mut out[whole..]]);
        }
    }
}

/// Has `len` bytes from `at` on brought into the L1 cache; any address will do. In some builds what is fetched into the L2 cache alone
/// comes half as fast, as though the processor's own prefetching got in its way.
#[inline(always)]
fn fetch_near(at: *const u8, len: usize) {
    for line in (0..len + 63).step_by(64) {
        // SAFETY: part of every x86-64; nothing that the program sees is read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(line).cast()) };
    }
}

/// Makes [`Token::starts`].
#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn put_starts<W: Open, const GROUPS: usize>(x: &Q8x256, starts: &mut [i32; GROUPS]) {
    let sums = load_i16(&x.sums);
    if W::MIDDLE == 0 {
        return;
    }
    if W::SUBS == 1 {
        let starts = starts.first_chunk_mut::<8>().expect("a group a block");
        let v = _mm256_madd_epi16(sums, _mm256_set1_epi16(-W::MIDDLE as i16));
        // SAFETY: a store of eight integers.
        unsafe { _mm256_storeu_si256(starts.as_mut_ptr().cast(), v) };
    } else {
        let starts = starts.first_chunk_mut::<16>().expect("two groups a block");
        let v = _mm512_mullo_epi32(_mm512_cvtepi16_epi32(sums), _mm512_set1_epi32(-W::MIDDLE));
        // SAFETY: a store of sixteen integers.
        unsafe { _mm512_storeu_si512(starts.as_mut_ptr().cast(), v) };
    }
}

/// The sum of the sums of all groups, in the order of [`eight_sums`] and of [`hsums`](super::bits::hsums), so that bits are
/// those of one token.
#[inline]
#[target_feature(enable = "avx512f")]
fn sum_of_groups<const GROUPS: usize>(mut of: [__m512; GROUPS]) -> __m512 {
    let mut half = GROUPS / 2;
    while half > 0 {
        for i in 0..half {
            of[i] = _mm512_add_ps(of[i], of[i + half]);
        }
        half /= 2;
    }
    of[0]
}

/// The 16 bytes at the 64-bit place `at` of two vectors, of the first and of the second, and those 32 bytes on.
#[inline]
#[target_feature(enable = "avx512f")]
fn every_other(at: i64) -> __m512i {
    _mm512_setr_epi64(at, at + 1, at + 8, at + 9, at + 4, at + 5, at + 12, at + 13)
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
