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
    /// Bytes of 256 elements.
    const BYTES: usize;
    /// Groups, which have a scale each, of 32 elements: one or two.
    const SUBS: usize;
    /// What integers stand for themselves less of; if that is 0, groups have offsets.
    const MIDDLE: i32;

    /// Calls `group` for the groups of the `i`th 256 elements of the rows, with a group's number, its integers, unsigned bytes,
    /// four elements in a vector, and its scale and offset, which is 0 if there is none.
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
    let (quads, step) = (QUADS / W::SUBS, panel_step(W::SUBS, W::MIDDLE));
    let all = Rows::new(*rows);
    for (i, panel) in panel.chunks_mut(2 * step * 256 / STEP).enumerate() {
        let group = |group: usize, q: &[__m512i], [d, offset]: [__m512; 2]| {
            let (at, sub) = (2 * step * (group / W::SUBS), group % W::SUBS);
            // There is none for what was filled up.
            let Some(panel) = panel.get_mut(at..at + 2 * step) else { return };
            for (i, q) in q.iter().enumerate() {
                put(panel, sub * quads + i, *q);
            }
            put(panel, QUADS + sub, _mm512_castps_si512(d));
            if W::MIDDLE == 0 {
                put(panel, QUADS + W::SUBS + sub, _mm512_castps_si512(offset));
            }
        };
        let (mut last, padded);
        let (rows, i) = if (i + 1) * W::BYTES <= rows[0].len() {
            (&all, i)
        } else {
            last = [0; ROWS * MAX_BYTES];
            put_rest(rows, i * W::BYTES, &mut last, W::BYTES);
            padded = Rows::of(&last, W::BYTES);
            (&padded, 0)
        };
        // SAFETY: this function has the same features.
        unsafe { W::open(rows, i, group) };
    }
}

/// The most bytes of 256 elements.
const MAX_BYTES: usize = Q8_0::BYTES;

/// Puts what the rows have from `at` on into rows of `row_bytes`, zeros so far.
#[cold]
fn put_rest(rows: &[&[u8]; ROWS], at: usize, to: &mut [u8], row_bytes: usize) {
    for (row, to) in rows.iter().zip(to.chunks_exact_mut(row_bytes)) {
        to[..row.len() - at].copy_from_slice(&row[at..]);
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
    const BYTES: usize = 8 * 18;
    const SUBS: usize = 1;
    const MIDDLE: i32 = 8;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512bw,avx512vnni")]
    unsafe fn open(rows: &Rows<'_>, i: usize, mut group: impl FnMut(usize, &[__m512i], [__m512; 2])) {
        let at = Self::BYTES * i;
        let (a, b) = (rows.columns_32(at), rows.columns_32(at + 32));
        two_of_q4_0(&mut group, 0, [a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], b[0]]);
        let c = rows.columns_32(at + 64);
        two_of_q4_0(&mut group, 2, [b[1], b[2], b[3], b[4], b[5], b[6], b[7], c[0], c[1]]);
        let d = rows.columns_32(at + 96);
        two_of_q4_0(&mut group, 4, [c[2], c[3], c[4], c[5], c[6], c[7], d[0], d[1], d[2]]);
        let e = rows.columns(at + 128);
        two_of_q4_0(&mut group, 6, [d[3], d[4], d[5], d[6], d[7], e[0], e[1], e[2], e[3]]);
    }
}

/// Two blocks of Q4_0, nine words: the second one's begin with its scale, in the high half of a word.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn two_of_q4_0(group: &mut impl FnMut(usize, &[__m512i], [__m512; 2]), first: usize, w: [__m512i; 9]) {
    let [even, odd] = scales(w[0], w[4]);
    // The high half of a word and the low half of the next, which change places.
    let both = |i: usize| _mm512_mask_blend_epi16(HIGH_HALVES, w[i + 1], w[i]);
    let [a, b, c, d] = [both(0), both(1), both(2), both(3)];
    let first_half = |v| masked(_mm512_rol_epi32::<16>(v), 15);
    let second_half = |v| masked(_mm512_rol_epi32::<12>(v), 15);
    let q = [
        first_half(a),
        first_half(b),
        first_half(c),
        first_half(d),
        second_half(a),
        second_half(b),
        second_half(c),
        second_half(d),
    ];
    group(first, &q, [even, _mm512_setzero_ps()]);
    let [a, b, c, d] = [w[5], w[6], w[7], w[8]];
    let q = [low(a), low(b), low(c), low(d), high(a), high(b), high(c), high(d)];
    group(first + 1, &q, [odd, _mm512_setzero_ps()]);
}

impl Open for Q8_0 {
    const TYPE: TensorType = TensorType::Q8_0;
    const BYTES: usize = 8 * 34;
    const SUBS: usize = 1;
    const MIDDLE: i32 = 128;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,avx512vl,avx512bw,avx512vnni")]
    unsafe fn open(rows: &Rows<'_>, i: usize, mut group: impl FnMut(usize, &[__m512i], [__m512; 2])) {
        let at = Self::BYTES * i;
        let (a, b, c) = (rows.columns_32(at), rows.columns_32(at + 32), rows.columns_32(at + 64));
        two_of_q8_0(&mut group, 0, a, b, c[0]);
        let (d, e) = (rows.columns_32(at + 96), rows.columns_32(at + 128));
        two_of_q8_0(
            &mut group,
            2,
            [c[1], c[2], c[3], c[4], c[5], c[6], c[7], d[0]],
            [d[1], d[2], d[3], d[4], d[5], d[6], d[7], e[0]],
            e[1],
        );
        let (f, g) = (rows.columns_32(at + 160), rows.columns_32(at + 192));
        two_of_q8_0(
            &mut group,
            4,
            [e[2], e[3], e[4], e[5], e[6], e[7], f[0], f[1]],
            [f[2], f[3], f[4], f[5], f[6], f[7], g[0], g[1]],
            g[2],
        );
        let h = rows.columns_32(at + 224);
        let i = rows.columns(at + 256);
        two_of_q8_0(
            &mut group,
            6,
            [g[3], g[4], g[5], g[6], g[7], h[0], h[1], h[2]],
            [h[3], h[4], h[5], h[6], h[7], i[0], i[1], i[2]],
            i[3],
        );
    }
}

/// Two blocks of Q8_0, the words of `a`, `b` and `c`: the second one's begin with its scale, in the high half of the first of `b`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn two_of_q8_0(
    group: &mut impl FnMut(usize, &[__m512i], [__m512; 2]),
    first: usize,
    a: [__m512i; 8],
    b: [__m512i; 8],
    c: __m512i,
) {
    let [even, odd] = scales(a[0], b[0]);
    let move_up = |q| _mm512_xor_si512(q, _mm512_set1_epi8(-128));
    let both = |low, high| move_up(_mm512_rol_epi32::<16>(_mm512_mask_blend_epi16(HIGH_HALVES, low, high)));
    let q = [
        both(a[1], a[0]),
        both(a[2], a[1]),
        both(a[3], a[2]),
        both(a[4], a[3]),
        both(a[5], a[4]),
        both(a[6], a[5]),
        both(a[7], a[6]),
        both(b[0], a[7]),
    ];
    group(first, &q, [even, _mm512_setzero_ps()]);
    let q = [
        move_up(b[1]),
        move_up(b[2]),
        move_up(b[3]),
        move_up(b[4]),
        move_up(b[5]),
        move_up(b[6]),
        move_up(b[7]),
        move_up(c),
    ];
    group(first + 1, &q, [odd, _mm512_setzero_ps()]);
}

impl Open for Q4_K {
    const TYPE: TensorType = TensorType::Q4_K;
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
        two_of_q4_k(&mut group, 0, rows.columns_32(at + 16), [floats(0), floats(1)]);
        two_of_q4_k(&mut group, 2, rows.columns_32(at + 48), [floats(2), floats(3)]);
        two_of_q4_k(&mut group, 4, rows.columns_32(at + 80), [floats(4), floats(5)]);
        two_of_q4_k(&mut group, 6, rows.columns_32(at + 112), [floats(6), floats(7)]);
    }
}

/// Group `first` of Q4_K and the next one, which are the low and the high nibbles of the same 32 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
fn two_of_q4_k(
    group: &mut impl FnMut(usize, &[__m512i], [__m512; 2]),
    first: usize,
    [a, b, c, d, e, f, g, h]: [__m512i; 8],
    floats: [[__m512; 2]; 2],
) {
    group(first, &[low(a), low(b), low(c), low(d), low(e), low(f), low(g), low(h)], floats[0]);
    let q = [high(a), high(b), high(c), high(d), high(e), high(f), high(g), high(h)];
    group(first + 1, &q, floats[1]);
}

impl Open for Q6_K {
    const TYPE: TensorType = TensorType::Q6_K;
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
            let first = rows.columns_32(at + 64 * half);
            let second = rows.columns_32(at + 64 * half + 32);
            let bits = rows.columns_32(at + 128 + 32 * half);
            let scales = [scales[2 * half], scales[2 * half + 1]];
            let group = &mut |number: usize, q: [__m512i; 4], scale| {
                let scale = _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale));
                group(8 * half + number, &q, [scale, _mm512_setzero_ps()]);
            };
            let four =
                |v: [__m512i; 8], sub: usize| [v[4 * sub], v[4 * sub + 1], v[4 * sub + 2], v[4 * sub + 3]];
            four_of_q6_k(group, 0, four(first, 0), four(second, 0), four(bits, 0), scales);
            four_of_q6_k(group, 1, four(first, 1), four(second, 1), four(bits, 1), scales);
        }
    }
}

/// Of half a block of Q6_K the groups `sub`, `sub` + 2 and so on, sixteen elements each.
///
/// Parts 0 and 1 of the half are the low nibbles of 64 bytes, parts 2 and 3 the high ones; all have two bits of each of another
/// 32 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
fn four_of_q6_k(
    group: &mut impl FnMut(usize, [__m512i; 4], __m512i),
    sub: usize,
    [a, b, c, d]: [__m512i; 4],
    [e, f, g, h]: [__m512i; 4],
    [p, q, r, s]: [__m512i; 4],
    scales: [__m512i; 2],
) {
    let scale = |part: usize| {
        let left = _mm512_set1_epi32(24 - 8 * (2 * (part as i32 % 2) + sub as i32));
        _mm512_srai_epi32(_mm512_sllv_epi32(scales[part / 2], left), 24)
    };
    let six = |nibble, bits| _mm512_or_si512(nibble, masked(bits, 0x30));
    let of_0 = |nibbles, bits| six(low(nibbles), _mm512_slli_epi32(bits, 4));
    let of_1 = |nibbles, bits| six(low(nibbles), _mm512_slli_epi32(bits, 2));
    let of_2 = |nibbles, bits| six(high(nibbles), bits);
    let of_3 = |nibbles, bits| six(high(nibbles), _mm512_srli_epi32(bits, 2));
    group(sub, [of_0(a, p), of_0(b, q), of_0(c, r), of_0(d, s)], scale(0));
    group(sub + 2, [of_1(e, p), of_1(f, q), of_1(g, r), of_1(h, s)], scale(1));
    group(sub + 4, [of_2(a, p), of_2(b, q), of_2(c, r), of_2(d, s)], scale(2));
    group(sub + 6, [of_3(e, p), of_3(f, q), of_3(g, r), of_3(h, s)], scale(3));
}

/// Sixteen rows of weights, of the same length.
pub(super) struct Rows<'a>([&'a [u8]; ROWS]);

impl<'a> Rows<'a> {
    /// # Panics
    /// If a row is shorter than the first.
    // Out of line, as it is code enough to notice in the program's size.
    #[inline(never)]
    pub(super) fn new(rows: [&'a [u8]; ROWS]) -> Self {
        assert!(rows.iter().all(|row| row.len() >= rows[0].len()), "rows of a length");
        Rows(rows)
    }

    /// The first sixteen rows of `row_bytes` each.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline(always)]
    pub(super) fn of(w: &'a [u8], row_bytes: usize) -> Self {
        let w = &w[..ROWS * row_bytes];
        Rows(std::array::from_fn(|r| &w[r * row_bytes..(r + 1) * row_bytes]))
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
        turn([four(0), four(1), four(2), four(3)])
    }

    /// Of every row the 32 bytes from `at` on, four in a vector.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn columns_32(&self, at: usize) -> [__m512i; 8] {
        assert!(at + 32 <= self.0[0].len());
        // SAFETY: an unaligned load of 32 bytes, which every row has as the first has.
        let load = |r: usize| unsafe { _mm256_loadu_si256(self.0[r].as_ptr().add(at).cast()) };
        let two = |r: usize| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(load(r)), load(r + 4));
        // Words i and i + 4 of eight rows.
        let eight = |r: usize| turn([two(r), two(r + 1), two(r + 2), two(r + 3)]);
        let (a, b) = (eight(0), eight(8));
        let first = |i: usize| _mm512_shuffle_i32x4::<0b10_00_10_00>(a[i], b[i]);
        let second = |i: usize| _mm512_shuffle_i32x4::<0b11_01_11_01>(a[i], b[i]);
        [first(0), first(1), first(2), first(3), second(0), second(1), second(2), second(3)]
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

/// Of each 128 bits word i of all four vectors in vector i.
#[inline]
#[target_feature(enable = "avx512f")]
fn turn([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(ab, cd),
        _mm512_unpackhi_epi64(ab, cd),
        _mm512_unpacklo_epi64(ab_high, cd_high),
        _mm512_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// The high half of every 32 bits.
const HIGH_HALVES: __mmask32 = 0xaaaa_aaaa;

/// The f16 in the low halves of the elements of `low` and those in the high halves of `high`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn scales(low: __m512i, high: __m512i) -> [__m512; 2] {
    let both = _mm512_mask_blend_epi16(HIGH_HALVES, low, high);
    let at = _mm512_set_epi16(
        31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1, 30, 28, 26, 24, 22, 20, 18, 16, 14, 12,
        10, 8, 6, 4, 2, 0,
    );
    let both = _mm512_permutexvar_epi16(at, both);
    [_mm512_cvtph_ps(_mm512_castsi512_si256(both)), _mm512_cvtph_ps(_mm512_extracti64x4_epi64::<1>(both))]
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
