//! Weights of the types of most files laid open, sixteen rows at a time, in vectors of 512 bits.

use std::arch::x86_64::*;

use super::tile::{QUADS, panel_step};
use crate::format::TensorType;
use crate::format::q4_0::Q4_0;
use crate::format::q4_k::Q4_K;
use crate::format::q6_k::Q6_K;
use crate::format::q8_0::Q8_0;
use crate::gemm::{Pack, STEP, Vector};

/// Rows that are laid open together: a vector has 32 bits of each.
pub(super) const ROWS: usize = 16;

/// A type of weights.
pub(super) trait Open {
    const TYPE: TensorType;
    /// Elements and bytes of a block.
    const LEN: usize;
    const BYTES: usize;
    /// Groups, which have a scale each, of 32 elements: one or two.
    const SUBS: usize;
    /// What integers stand for themselves less of; if that is 0, groups have offsets.
    const MIDDLE: i32;

    /// Calls `group` for the groups of the `i`th blocks of the rows, with a group's number, its integers, unsigned bytes, four
    /// elements in a vector, and its scale and offset, which is 0 if there is none.
    ///
    /// # Safety
    /// The processor must have what the set `avx512vnni` needs.
    unsafe fn open(rows: &Rows<'_>, i: usize, group: impl FnMut(usize, &[__m512i], [__m512; 2]));
}

/// The function that makes the panel of [`super::gemm_pack`], for the types that there is one for.
pub(super) fn pack(ty: TensorType) -> Option<Pack> {
    match ty {
        TensorType::Q4_0 => Some(put_open::<Q4_0>),
        TensorType::Q8_0 => Some(put_open::<Q8_0>),
        TensorType::Q4_K => Some(put_open::<Q4_K>),
        TensorType::Q6_K => Some(put_open::<Q6_K>),
        _ => None,
    }
}

#[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512bw,avx512vnni")]
fn put_open<W: Open>(w: &[&[u8]], panel: &mut [Vector]) {
    let rows: &[&[u8]; ROWS] = w.try_into().expect("the rows of a panel");
    let rows = Rows::new(*rows);
    let (quads, step) = (QUADS / W::SUBS, panel_step(W::SUBS, W::MIDDLE));
    for (i, panel) in panel.chunks_exact_mut(2 * step * W::LEN / STEP).enumerate() {
        let group = |group: usize, q: &[__m512i], [d, offset]: [__m512; 2]| {
            let (at, sub) = (group / W::SUBS * step, group % W::SUBS);
            for (i, q) in q.iter().enumerate() {
                put(panel, at + sub * quads + i, *q);
            }
            put(panel, at + QUADS + sub, _mm512_castps_si512(d));
            if W::MIDDLE == 0 {
                put(panel, at + QUADS + W::SUBS + sub, _mm512_castps_si512(offset));
            }
        };
        // SAFETY: this function has the same features.
        unsafe { W::open(&rows, i, group) };
    }
}

/// Stores pair `i` of the vectors of a panel.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn put(to: &mut [Vector], i: usize, v: __m512i) {
    let to: &mut [Vector; 2] = (&mut to[2 * i..2 * i + 2]).try_into().expect("two");
    // SAFETY: a store of 64 bytes.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), v) };
}

/// Pair `i` of the vectors of a panel.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn get(from: &[Vector], i: usize) -> __m512i {
    let from = &from[2 * i..2 * i + 2];
    // SAFETY: a load of 64 bytes.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

impl Open for Q4_0 {
    const TYPE: TensorType = TensorType::Q4_0;
    const LEN: usize = 32;
    const BYTES: usize = 18;
    const SUBS: usize = 1;
    const MIDDLE: i32 = 8;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512bw,avx512vnni")]
    unsafe fn open(rows: &Rows<'_>, i: usize, mut group: impl FnMut(usize, &[__m512i], [__m512; 2])) {
        let at = Self::BYTES * i;
        let [a, b, c, d] = rows.columns(at + 2);
        let q = [low(a), low(b), low(c), low(d), high(a), high(b), high(c), high(d)];
        group(0, &q, [rows.f16s(at), _mm512_setzero_ps()]);
    }
}

impl Open for Q8_0 {
    const TYPE: TensorType = TensorType::Q8_0;
    const LEN: usize = 32;
    const BYTES: usize = 34;
    const SUBS: usize = 1;
    const MIDDLE: i32 = 128;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512bw,avx512vnni")]
    unsafe fn open(rows: &Rows<'_>, i: usize, mut group: impl FnMut(usize, &[__m512i], [__m512; 2])) {
        let at = Self::BYTES * i;
        let ([a, b, c, d], [e, f, g, h]) = (rows.columns(at + 2), rows.columns(at + 18));
        let move_up = |q| _mm512_xor_si512(q, _mm512_set1_epi8(-128));
        let q =
            [move_up(a), move_up(b), move_up(c), move_up(d), move_up(e), move_up(f), move_up(g), move_up(h)];
        group(0, &q, [rows.f16s(at), _mm512_setzero_ps()]);
    }
}

impl Open for Q4_K {
    const TYPE: TensorType = TensorType::Q4_K;
    const LEN: usize = 256;
    const BYTES: usize = 144;
    const SUBS: usize = 1;
    const MIDDLE: i32 = 0;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512bw,avx512vnni")]
    unsafe fn open(rows: &Rows<'_>, i: usize, mut group: impl FnMut(usize, &[__m512i], [__m512; 2])) {
        let at = Self::BYTES * i;
        // What `q4_k::unpack_scales` does, here for a row an element, a byte a group.
        let [both, s, m, rest] = rows.columns(at);
        let second = |first, rest| _mm512_or_si512(low(rest), masked(_mm512_srli_epi32(first, 2), 0x30));
        let s = [masked(s, 63), second(s, rest)];
        let m = [masked(m, 63), second(m, _mm512_srli_epi32(rest, 4))];
        let d = f16s_of_words(both);
        let minus_dmin = _mm512_mul_ps(f16s_of_words(_mm512_srli_epi32(both, 16)), _mm512_set1_ps(-1.0));
        let of_group = |of: [__m512i; 2], d, group: usize| {
            let v = _mm512_srlv_epi32(of[group / 4], _mm512_set1_epi32(8 * (group as i32 % 4)));
            _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_and_si512(v, _mm512_set1_epi32(255))))
        };
        let floats = |group| [of_group(s, d, group), of_group(m, minus_dmin, group)];
        for even in [0, 2, 4, 6] {
            // The group and the next one are the low and the high nibbles of the same 32 bytes.
            let at = at + 16 + 16 * even;
            let ([a, b, c, e], [f, g, h, j]) = (rows.columns(at), rows.columns(at + 16));
            group(even, &[low(a), low(b), low(c), low(e), low(f), low(g), low(h), low(j)], floats(even));
            let q = [high(a), high(b), high(c), high(e), high(f), high(g), high(h), high(j)];
            group(even + 1, &q, floats(even + 1));
        }
    }
}

impl Open for Q6_K {
    const TYPE: TensorType = TensorType::Q6_K;
    const LEN: usize = 256;
    const BYTES: usize = 210;
    const SUBS: usize = 2;
    const MIDDLE: i32 = 32;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512bw,avx512vnni")]
    unsafe fn open(rows: &Rows<'_>, i: usize, mut group: impl FnMut(usize, &[__m512i], [__m512; 2])) {
        let at = Self::BYTES * i;
        let d = rows.f16s(at + 208);
        let scales = rows.columns(at + 192);
        for half in 0..2 {
            // Of either half of the block, parts 0 and 1 are the low nibbles of 64 bytes, parts 2 and 3 the high ones; all have
            // two bits of each of another 32. Here they are taken sixteen by sixteen.
            for sub in 0..2 {
                let first = rows.columns(at + 64 * half + 16 * sub);
                let second = rows.columns(at + 64 * half + 32 + 16 * sub);
                let bits = rows.columns(at + 128 + 32 * half + 16 * sub);
                for part in 0..4 {
                    let nibbles = if part % 2 == 0 { first } else { second };
                    let q = |c: usize| {
                        let nibble = if part < 2 { low(nibbles[c]) } else { high(nibbles[c]) };
                        let to_bit_4 = match part {
                            0 => _mm512_slli_epi32(bits[c], 4),
                            1 => _mm512_slli_epi32(bits[c], 2),
                            2 => bits[c],
                            _ => _mm512_srli_epi32(bits[c], 2),
                        };
                        _mm512_or_si512(nibble, masked(to_bit_4, 0x30))
                    };
                    let number = 2 * (4 * half + part) + sub;
                    let left = _mm512_set1_epi32(24 - 8 * (number as i32 % 4));
                    let scale = _mm512_srai_epi32(_mm512_sllv_epi32(scales[number / 4], left), 24);
                    let scale = _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale));
                    group(number, &[q(0), q(1), q(2), q(3)], [scale, _mm512_setzero_ps()]);
                }
            }
        }
    }
}

/// Sixteen rows of weights, of the same length.
pub(super) struct Rows<'a>([&'a [u8]; ROWS]);

impl<'a> Rows<'a> {
    /// # Panics
    /// If a row is shorter than the first.
    #[inline(always)]
    pub(super) fn new(rows: [&'a [u8]; ROWS]) -> Self {
        assert!(rows.iter().all(|row| row.len() >= rows[0].len()), "rows of a length");
        Rows(rows)
    }

    /// Of every row the 16 bytes from `at` on, four in a vector.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn columns(&self, at: usize) -> [__m512i; 4] {
        assert!(at + 16 <= self.0[0].len());
        // SAFETY: an unaligned load of 16 bytes, which every row has as the first has.
        let load = |r: usize| unsafe { _mm_loadu_si128(self.0[r].as_ptr().add(at).cast()) };
        let four = |r: usize| {
            let v = _mm512_castsi128_si512(load(r));
            let v = _mm512_inserti32x4::<1>(v, load(r + 4));
            let v = _mm512_inserti32x4::<2>(v, load(r + 8));
            _mm512_inserti32x4::<3>(v, load(r + 12))
        };
        let (a, b, c, d) = (four(0), four(1), four(2), four(3));
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ]
    }

    /// The f16 at `at` of every row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl")]
    fn f16s(&self, at: usize) -> __m512 {
        assert!(at + 2 <= self.0[0].len());
        // SAFETY: as above, of two bytes.
        let load = |r: usize| unsafe { self.0[r].as_ptr().add(at).cast::<i16>().read_unaligned() };
        let (a, b, c, d, e, f, g, h) =
            (load(0), load(1), load(2), load(3), load(4), load(5), load(6), load(7));
        let first = _mm_setr_epi16(a, b, c, d, e, f, g, h);
        let (a, b, c, d, e, f, g, h) =
            (load(8), load(9), load(10), load(11), load(12), load(13), load(14), load(15));
        _mm512_cvtph_ps(_mm256_set_m128i(_mm_setr_epi16(a, b, c, d, e, f, g, h), first))
    }
}

/// The f16 in the low half of every element.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn f16s_of_words(v: __m512i) -> __m512 {
    _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v))
}

/// The low nibble of every byte, and the high one.
#[inline]
#[target_feature(enable = "avx512f")]
fn low(v: __m512i) -> __m512i {
    masked(v, 15)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn high(v: __m512i) -> __m512i {
    masked(_mm512_srli_epi32(v, 4), 15)
}

/// The bits of every byte that `mask` has.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn masked(v: __m512i, mask: i8) -> __m512i {
    _mm512_and_si512(v, _mm512_set1_epi8(mask))
}
