//! Q4_0: 32 elements `d · (q − 8)` with 4-bit `q`.
//!
//! Bytes: d f16; 16 × (element i in the low, i + 16 in the high nibble).

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::search::{Symmetric, invert, largest, nearest, steps, tame};

pub(super) static FORMAT: Format = format::<Q4_0, 32, 18>("Q4_0");

const SEARCH: Symmetric = Symmetric { q: (-8.0, 7.0), scale: (1.0, 1.0), trials: steps(-8.8, 0.12) };

#[allow(non_camel_case_types)]
pub(crate) struct Q4_0;

impl Block<32, 18> for Q4_0 {
    const GROUP: usize = 32;
    const HAS_MIN: bool = false;

    fn unpack(block: &[u8; 18], out: &mut Unpacked<32>) {
        out.scale[0] = get_f16(block, 0);
        for (i, &b) in block[2..].iter().enumerate() {
            out.q[i] = (b & 15) as i8 - 8;
            out.q[i + 16] = (b >> 4) as i8 - 8;
        }
    }

    /// As ggml's reference: the value of largest magnitude becomes −8.
    #[inline(always)]
    fn encode(x: &[f32; 32], block: &mut [u8; 18]) {
        let d = largest(x) / -8.0;
        let id = if d == 0.0 { 0.0 } else { 1.0 / d };
        put_f16(block, 0, d);
        let q = |v: f32| ((v * id + 8.5) as u8).min(15);
        for (i, b) in block[2..].iter_mut().enumerate() {
            *b = q(x[i]) | q(x[i + 16]) << 4;
        }
    }

    fn encode_weighted(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; 18]) {
        put_symmetric::<Self, 18>(&SEARCH, x, w, block);
    }

    fn nearest(v: f32) -> i8 {
        nearest(v, -8.0, 7.0) as i8
    }

    fn put_q(q: &[i8; 32], block: &mut [u8; 18]) {
        pack_nibbles(&q.map(|q| (q + 8) as u8), &mut block[2..]);
    }
}

/// Stores the best scale and, nearest with it, the integers of a block that begins with its only scale.
pub(super) fn put_symmetric<B: Block<32, BYTES>, const BYTES: usize>(
    search: &Symmetric,
    x: &[f32; 32],
    w: &[f32; 32],
    block: &mut [u8; BYTES],
) {
    let x = tame(x);
    put_f16(block, 0, search.free::<32, true>(&x, w));
    let id = invert(get_f16(block, 0));
    B::put_q(&x.map(|v| B::nearest(v * id)), block);
}

/// 4-bit integers, 16 bytes a block of 32: element i in the low, i + 16 in the high nibble.
pub(super) fn pack_nibbles(q: &[u8; 32], bytes: &mut [u8]) {
    for (i, b) in bytes.iter_mut().enumerate() {
        *b = q[i] & 15 | q[i + 16] << 4;
    }
}
