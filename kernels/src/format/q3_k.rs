//! Q3_K: 256 elements in 16 groups, `d · (s − 32) · (q − 4)` with 3-bit `q`, 6-bit `s`.
//!
//! Bytes: 32 × the third bits (bit j of byte i: element 32 j + i); 64 × the low two bits, as Q2_K's; 12 × s (the
//! low four bits of group i's in the low, of group i + 8's in the high nibble of byte i; the high two bits of group
//! i's in byte 8 + i % 4 from bit 2 · (i / 4)); d f16.

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::q2_k::{pack_2bit, unpack_2bit};
use super::search::{NO_WEIGHTS, Symmetric, SymmetricFit, integer, steps, tame};

pub(super) static FORMAT: Format = format::<Q3_K, 256, 110>("Q3_K");

const SEARCH: Symmetric = Symmetric { q: (-4.0, 3.0), scale: (-32.0, 31.0), trials: steps(-5.2, 0.12) };

#[allow(non_camel_case_types)]
pub(crate) struct Q3_K;

impl Block<256, 110> for Q3_K {
    const GROUP: usize = 16;
    const HAS_MIN: bool = false;

    fn unpack(block: &[u8; 110], out: &mut Unpacked<256>) {
        let d = get_f16(block, 108);
        for (scale, s) in out.scale.iter_mut().zip(unpack_scales(&block[96..108])) {
            *scale = d * f32::from(s);
        }
        unpack_2bit(&block[32..96], &mut out.q);
        for (j, q) in out.q.chunks_exact_mut(32).enumerate() {
            for (q, &high) in q.iter_mut().zip(&block[..32]) {
                *q += ((high >> j & 1) << 2) as i8 - 4;
            }
        }
    }

    #[inline(always)]
    fn encode(x: &[f32; 256], block: &mut [u8; 110]) {
        put(&SEARCH.fit::<16, 16, false>(&tame(x), &NO_WEIGHTS), block);
    }

    fn encode_weighted(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 110]) {
        put(&SEARCH.fit::<16, 16, true>(&tame(x), w), block);
    }

    fn nearest(v: f32) -> i8 {
        integer(v, -4.0, 3.0)
    }

    fn put_q(q: &[i8; 256], block: &mut [u8; 110]) {
        let q = q.map(|q| (q + 4) as u8);
        for (i, high) in block[..32].iter_mut().enumerate() {
            *high = (0..8).fold(0, |bits, j| bits | q[32 * j + i] >> 2 << j);
        }
        pack_2bit(&q.map(|q| q & 3), &mut block[32..96]);
    }
}

/// Stores a block.
fn put(fit: &SymmetricFit<16>, block: &mut [u8; 110]) {
    block[96..108].copy_from_slice(&pack_scales(fit.scales));
    put_f16(block, 108, fit.d);
    Q3_K::put_q(&fit.q, block);
}

/// The group scales, −32..=31, of their 12 bytes.
pub(crate) fn unpack_scales(bytes: &[u8]) -> [i8; 16] {
    let word = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
    let (a, b, high) = (word(0), word(4), word(8));
    let mut scales = [0; 16];
    // Four scales at a time, a byte each.
    for (i, low) in [a, b, a >> 4, b >> 4].into_iter().enumerate() {
        let four = (low & 0x0f0f_0f0f) | (high >> (2 * i) & 0x0303_0303) << 4;
        for (scale, s) in scales[4 * i..].iter_mut().zip(four.to_le_bytes()) {
            *scale = s as i8 - 32;
        }
    }
    scales
}

/// The reverse of [`unpack_scales`].
fn pack_scales(scales: [i8; 16]) -> [u8; 12] {
    let mut bytes = [0; 12];
    for (i, s) in scales.into_iter().enumerate() {
        let s = (s + 32) as u8;
        bytes[i % 8] |= (s & 15) << (4 * (i / 8));
        bytes[8 + i % 4] |= (s >> 4) << (2 * (i / 4));
    }
    bytes
}
