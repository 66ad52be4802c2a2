//! Q5_0: 32 elements `d · (q − 16)` with 5-bit `q`.
//!
//! Bytes: d f16; u32 with the fifth bit of element i in bit i; 16 × (the low four bits of element i in the
//! low, of i + 16 in the high nibble).

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::q4_0::put_symmetric;
use super::search::{Symmetric, integer, largest, map, steps, truncate};

pub(super) static FORMAT: Format = format::<Q5_0, 32, 22>("Q5_0");

const SEARCH: Symmetric = Symmetric { q: (-16.0, 15.0), scale: (1.0, 1.0), trials: steps(-17.0, 0.13) };

#[allow(non_camel_case_types)]
pub(crate) struct Q5_0;

impl Block<32, 22> for Q5_0 {
    const GROUP: usize = 32;
    const HAS_MIN: bool = false;

    fn unpack(block: &[u8; 22], out: &mut Unpacked<32>) {
        out.scale[0] = get_f16(block, 0);
        unpack_5bit(&block[2..], &mut out.q);
        for q in &mut out.q {
            *q -= 16;
        }
    }

    /// As ggml's reference: the value of largest magnitude becomes −16.
    #[inline(always)]
    fn encode(x: &[f32; 32], block: &mut [u8; 22]) {
        let d = largest(x) / -16.0;
        let id = if d == 0.0 { 0.0 } else { 1.0 / d };
        put_f16(block, 0, d);
        pack_5bit(map(x, |v| truncate(v * id + 16.5, 31.0)), &mut block[2..]);
    }

    fn encode_weighted(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; 22]) {
        put_symmetric::<Self, 22>(&SEARCH, x, w, block);
    }

    fn nearest(v: f32) -> i8 {
        integer(v, -16.0, 15.0)
    }

    fn put_q(q: &[i8; 32], block: &mut [u8; 22]) {
        pack_5bit(q.map(|q| (q + 16) as u8), &mut block[2..]);
    }
}

/// The 5-bit integers of 20 bytes: 4 bytes of fifth bits, 16 bytes of nibbles.
pub(super) fn unpack_5bit(bytes: &[u8], q: &mut [i8; 32]) {
    for (i, &b) in bytes[4..20].iter().enumerate() {
        q[i] = (b & 15) as i8;
        q[i + 16] = (b >> 4) as i8;
    }
    for (q, &high) in q.as_chunks_mut::<8>().0.iter_mut().zip(&bytes[..4]) {
        for (i, q) in q.iter_mut().enumerate() {
            *q |= if high & 1 << i != 0 { 16 } else { 0 };
        }
    }
}

/// The reverse of [`unpack_5bit`].
pub(super) fn pack_5bit(q: [u8; 32], bytes: &mut [u8]) {
    let high = q.iter().enumerate().fold(0u32, |high, (i, &q)| high | u32::from(q >> 4) << i);
    bytes[..4].copy_from_slice(&high.to_le_bytes());
    for (i, b) in bytes[4..20].iter_mut().enumerate() {
        *b = q[i] & 15 | q[i + 16] << 4;
    }
}
