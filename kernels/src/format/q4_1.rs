//! Q4_1: 32 elements `d · q + m` with 4-bit `q`.
//!
//! Bytes: d f16; m f16; 16 × (element i in the low, i + 16 in the high nibble).

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::q4_0::pack_nibbles;
use super::search::{Affine, Totals, integer, invert, range, steps, tame, truncate};

pub(super) static FORMAT: Format = format::<Q4_1, 32, 20>("Q4_1");

const SEARCH: Affine = Affine { q: 15.0, scale: 1.0, min: f32::NEG_INFINITY, trials: steps(13.8, 0.14) };

#[allow(non_camel_case_types)]
pub(crate) struct Q4_1;

impl Block<32, 20> for Q4_1 {
    const GROUP: usize = 32;
    const HAS_MIN: bool = true;

    fn unpack(block: &[u8; 20], out: &mut Unpacked<32>) {
        out.scale[0] = get_f16(block, 0);
        out.min[0] = -get_f16(block, 2);
        for (i, &b) in block[4..].iter().enumerate() {
            out.q[i] = (b & 15) as i8;
            out.q[i + 16] = (b >> 4) as i8;
        }
    }

    /// As ggml's reference: the smallest value becomes 0, the largest 15.
    #[inline(always)]
    fn encode(x: &[f32; 32], block: &mut [u8; 20]) {
        let (min, max) = range(x);
        let d = (max - min) / 15.0;
        let id = if d == 0.0 { 0.0 } else { 1.0 / d };
        put_f16(block, 0, d);
        put_f16(block, 2, min);
        let q = |v: f32| truncate((v - min) * id + 0.5, 15.0);
        for (i, b) in block[4..].iter_mut().enumerate() {
            *b = q(x[i]) | q(x[i + 16]) << 4;
        }
    }

    fn encode_weighted(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; 20]) {
        put_affine::<Self, 20>(&SEARCH, x, w, block);
    }

    fn nearest(v: f32) -> i8 {
        integer(v, 0.0, 15.0)
    }

    fn put_q(q: &[i8; 32], block: &mut [u8; 20]) {
        pack_nibbles(&q.map(|q| q as u8), &mut block[4..]);
    }
}

/// Stores the best scale and minimum and, nearest with them, the integers of a block that begins with these two.
pub(super) fn put_affine<B: Block<32, BYTES>, const BYTES: usize>(
    search: &Affine,
    x: &[f32; 32],
    w: &[f32; 32],
    block: &mut [u8; BYTES],
) {
    let x = tame(x);
    let (d, min) = search.free(&x, w, Totals::of::<true>(&x, w));
    put_f16(block, 0, d);
    put_f16(block, 2, -min);
    let (id, m) = (invert(get_f16(block, 0)), get_f16(block, 2));
    B::put_q(&x.map(|v| B::nearest((v - m) * id)), block);
}
