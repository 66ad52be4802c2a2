//! Q5_K: 256 elements in 8 groups, `d · s · q − dmin · m` with 5-bit `q`, 6-bit `s` and `m`.
//!
//! Bytes: d f16; dmin f16; 12 × s and m, as Q4_K's; 32 × the fifth bits (bit j of byte i: element 32 j + i);
//! 128 × the low four bits, as Q4_K's.

use super::Format;
use super::block::{Block, Unpacked, format};
use super::q4_k::{pack_4bit, pack_affine, unpack_4bit, unpack_affine};
use super::search::{Affine, AffineFit, NO_WEIGHTS, integer, steps, tame};

pub(super) static FORMAT: Format = format::<Q5_K, 256, 176>("Q5_K");

const SEARCH: Affine = Affine { q: 31.0, scale: 63.0, min: 0.0, trials: steps(29.6, 0.15) };

#[allow(non_camel_case_types)]
pub(crate) struct Q5_K;

impl Block<256, 176> for Q5_K {
    const GROUP: usize = 32;
    const HAS_MIN: bool = true;

    fn unpack(block: &[u8; 176], out: &mut Unpacked<256>) {
        unpack_affine(block, out);
        unpack_4bit(&block[48..], &mut out.q);
        for (j, q) in out.q.chunks_exact_mut(32).enumerate() {
            for (q, &high) in q.iter_mut().zip(&block[16..48]) {
                *q |= ((high >> j & 1) << 4) as i8;
            }
        }
    }

    #[inline(always)]
    fn encode(x: &[f32; 256], block: &mut [u8; 176]) {
        put(&SEARCH.fit::<8, 32, false>(&tame(x), &NO_WEIGHTS), block);
    }

    fn encode_weighted(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 176]) {
        put(&SEARCH.fit::<8, 32, true>(&tame(x), w), block);
    }

    fn nearest(v: f32) -> i8 {
        integer(v, 0.0, 31.0)
    }

    fn put_q(q: &[i8; 256], block: &mut [u8; 176]) {
        let q = q.map(|q| q as u8);
        for (i, high) in block[16..48].iter_mut().enumerate() {
            *high = (0..8).fold(0, |bits, j| bits | q[32 * j + i] >> 4 << j);
        }
        pack_4bit(&q, &mut block[48..]);
    }
}

/// Stores a block.
fn put(fit: &AffineFit<8>, block: &mut [u8; 176]) {
    pack_affine(fit, block);
    Q5_K::put_q(&fit.q, block);
}
