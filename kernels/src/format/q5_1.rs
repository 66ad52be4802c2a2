//! Q5_1: 32 elements `d · q + m` with 5-bit `q`.
//!
//! Bytes: d f16; m f16; then as Q5_0's.

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::q4_1::put_affine;
use super::q5_0::{pack_5bit, unpack_5bit};
use super::search::{Affine, integer, map, range, steps, truncate};

pub(super) static FORMAT: Format = format::<Q5_1, 32, 24>("Q5_1");

const SEARCH: Affine = Affine { q: 31.0, scale: 1.0, min: f32::NEG_INFINITY, trials: steps(29.6, 0.15) };

#[allow(non_camel_case_types)]
pub(crate) struct Q5_1;

impl Block<32, 24> for Q5_1 {
    const GROUP: usize = 32;
    const HAS_MIN: bool = true;

    fn unpack(block: &[u8; 24], out: &mut Unpacked<32>) {
        out.scale[0] = get_f16(block, 0);
        out.min[0] = -get_f16(block, 2);
        unpack_5bit(&block[4..], &mut out.q);
    }

    /// As ggml's reference: the smallest value becomes 0, the largest 31.
    #[inline(always)]
    fn encode(x: &[f32; 32], block: &mut [u8; 24]) {
        let (min, max) = range(x);
        let d = (max - min) / 31.0;
        let id = if d == 0.0 { 0.0 } else { 1.0 / d };
        put_f16(block, 0, d);
        put_f16(block, 2, min);
        pack_5bit(map(x, |v| truncate((v - min) * id + 0.5, 31.0)), &mut block[4..]);
    }

    fn encode_weighted(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; 24]) {
        put_affine::<Self, 24>(&SEARCH, x, w, block);
    }

    fn nearest(v: f32) -> i8 {
        integer(v, 0.0, 31.0)
    }

    fn put_q(q: &[i8; 32], block: &mut [u8; 24]) {
        pack_5bit(q.map(|q| q as u8), &mut block[4..]);
    }
}
