//! Q4_K: 256 elements in 8 groups, `d · s · q − dmin · m` with 4-bit `q`, 6-bit `s` and `m`.
//!
//! Bytes: d f16; dmin f16; 12 × s and m (see [`unpack_scales`]); 128 × q: each quarter of the block (64
//! elements) has 32 bytes, byte i with element i in the low and i + 32 in the high nibble.

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::search::{Affine, AffineFit, NO_WEIGHTS, integer, steps, tame};

pub(super) static FORMAT: Format = format::<Q4_K, 256, 144>("Q4_K");

const SEARCH: Affine = Affine { q: 15.0, scale: 63.0, min: 0.0, trials: steps(13.8, 0.14) };

#[allow(non_camel_case_types)]
pub(crate) struct Q4_K;

impl Block<256, 144> for Q4_K {
    const GROUP: usize = 32;
    const HAS_MIN: bool = true;

    fn unpack(block: &[u8; 144], out: &mut Unpacked<256>) {
        unpack_affine(block, out);
        unpack_4bit(&block[16..], &mut out.q);
    }

    #[inline(always)]
    fn encode(x: &[f32; 256], block: &mut [u8; 144]) {
        put(&SEARCH.fit::<8, 32, false>(&tame(x), &NO_WEIGHTS), block);
    }

    fn encode_weighted(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 144]) {
        put(&SEARCH.fit::<8, 32, true>(&tame(x), w), block);
    }

    fn nearest(v: f32) -> i8 {
        integer(v, 0.0, 15.0)
    }

    fn put_q(q: &[i8; 256], block: &mut [u8; 144]) {
        pack_4bit(&q.map(|q| q as u8), &mut block[16..]);
    }
}

/// Stores a block.
fn put(fit: &AffineFit<8>, block: &mut [u8; 144]) {
    pack_affine(fit, block);
    Q4_K::put_q(&fit.q, block);
}

/// The scales and minima of a block that starts as Q4_K's and Q5_K's do.
pub(super) fn unpack_affine(block: &[u8], out: &mut Unpacked<256>) {
    let (d, dmin) = (get_f16(block, 0), get_f16(block, 2));
    let (scales, mins) = unpack_scales(&block[4..16]);
    for g in 0..8 {
        out.scale[g] = d * f32::from(scales[g]);
        out.min[g] = dmin * f32::from(mins[g]);
    }
}

/// The reverse of [`unpack_affine`].
pub(super) fn pack_affine(fit: &AffineFit<8>, block: &mut [u8]) {
    put_f16(block, 0, fit.d);
    put_f16(block, 2, fit.dmin);
    pack_scales(&fit.scales, &fit.mins, &mut block[4..16]);
}

/// The group scales and minima, 0..=63, of their 12 bytes: those of groups 0 to 3 in the low six bits of bytes
/// 0 to 3 and 4 to 7; of groups 4 to 7, the low four bits of both in a byte of 8 to 11, the high two bits
/// above those of groups 0 to 3.
pub(crate) fn unpack_scales(bytes: &[u8]) -> ([u8; 8], [u8; 8]) {
    let word = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
    // Four scales or minima at a time, a byte each.
    let (s, m, both) = (word(0), word(4), word(8));
    let (low, high) = (0x0f0f_0f0f, 0x3030_3030);
    let join =
        |first: u32, second: u32| (u64::from(first & (low | high)) | u64::from(second) << 32).to_le_bytes();
    (join(s, both & low | s >> 2 & high), join(m, both >> 4 & low | m >> 2 & high))
}

/// The reverse of [`unpack_scales`].
fn pack_scales(scales: &[u8; 8], mins: &[u8; 8], bytes: &mut [u8]) {
    for i in 0..4 {
        let (s, m) = (scales[i + 4], mins[i + 4]);
        bytes[i] = scales[i] | s >> 4 << 6;
        bytes[i + 4] = mins[i] | m >> 4 << 6;
        bytes[i + 8] = s & 15 | m << 4;
    }
}

/// 4-bit integers, 32 bytes a quarter block.
pub(super) fn unpack_4bit(bytes: &[u8], q: &mut [i8; 256]) {
    for (q, bytes) in q.chunks_exact_mut(64).zip(bytes.chunks_exact(32)) {
        for (i, &b) in bytes.iter().enumerate() {
            q[i] = (b & 15) as i8;
            q[i + 32] = (b >> 4) as i8;
        }
    }
}

/// The reverse of [`unpack_4bit`], of the low four bits.
pub(super) fn pack_4bit(q: &[u8; 256], bytes: &mut [u8]) {
    for (q, bytes) in q.chunks_exact(64).zip(bytes.chunks_exact_mut(32)) {
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = q[i] & 15 | q[i + 32] << 4;
        }
    }
}
