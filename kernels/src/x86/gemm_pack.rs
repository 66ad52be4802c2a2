//! Weights laid open for the micro-kernels of [`super::gemm`].
//!
//! A step of a byte kernel's panel is eight vectors of integers, then the scales of eight rows (one vector, or
//! one for each sixteen elements), then as many vectors of what a row's sum of activations is multiplied by.

use std::arch::x86_64::*;

use super::avx2::{load_bf16, load_f16, load_f32_bytes};
use super::avx2_dot::{bit, fifth_bits, four_bits, load, load_128, nibbles, shifted, two_bits};
use super::gemm::{PAIRS, QUADS, store, store_ps};
use super::gemv::{affine_scales, f16_8, q3_scales};
use crate::format::iq4_nl::LEVELS;
use crate::gemm::Vector;

/// Rows of a group of the integer kernels.
const ROWS: usize = 8;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q4_0(w: &[&[u8]], panel: &mut [Vector]) {
    pack_nibbles::<18>(w, panel, Offset::Times(-8.0), 2)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q4_1(w: &[&[u8]], panel: &mut [Vector]) {
    pack_nibbles::<20>(w, panel, Offset::Stored, 4)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q5_0(w: &[&[u8]], panel: &mut [Vector]) {
    pack_32::<22>(w, panel, Offset::Times(-16.0), |b| _mm256_or_si256(nibbles(b, 6), fifth_bits(b, 2)))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q5_1(w: &[&[u8]], panel: &mut [Vector]) {
    pack_32::<24>(w, panel, Offset::Stored, |b| _mm256_or_si256(nibbles(b, 8), fifth_bits(b, 4)))
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
    pack_256::<84, 2>(w, panel, unpack, |b, j| two_bits(b, 16, j))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q3_k(w: &[&[u8]], panel: &mut [Vector]) {
    let unpack = |b: &[u8; 110]| centred(sixteen(q3_scales(b), f16_8(b, 108)), 4.0);
    pack_256::<110, 2>(w, panel, unpack, |b, j| _mm256_or_si256(two_bits(b, 32, j), bit(load(b, 0), j, 4)))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q4_k(w: &[&[u8]], panel: &mut [Vector]) {
    pack_256::<144, 1>(w, panel, |b| affine(b), |b, j| four_bits(b, 16, j))
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q5_k(w: &[&[u8]], panel: &mut [Vector]) {
    let q = |b: &[u8; 176], j| _mm256_or_si256(four_bits(b, 48, j), bit(load(b, 16), j, 16));
    pack_256::<176, 1>(w, panel, |b| affine(b), q)
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn q6_k(w: &[&[u8]], panel: &mut [Vector]) {
    let unpack = |b: &[u8; 210]| centred(sixteen(load_128(b, 192), f16_8(b, 208)), 32.0);
    pack_256::<210, 2>(w, panel, unpack, |b, j| six_bits(b, j))
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

/// What a sum of activations is multiplied by, in the 32-element types.
enum Offset {
    /// The scale times this.
    Times(f32),
    /// The f16 in bytes 2 and 3 of the block.
    Stored,
}

/// 32-element blocks that begin with the scale.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pack_32<const BYTES: usize>(
    w: &[&[u8]],
    panel: &mut [Vector],
    offset: Offset,
    q: impl Fn(&[u8; BYTES]) -> __m256i,
) {
    let rows: [_; ROWS] = std::array::from_fn(|r| w[r].as_chunks::<BYTES>().0);
    for (i, step) in panel.as_chunks_mut::<{ QUADS + 2 }>().0.iter_mut().enumerate() {
        let blocks = rows.map(|w| &w[i]);
        interleave(blocks.map(&q), &mut step[..QUADS]);
        scale(blocks, &offset, step);
    }
}

/// As [`pack_32`], of blocks whose integers are the nibbles of the 16 bytes from `at` on: those of four columns are
/// turned together.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pack_nibbles<const BYTES: usize>(w: &[&[u8]], panel: &mut [Vector], offset: Offset, at: usize) {
    let rows: [_; ROWS] = std::array::from_fn(|r| w[r].as_chunks::<BYTES>().0);
    let mask = _mm256_set1_epi8(15);
    for (i, step) in panel.as_chunks_mut::<{ QUADS + 2 }>().0.iter_mut().enumerate() {
        let blocks = rows.map(|w| &w[i]);
        let both = |r: usize| _mm256_set_m128i(load_128(blocks[r + 4], at), load_128(blocks[r], at));
        let columns = four(pair(both(0), both(1)), pair(both(2), both(3)));
        for (c, v) in columns.into_iter().enumerate() {
            store(&mut step[c], _mm256_and_si256(v, mask));
            store(&mut step[c + 4], _mm256_and_si256(_mm256_srli_epi16(v, 4), mask));
        }
        scale(blocks, &offset, step);
    }
}

/// The last two vectors of a step.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scale<const BYTES: usize>(
    blocks: [&[u8; BYTES]; ROWS],
    offset: &Offset,
    step: &mut [Vector; QUADS + 2],
) {
    let d = f16s(blocks, 0);
    store_ps(&mut step[QUADS], d);
    let offset = match offset {
        Offset::Times(c) => _mm256_mul_ps(d, _mm256_set1_ps(*c)),
        Offset::Stored => f16s(blocks, 2),
    };
    store_ps(&mut step[QUADS + 1], offset);
}

/// Of the groups of a 256-element block (eight or, in two vectors, sixteen), what integers and what sums of activations
/// are multiplied by.
type Scales<const SUBS: usize> = [[__m256; SUBS]; 2];

/// Sixteen scales in units of `d`.
#[inline]
#[target_feature(enable = "avx2")]
fn sixteen(scales: __m128i, d: __m256) -> [__m256; 2] {
    [scales, _mm_unpackhi_epi64(scales, scales)]
        .map(|s| _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(s))))
}

/// Of integers that stand for themselves less `middle`.
#[inline]
#[target_feature(enable = "avx2")]
fn centred(scales: [__m256; 2], middle: f32) -> Scales<2> {
    [scales, scales.map(|s| _mm256_mul_ps(s, _mm256_set1_ps(-middle)))]
}

/// Those of a block that starts as Q4_K's and Q5_K's do.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn affine<const BYTES: usize>(b: &[u8; BYTES]) -> Scales<1> {
    let (scales, mins) = affine_scales(b);
    [[scales], [_mm256_xor_ps(mins, _mm256_set1_ps(-0.0))]]
}

/// 256-element blocks with `8 · SUBS` groups: `q(b, j)` is the integers of the `j`th 32.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pack_256<const BYTES: usize, const SUBS: usize>(
    w: &[&[u8]],
    panel: &mut [Vector],
    unpack: impl Fn(&[u8; BYTES]) -> Scales<SUBS>,
    q: impl Fn(&[u8; BYTES], usize) -> __m256i,
) {
    let rows: [_; ROWS] = std::array::from_fn(|r| w[r].as_chunks::<BYTES>().0);
    let step = QUADS + 2 * SUBS;
    for (i, steps) in panel.chunks_exact_mut(8 * step).enumerate() {
        let blocks = rows.map(|w| &w[i]);
        for (j, step) in steps.chunks_exact_mut(step).enumerate() {
            interleave(blocks.map(|b| q(b, j)), &mut step[..QUADS]);
        }
        let unpacked = blocks.map(&unpack);
        for part in 0..2 {
            for half in 0..SUBS {
                let mut groups = [Vector([0; 32]); 8];
                interleave(unpacked.map(|u| _mm256_castps_si256(u[part][half])), &mut groups);
                for (g, group) in groups.into_iter().enumerate() {
                    let (j, sub) = ((8 * half + g) / SUBS, g % SUBS);
                    steps[j * step + QUADS + part * SUBS + sub] = group;
                }
            }
        }
    }
}

/// The `j`th 32 of a Q6_K block.
#[inline]
#[target_feature(enable = "avx2")]
fn six_bits(b: &[u8], j: usize) -> __m256i {
    // Parts 0 and 2 share 32 bytes, parts 1 and 3 the next.
    let (half, part) = (j / 4, j % 4);
    let low = shifted(load(b, 64 * half + 32 * (part % 2)), 4 * (part / 2), 15);
    _mm256_or_si256(low, _mm256_slli_epi16(two_bits(b, 128, j), 4))
}

/// 32-element blocks that begin with the scale, of signed integers: a step is sixteen vectors of i16 and the scales.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pack_words<const BYTES: usize>(w: &[&[u8]], panel: &mut [Vector], q: impl Fn(&[u8; BYTES]) -> __m256i) {
    let rows: [_; ROWS] = std::array::from_fn(|r| w[r].as_chunks::<BYTES>().0);
    for (i, step) in panel.as_chunks_mut::<{ PAIRS + 1 }>().0.iter_mut().enumerate() {
        let blocks = rows.map(|w| &w[i]);
        let q = blocks.map(&q);
        let (low, rest) = step.split_at_mut(PAIRS / 2);
        interleave(q.map(|q| _mm256_cvtepi8_epi16(_mm256_castsi256_si128(q))), low);
        interleave(q.map(|q| _mm256_cvtepi8_epi16(_mm256_extracti128_si256(q, 1))), &mut rest[..PAIRS / 2]);
        store_ps(&mut rest[PAIRS / 2], f16s(blocks, 0));
    }
}

/// Sixteen rows of floats, column by column; the columns beyond the last are 0.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn pack_floats<const N: usize>(w: &[&[u8]], panel: &mut [Vector], load: impl Fn(&[[u8; N]; 8]) -> __m256) {
    for (half, w) in w.as_chunks::<ROWS>().0.iter().enumerate() {
        let rows = w.map(|w| w.as_chunks::<N>().0);
        for (i, columns) in panel.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let values = rows.map(|w| {
                let w = w.get(8 * i..).unwrap_or_default();
                let padded = match w.first_chunk() {
                    Some(w) => *w,
                    None => std::array::from_fn(|j| w.get(j).copied().unwrap_or([0; N])),
                };
                _mm256_castps_si256(load(&padded))
            });
            let mut turned = [Vector([0; 32]); 8];
            interleave(values, &mut turned);
            for (column, v) in turned.into_iter().enumerate() {
                columns[2 * column + half] = v;
            }
        }
    }
}

/// The f16 at `at` of eight blocks.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn f16s<const BYTES: usize>(blocks: [&[u8; BYTES]; ROWS], at: usize) -> __m256 {
    let [a, b, c, d, e, f, g, h] = blocks.map(|b| i16::from_le_bytes([b[at], b[at + 1]]));
    _mm256_cvtph_ps(_mm_setr_epi16(a, b, c, d, e, f, g, h))
}

/// Turns eight rows of eight 32-bit elements into columns.
#[inline]
#[target_feature(enable = "avx2")]
fn interleave(rows: [__m256i; ROWS], columns: &mut [Vector]) {
    let columns: &mut [Vector; 8] = columns.try_into().expect("eight columns");
    let [a, b, c, d, e, f, g, h] = rows;
    let (top, bottom) = (four(pair(a, b), pair(c, d)), four(pair(e, f), pair(g, h)));
    for i in 0..4 {
        store(&mut columns[i], _mm256_permute2x128_si256(top[i], bottom[i], 0x20));
        store(&mut columns[i + 4], _mm256_permute2x128_si256(top[i], bottom[i], 0x31));
    }
}

/// Elements of two rows in turns, within the 128-bit lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn pair(a: __m256i, b: __m256i) -> [__m256i; 2] {
    [_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)]
}

/// Of two pairs of rows, the columns within the 128-bit lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn four(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 4] {
    [
        _mm256_unpacklo_epi64(a[0], b[0]),
        _mm256_unpackhi_epi64(a[0], b[0]),
        _mm256_unpacklo_epi64(a[1], b[1]),
        _mm256_unpackhi_epi64(a[1], b[1]),
    ]
}
