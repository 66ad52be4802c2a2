//! Weights laid open for the micro-kernels of [`super::gemm`] and of the levels with VNNI ([`super::tile`]).
//!
//! A panel is sixteen rows. Each of its vectors is a pair, of eight rows and of eight more, so that 512 bits hold the same of
//! all. A step of a byte kernel's panel is eight vectors of integers, then the scales (one vector, or one for each
//! sixteen elements), then, in the types that store offsets, as many vectors of what a row's sum of activations is
//! multiplied by.
//!
//! Where there are none, the integers stand for themselves less a constant.

use std::arch::x86_64::*;

use super::avx2::{load_bf16, load_f16, load_f32_bytes};
use super::bits::{bit, fifth_bits, four_bits, load, load_128, nibbles, shifted, two_bits};
use super::gemm::store;
use super::tile::{PAIRS, QUADS, ROWS};
use super::unpack::{self, f16_8, four, pair, q3_scales, two_bits_at_4};
use crate::format::iq4_nl::LEVELS;
use crate::gemm::Vector;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q4_0(w: &[&[u8]], panel: &mut [Vector]) {
    pack_nibbles::<18, 1>(w, panel, 2)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q4_1(w: &[&[u8]], panel: &mut [Vector]) {
    pack_nibbles::<20, 2>(w, panel, 4)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q5_0(w: &[&[u8]], panel: &mut [Vector]) {
    pack_32::<22, 1>(w, panel, |b| _mm256_or_si256(nibbles(b, 6), fifth_bits(b, 2)))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q5_1(w: &[&[u8]], panel: &mut [Vector]) {
    pack_32::<24, 2>(w, panel, |b| _mm256_or_si256(nibbles(b, 8), fifth_bits(b, 4)))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q2_k(w: &[&[u8]], panel: &mut [Vector]) {
    let unpack = |b: &[u8; 84]| {
        let both = load_128(b, 0);
        let nibble = _mm_set1_epi8(15);
        let mins = sixteen(_mm_and_si128(_mm_srli_epi16(both, 4), nibble), f16_8(b, 82));
        let offsets = mins.map(|m| _mm256_xor_ps(m, _mm256_set1_ps(-0.0)));
        [sixteen(_mm_and_si128(both, nibble), f16_8(b, 80)), offsets]
    };
    pack_256::<84, 2, _>(w, panel, unpack, |b, step, to| step_by_step(b, step, to, |b, j| two_bits(b, 16, j)))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q3_k(w: &[&[u8]], panel: &mut [Vector]) {
    let unpack = |b: &[u8; 110]| [sixteen(q3_scales(b), f16_8(b, 108))];
    let q = |b: &[u8; 110], j| _mm256_or_si256(two_bits(b, 32, j), bit(load(b, 0), j, 4));
    pack_256::<110, 2, _>(w, panel, unpack, |b, step, to| step_by_step(b, step, to, q))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q4_k(w: &[&[u8]], panel: &mut [Vector]) {
    pack_256::<144, 1, _>(
        w,
        panel,
        |b| affine(b),
        |b, step, to| {
            // Steps 2 i and 2 i + 1 are the low and the high nibbles of the same bytes.
            for i in 0..4 {
                let columns = turn(eight(b, |b| load(b, 16 + 32 * i)));
                for (c, v) in columns.into_iter().enumerate() {
                    to.put(2 * i * step + c, shifted(v, 0, 15));
                    to.put((2 * i + 1) * step + c, shifted(v, 4, 15));
                }
            }
        },
    )
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q5_k(w: &[&[u8]], panel: &mut [Vector]) {
    let q = |b: &[u8; 176], j| _mm256_or_si256(four_bits(b, 48, j), bit(load(b, 16), j, 16));
    pack_256::<176, 1, _>(w, panel, |b| affine(b), |b, step, to| step_by_step(b, step, to, q))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q6_k(w: &[&[u8]], panel: &mut [Vector]) {
    let unpack = |b: &[u8; 210]| [sixteen(load_128(b, 192), f16_8(b, 208))];
    pack_256::<210, 2, _>(w, panel, unpack, |b, step, to| {
        for half in 0..2 {
            // Steps 0 and 2 are the low and the high nibbles of 32 bytes, 1 and 3 those of the next; all have two bits of
            // each of another 32.
            let high = turn(eight(b, |b| load(b, 128 + 32 * half)));
            for i in 0..2 {
                let low = turn(eight(b, |b| load(b, 64 * half + 32 * i)));
                for (c, (low, high)) in low.into_iter().zip(high).enumerate() {
                    for (part, shift) in [(i, 0), (i + 2, 4)] {
                        let v = _mm256_or_si256(shifted(low, shift, 15), two_bits_at_4(high, part));
                        to.put((4 * half + part) * step + c, v);
                    }
                }
            }
        }
    })
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q8_0(w: &[&[u8]], panel: &mut [Vector]) {
    pack_words::<34>(w, panel, |b| load(b, 2))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn iq4_nl(w: &[&[u8]], panel: &mut [Vector]) {
    // SAFETY: an unaligned load of 16 bytes.
    let levels = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(LEVELS.as_ptr().cast()) });
    pack_words::<18>(w, panel, |b| _mm256_shuffle_epi8(levels, nibbles(b, 2)))
}

/// Bytes that stand for themselves less 128; the weights may be -128, too.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q8_0_bytes(w: &[&[u8]], panel: &mut [Vector]) {
    pack_32::<34, 1>(w, panel, |b| plus_128(load(b, 2)))
}

/// As [`q8_0_bytes`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn iq4_nl_bytes(w: &[&[u8]], panel: &mut [Vector]) {
    // SAFETY: an unaligned load of 16 bytes.
    let levels = plus_128(_mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(LEVELS.as_ptr().cast()) }));
    pack_32::<18, 1>(w, panel, |b| _mm256_shuffle_epi8(levels, nibbles(b, 2)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn plus_128(v: __m256i) -> __m256i {
    _mm256_xor_si256(v, _mm256_set1_epi8(i8::MIN))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn f32(w: &[&[u8]], panel: &mut [Vector]) {
    pack_floats(w, panel, |w| load_f32_bytes(w))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn f16(w: &[&[u8]], panel: &mut [Vector]) {
    pack_floats(w, panel, |w| load_f16(w))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn bf16(w: &[&[u8]], panel: &mut [Vector]) {
    pack_floats(w, panel, |w| load_bf16(w))
}

/// 32-element blocks that begin with the scale and, if there are two FLOATS, the minimum.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pack_32<const BYTES: usize, const FLOATS: usize>(
    w: &[&[u8]],
    panel: &mut [Vector],
    q: impl Fn(&[u8; BYTES]) -> __m256i,
) {
    for (half, rows) in halves::<BYTES>(w) {
        for (i, step) in panel.chunks_exact_mut(2 * (QUADS + FLOATS)).enumerate() {
            let (blocks, mut to) = (blocks(rows, i), Half { of: step, half });
            interleave(eight(blocks, &q), 0, &mut to);
            put_floats::<BYTES, FLOATS>(blocks, &mut to);
        }
    }
}

/// As [`pack_32`], of blocks whose integers are the nibbles of the 16 bytes from `at` on: those of four columns are
/// turned together.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pack_nibbles<const BYTES: usize, const FLOATS: usize>(w: &[&[u8]], panel: &mut [Vector], at: usize) {
    let mask = _mm256_set1_epi8(15);
    for (half, rows) in halves::<BYTES>(w) {
        for (i, step) in panel.chunks_exact_mut(2 * (QUADS + FLOATS)).enumerate() {
            let (blocks, mut to) = (blocks(rows, i), Half { of: step, half });
            let both = |r: usize| _mm256_set_m128i(load_128(blocks[r + 4], at), load_128(blocks[r], at));
            let columns = four(pair(both(0), both(1)), pair(both(2), both(3)));
            for (c, v) in columns.into_iter().enumerate() {
                to.put(c, _mm256_and_si256(v, mask));
                to.put(c + 4, _mm256_and_si256(_mm256_srli_epi16(v, 4), mask));
            }
            put_floats::<BYTES, FLOATS>(blocks, &mut to);
        }
    }
}

/// Every other vector of some steps of a panel, those of eight of its rows.
struct Half<'a> {
    of: &'a mut [Vector],
    half: usize,
}

impl Half<'_> {
    /// Vector `i`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn put(&mut self, i: usize, v: __m256i) {
        store(&mut self.of[2 * i + self.half], v);
    }
}

/// The f16 that blocks begin with, a vector each.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn put_floats<const BYTES: usize, const FLOATS: usize>(blocks: [&[u8; BYTES]; ROWS], to: &mut Half<'_>) {
    for i in 0..FLOATS {
        to.put(QUADS + i, _mm256_castps_si256(f16s(blocks, 2 * i)));
    }
}

/// Of the groups of a 256-element block (eight or, in two vectors, sixteen), what integers are multiplied by and, if there
/// are two FLOATS, sums of activations.
type Scales<const SUBS: usize, const FLOATS: usize> = [[__m256; SUBS]; FLOATS];

/// Sixteen scales in units of `d`.
#[inline]
#[target_feature(enable = "avx2")]
fn sixteen(scales: __m128i, d: __m256) -> [__m256; 2] {
    [scales, _mm_unpackhi_epi64(scales, scales)]
        .map(|s| _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(s))))
}

/// Those of a block that starts as Q4_K's and Q5_K's do.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn affine<const BYTES: usize>(b: &[u8; BYTES]) -> Scales<1, 2> {
    let (scales, mins) = unpack::affine(b);
    [[scales], [_mm256_xor_ps(mins, _mm256_set1_ps(-0.0))]]
}

/// 256-element blocks with `8 · SUBS` groups: `fill` puts the integers of eight rows' blocks at the beginnings of
/// eight steps, of so many vectors each.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pack_256<const BYTES: usize, const SUBS: usize, const FLOATS: usize>(
    w: &[&[u8]],
    panel: &mut [Vector],
    unpack: impl Fn(&[u8; BYTES]) -> Scales<SUBS, FLOATS>,
    fill: impl Fn([&[u8; BYTES]; ROWS], usize, &mut Half<'_>),
) {
    let step = QUADS + FLOATS * SUBS;
    for (half, rows) in halves::<BYTES>(w) {
        for (i, steps) in panel.chunks_exact_mut(2 * 8 * step).enumerate() {
            let (blocks, mut to) = (blocks(rows, i), Half { of: steps, half });
            fill(blocks, step, &mut to);
            let unpacked = eight(blocks, &unpack);
            for part in 0..FLOATS {
                for eighth in 0..SUBS {
                    let groups = turn(eight(unpacked, |u| _mm256_castps_si256(u[part][eighth])));
                    for (g, group) in groups.into_iter().enumerate() {
                        let (j, sub) = ((8 * eighth + g) / SUBS, g % SUBS);
                        to.put(j * step + QUADS + part * SUBS + sub, group);
                    }
                }
            }
        }
    }
}

/// Fills eight steps of so many vectors: `q(b, j)` is the integers of the `j`th 32 of a block.
#[inline]
#[target_feature(enable = "avx2")]
fn step_by_step<const BYTES: usize>(
    blocks: [&[u8; BYTES]; ROWS],
    step: usize,
    to: &mut Half<'_>,
    q: impl Fn(&[u8; BYTES], usize) -> __m256i,
) {
    for j in 0..8 {
        interleave(eight(blocks, |b| q(b, j)), j * step, to);
    }
}

/// The blocks of eight rows, twice, with the number of the half.
#[inline(always)]
fn halves<'a, const BYTES: usize>(w: &[&'a [u8]]) -> [(usize, [&'a [[u8; BYTES]]; ROWS]); 2] {
    [0, 1].map(|half| {
        let mut rows = [&[][..]; ROWS];
        for (row, w) in rows.iter_mut().zip(&w[ROWS * half..]) {
            *row = w.as_chunks().0;
        }
        (half, rows)
    })
}

/// The `i`th blocks of eight rows.
#[inline(always)]
fn blocks<const BYTES: usize>(rows: [&[[u8; BYTES]]; ROWS], i: usize) -> [&[u8; BYTES]; ROWS] {
    let [a, b, c, d, e, f, g, h] = rows;
    [&a[i], &b[i], &c[i], &d[i], &e[i], &f[i], &g[i], &h[i]]
}

/// `f` of each: `array::map`, but sure to be inlined, which that is not where `f` needs other instructions than it.
#[inline(always)]
fn eight<T, U>(of: [T; ROWS], f: impl Fn(T) -> U) -> [U; ROWS] {
    let [a, b, c, d, e, g, h, i] = of;
    [f(a), f(b), f(c), f(d), f(e), f(g), f(h), f(i)]
}

/// 32-element blocks that begin with the scale, of signed integers: a step is sixteen vectors of i16 and the scales.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pack_words<const BYTES: usize>(w: &[&[u8]], panel: &mut [Vector], q: impl Fn(&[u8; BYTES]) -> __m256i) {
    for (half, rows) in halves::<BYTES>(w) {
        for (i, step) in panel.chunks_exact_mut(2 * (PAIRS + 1)).enumerate() {
            let (blocks, mut to) = (blocks(rows, i), Half { of: step, half });
            let q = eight(blocks, &q);
            interleave(eight(q, |q| _mm256_cvtepi8_epi16(_mm256_castsi256_si128(q))), 0, &mut to);
            interleave(
                eight(q, |q| _mm256_cvtepi8_epi16(_mm256_extracti128_si256(q, 1))),
                PAIRS / 2,
                &mut to,
            );
            to.put(PAIRS, _mm256_castps_si256(f16s(blocks, 0)));
        }
    }
}

/// Sixteen rows of floats, column by column; the columns beyond the last are 0.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pack_floats<const N: usize>(w: &[&[u8]], panel: &mut [Vector], load: impl Fn(&[[u8; N]; 8]) -> __m256) {
    for (half, rows) in halves::<N>(w) {
        for (i, columns) in panel.chunks_exact_mut(16).enumerate() {
            let values = eight(rows, |w| {
                let w = w.get(8 * i..).unwrap_or_default();
                let padded = match w.first_chunk() {
                    Some(w) => *w,
                    None => std::array::from_fn(|j| w.get(j).copied().unwrap_or([0; N])),
                };
                _mm256_castps_si256(load(&padded))
            });
            interleave(values, 0, &mut Half { of: columns, half });
        }
    }
}

/// The f16 at `at` of eight blocks.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn f16s<const BYTES: usize>(blocks: [&[u8; BYTES]; ROWS], at: usize) -> __m256 {
    let [a, b, c, d, e, f, g, h] = eight(blocks, |b| i16::from_le_bytes([b[at], b[at + 1]]));
    _mm256_cvtph_ps(_mm_setr_epi16(a, b, c, d, e, f, g, h))
}

/// As [`turn`], stored from vector `at` on.
#[inline]
#[target_feature(enable = "avx2")]
fn interleave(rows: [__m256i; ROWS], at: usize, to: &mut Half<'_>) {
    for (c, v) in turn(rows).into_iter().enumerate() {
        to.put(at + c, v);
    }
}

/// Turns eight rows of eight 32-bit elements into columns.
#[inline]
#[target_feature(enable = "avx2")]
fn turn(rows: [__m256i; ROWS]) -> [__m256i; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    let (top, bottom) = (four(pair(a, b), pair(c, d)), four(pair(e, f), pair(g, h)));
    let mut columns = [_mm256_setzero_si256(); 8];
    for i in 0..4 {
        columns[i] = _mm256_permute2x128_si256(top[i], bottom[i], 0x20);
        columns[i + 4] = _mm256_permute2x128_si256(top[i], bottom[i], 0x31);
    }
    columns
}
