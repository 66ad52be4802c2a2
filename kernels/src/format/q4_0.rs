//! Q4_0: 32 elements `d · (q − 8)` with 4-bit `q`.
//!
//! Bytes: d f16; 16 × (element i in the low, i + 16 in the high nibble).

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::q4_0_grid;
use super::search::{Symmetric, integer, invert, largest, steps, tame, truncate};

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

    /// As ggml's reference: the value of largest magnitude becomes −8. A block that is on a grid already stays on it.
    #[inline(always)]
    fn encode(x: &[f32; 32], block: &mut [u8; 18]) {
        let d = q4_0_grid::scale(x).unwrap_or(largest(x) / -8.0);
        let id = if d == 0.0 { 0.0 } else { 1.0 / d };
        put_f16(block, 0, d);
        let q = |v: f32| nibble(v, id);
        for (i, b) in block[2..].iter_mut().enumerate() {
            *b = q(x[i]) | q(x[i + 16]) << 4;
        }
    }

    /// A block that is on a grid already stays on it.
    fn encode_weighted(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; 18]) {
        match q4_0_grid::scale(x) {
            Some(_) => Self::encode(x, block),
            None => put_symmetric::<Self, 18>(&SEARCH, x, w, block),
        }
    }

    fn nearest(v: f32) -> i8 {
        integer(v, -8.0, 7.0)
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
    put_f16(block, 0, search.free(&x, w));
    let id = invert(get_f16(block, 0));
    B::put_q(&x.map(|v| B::nearest(v * id)), block);
}

/// 4-bit integers, 16 bytes a block of 32: element i in the low, i + 16 in the high nibble.
pub(super) fn pack_nibbles(q: &[u8; 32], bytes: &mut [u8]) {
    for (i, b) in bytes.iter_mut().enumerate() {
        *b = q[i] & 15 | q[i + 16] << 4;
    }
}

/// The 4-bit number of `v` for a scale whose reciprocal is `id`.
#[inline(always)]
pub(super) fn nibble(v: f32, id: f32) -> u8 {
    truncate(v * id + 8.5, 15.0)
}
