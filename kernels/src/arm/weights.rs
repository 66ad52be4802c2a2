//! How the quantized types lie in registers, 256 elements at a time: one description a type for the products with few
//! tokens ([`super::gemv`]) and for laying weights open for many ([`super::gemm`]).

use super::intrinsics::*;
use crate::format::iq4_nl::LEVELS;
use crate::format::{block::get_f16, q3_k, q4_k};

/// 256 elements of a row in `BYTES` bytes: eight blocks of 32 or one of 256.
pub(super) trait Weights<const BYTES: usize> {
    /// Elements that share a scale: 32 or 16.
    const GROUP: usize = 32;
    /// What the integers were moved by to become unsigned.
    const ZERO: i8 = 0;
    /// Whether something is added to the products of a group's integers.
    const MINS: bool = false;
    /// No integer, moved or not, is of larger magnitude.
    const MAX: i32;

    /// The integers of the `i`th 32 elements, moved by [`Weights::ZERO`].
    fn integers(w: &[u8; BYTES], i: usize) -> [uint8x16_t; 2];
    /// A scale a group, in order; of eight groups in the first two vectors.
    fn scales(w: &[u8; BYTES]) -> [float32x4_t; 4];
    /// What is added an element of a group, in the same order.
    fn mins(_: &[u8; BYTES]) -> [float32x4_t; 4] {
        eight([zero(); 2])
    }
}

pub(super) struct Q4_0;

impl Weights<{ 8 * 18 }> for Q4_0 {
    const ZERO: i8 = 8;
    const MAX: i32 = 15;

    #[inline(always)]
    fn integers(w: &[u8; 8 * 18], i: usize) -> [uint8x16_t; 2] {
        nibbles(load(w, 18 * i + 2))
    }

    #[inline(always)]
    fn scales(w: &[u8; 8 * 18]) -> [float32x4_t; 4] {
        f16s::<18>(w, 0)
    }
}

pub(super) struct Q4_1;

impl Weights<{ 8 * 20 }> for Q4_1 {
    const MINS: bool = true;
    const MAX: i32 = 15;

    #[inline(always)]
    fn integers(w: &[u8; 8 * 20], i: usize) -> [uint8x16_t; 2] {
        nibbles(load(w, 20 * i + 4))
    }

    #[inline(always)]
    fn scales(w: &[u8; 8 * 20]) -> [float32x4_t; 4] {
        f16s::<20>(w, 0)
    }

    #[inline(always)]
    fn mins(w: &[u8; 8 * 20]) -> [float32x4_t; 4] {
        f16s::<20>(w, 2)
    }
}

pub(super) struct Q5_0;

impl Weights<{ 8 * 22 }> for Q5_0 {
    const ZERO: i8 = 16;
    const MAX: i32 = 31;

    #[inline(always)]
    fn integers(w: &[u8; 8 * 22], i: usize) -> [uint8x16_t; 2] {
        with_fifth_bits(nibbles(load(w, 22 * i + 6)), word(w, 22 * i + 2))
    }

    #[inline(always)]
    fn scales(w: &[u8; 8 * 22]) -> [float32x4_t; 4] {
        f16s::<22>(w, 0)
    }
}

pub(super) struct Q5_1;

impl Weights<{ 8 * 24 }> for Q5_1 {
    const MINS: bool = true;
    const MAX: i32 = 31;

    #[inline(always)]
    fn integers(w: &[u8; 8 * 24], i: usize) -> [uint8x16_t; 2] {
        with_fifth_bits(nibbles(load(w, 24 * i + 8)), word(w, 24 * i + 4))
    }

    #[inline(always)]
    fn scales(w: &[u8; 8 * 24]) -> [float32x4_t; 4] {
        f16s::<24>(w, 0)
    }

    #[inline(always)]
    fn mins(w: &[u8; 8 * 24]) -> [float32x4_t; 4] {
        f16s::<24>(w, 2)
    }
}

pub(super) struct Q8_0;

impl Weights<{ 8 * 34 }> for Q8_0 {
    const MAX: i32 = 128;

    #[inline(always)]
    fn integers(w: &[u8; 8 * 34], i: usize) -> [uint8x16_t; 2] {
        [load(w, 34 * i + 2), load(w, 34 * i + 18)]
    }

    #[inline(always)]
    fn scales(w: &[u8; 8 * 34]) -> [float32x4_t; 4] {
        f16s::<34>(w, 0)
    }
}

pub(super) struct Iq4Nl;

impl Weights<{ 8 * 18 }> for Iq4Nl {
    const MAX: i32 = 127;

    #[inline(always)]
    fn integers(w: &[u8; 8 * 18], i: usize) -> [uint8x16_t; 2] {
        // SAFETY: sixteen levels.
        let levels = unsafe { vld1q_u8(LEVELS.as_ptr().cast()) };
        nibbles(load(w, 18 * i + 2)).map(|q| vqtbl1q_u8(levels, q))
    }

    #[inline(always)]
    fn scales(w: &[u8; 8 * 18]) -> [float32x4_t; 4] {
        f16s::<18>(w, 0)
    }
}

pub(super) struct Q4K;

impl Weights<144> for Q4K {
    const MINS: bool = true;
    const MAX: i32 = 15;

    #[inline(always)]
    fn integers(w: &[u8; 144], i: usize) -> [uint8x16_t; 2] {
        four_bits(w, 16, i)
    }

    #[inline(always)]
    fn scales(w: &[u8; 144]) -> [float32x4_t; 4] {
        scaled_bytes(get_f16(w, 0), q4_k::unpack_scales(&w[4..16]).0)
    }

    #[inline(always)]
    fn mins(w: &[u8; 144]) -> [float32x4_t; 4] {
        scaled_bytes(-get_f16(w, 2), q4_k::unpack_scales(&w[4..16]).1)
    }
}

pub(super) struct Q5K;

impl Weights<176> for Q5K {
    const MINS: bool = true;
    const MAX: i32 = 31;

    #[inline(always)]
    fn integers(w: &[u8; 176], i: usize) -> [uint8x16_t; 2] {
        let low = four_bits(w, 48, i);
        let fifth = |at| bits(load(w, at), 4 - i as i8, 16);
        [vorrq_u8(low[0], fifth(16)), vorrq_u8(low[1], fifth(32))]
    }

    #[inline(always)]
    fn scales(w: &[u8; 176]) -> [float32x4_t; 4] {
        scaled_bytes(get_f16(w, 0), q4_k::unpack_scales(&w[4..16]).0)
    }

    #[inline(always)]
    fn mins(w: &[u8; 176]) -> [float32x4_t; 4] {
        scaled_bytes(-get_f16(w, 2), q4_k::unpack_scales(&w[4..16]).1)
    }
}

pub(super) struct Q6K;

impl Weights<210> for Q6K {
    const GROUP: usize = 16;
    const ZERO: i8 = 32;
    const MAX: i32 = 63;

    #[inline(always)]
    fn integers(w: &[u8; 210], i: usize) -> [uint8x16_t; 2] {
        // Parts 0 and 2 of a half share 32 bytes, parts 1 and 3 the next.
        let (half, part) = (i / 4, i % 4);
        [0, 16].map(|at| {
            let low = bits(load(w, 64 * half + 32 * (part % 2) + at), -4 * (part / 2) as i8, 15);
            vorrq_u8(low, bits(load(w, 128 + 32 * half + at), 4 - 2 * part as i8, 0x30))
        })
    }

    #[inline(always)]
    fn scales(w: &[u8; 210]) -> [float32x4_t; 4] {
        scaled(get_f16(w, 208), vreinterpretq_s8_u8(load(w, 192)))
    }
}

pub(super) struct Q3K;

impl Weights<110> for Q3K {
    const GROUP: usize = 16;
    const ZERO: i8 = 4;
    const MAX: i32 = 7;

    #[inline(always)]
    fn integers(w: &[u8; 110], i: usize) -> [uint8x16_t; 2] {
        let low = two_bits(w, 32, i);
        let third = |at| bits(load(w, at), 2 - i as i8, 4);
        [vorrq_u8(low[0], third(0)), vorrq_u8(low[1], third(16))]
    }

    #[inline(always)]
    fn scales(w: &[u8; 110]) -> [float32x4_t; 4] {
        let scales = q3_k::unpack_scales(&w[96..108]);
        // SAFETY: sixteen scales.
        scaled(get_f16(w, 108), unsafe { vld1q_s8(scales.as_ptr()) })
    }
}

pub(super) struct Q2K;

impl Weights<84> for Q2K {
    const GROUP: usize = 16;
    const MINS: bool = true;
    const MAX: i32 = 3;

    #[inline(always)]
    fn integers(w: &[u8; 84], i: usize) -> [uint8x16_t; 2] {
        two_bits(w, 16, i)
    }

    #[inline(always)]
    fn scales(w: &[u8; 84]) -> [float32x4_t; 4] {
        scaled(get_f16(w, 80), vreinterpretq_s8_u8(nibbles(load(w, 0))[0]))
    }

    #[inline(always)]
    fn mins(w: &[u8; 84]) -> [float32x4_t; 4] {
        scaled(-get_f16(w, 82), vreinterpretq_s8_u8(nibbles(load(w, 0))[1]))
    }
}

#[inline(always)]
pub(super) fn zero() -> float32x4_t {
    vdupq_n_f32(0.0)
}

#[inline(always)]
fn eight([a, b]: [float32x4_t; 2]) -> [float32x4_t; 4] {
    [a, b, zero(), zero()]
}

#[inline(always)]
fn load(w: &[u8], at: usize) -> uint8x16_t {
    let w = &w[at..at + 16];
    // SAFETY: a load of 16 bytes.
    unsafe { vld1q_u8(w.as_ptr()) }
}

#[inline(always)]
fn word(w: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([w[at], w[at + 1], w[at + 2], w[at + 3]])
}

/// The low and the high halves of bytes.
#[inline(always)]
fn nibbles(bytes: uint8x16_t) -> [uint8x16_t; 2] {
    [vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8::<4>(bytes)]
}

/// Every byte moved to the left, by a negative count to the right, and masked.
#[inline(always)]
fn bits(bytes: uint8x16_t, left: i8, mask: u8) -> uint8x16_t {
    vandq_u8(vshlq_u8(bytes, vdupq_n_s8(left)), vdupq_n_u8(mask))
}

/// The `i`th 32 of a block's 4-bit integers at `at`.
#[inline(always)]
fn four_bits(w: &[u8], at: usize, i: usize) -> [uint8x16_t; 2] {
    let at = at + 32 * (i / 2);
    [at, at + 16].map(|at| nibbles(load(w, at))[i % 2])
}

/// The `i`th 32 of a block's 2-bit integers at `at`.
#[inline(always)]
fn two_bits(w: &[u8], at: usize, i: usize) -> [uint8x16_t; 2] {
    let at = at + 32 * (i / 4);
    [at, at + 16].map(|at| bits(load(w, at), -2 * (i % 4) as i8, 3))
}

/// Nibbles with the 32 bits of a word, one each, above them.
#[inline(always)]
fn with_fifth_bits(q: [uint8x16_t; 2], word: u32) -> [uint8x16_t; 2] {
    let bytes = vreinterpretq_u8_u32(vdupq_n_u32(word));
    let each = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    let fifth = |first: u8| {
        let bytes = vqtbl1q_u8(bytes, vcombine_u8(vdup_n_u8(first), vdup_n_u8(first + 1)));
        vandq_u8(vtstq_u8(bytes, each), vdupq_n_u8(16))
    };
    [vorrq_u8(q[0], fifth(0)), vorrq_u8(q[1], fifth(2))]
}

/// The f16s at `at` of eight blocks of `SIZE` bytes.
#[inline(always)]
fn f16s<const SIZE: usize>(w: &[u8], at: usize) -> [float32x4_t; 4] {
    let four = |first: usize| {
        let half = |i: usize| u16::from_le_bytes([w[SIZE * i + at], w[SIZE * i + at + 1]]);
        let v = vdup_n_u16(half(first));
        let v = vset_lane_u16::<1>(half(first + 1), v);
        let v = vset_lane_u16::<2>(half(first + 2), v);
        vcvt_f32_f16(vreinterpret_f16_u16(vset_lane_u16::<3>(half(first + 3), v)))
    };
    eight([four(0), four(4)])
}

/// `d` times each of eight unsigned bytes.
#[inline(always)]
fn scaled_bytes(d: f32, scales: [u8; 8]) -> [float32x4_t; 4] {
    let words = vmovl_u8(vcreate_u8(u64::from_le_bytes(scales)));
    let times = |v| vmulq_n_f32(vcvtq_f32_u32(v), d);
    eight([times(vmovl_u16(vget_low_u16(words))), times(vmovl_high_u16(words))])
}

/// `d` times each of sixteen signed bytes.
#[inline(always)]
fn scaled(d: f32, scales: int8x16_t) -> [float32x4_t; 4] {
    let (low, high) = (vmovl_s8(vget_low_s8(scales)), vmovl_high_s8(scales));
    let times = |v| vmulq_n_f32(vcvtq_f32_s32(v), d);
    [
        times(vmovl_s16(vget_low_s16(low))),
        times(vmovl_high_s16(low)),
        times(vmovl_s16(vget_low_s16(high))),
        times(vmovl_high_s16(high)),
    ]
}

/// The integers of the `i`th 32 elements.
#[inline(always)]
pub(super) fn signed<W: Weights<BYTES>, const BYTES: usize>(w: &[u8; BYTES], i: usize) -> [int8x16_t; 2] {
    W::integers(w, i).map(|q| {
        let q = vreinterpretq_s8_u8(q);
        if W::ZERO == 0 { q } else { vsubq_s8(q, vdupq_n_s8(W::ZERO)) }
    })
}
