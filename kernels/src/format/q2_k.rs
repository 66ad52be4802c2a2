//! Q2_K: 256 elements in 16 groups, `d · s · q − dmin · m` with 2-bit `q`, 4-bit `s` and `m`.
//!
//! Bytes: 16 × (s in the low, m in the high nibble); 64 × q; d f16; dmin f16. Each half of the block (128
//! elements) has 32 bytes of `q`: byte i holds elements i, i + 32, i + 64, i + 96, lowest bits first.

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::search::{Affine, AffineFit, NO_WEIGHTS, integer, steps, tame};

pub(super) static FORMAT: Format = format::<Q2_K, 256, 84>("Q2_K");

const SEARCH: Affine = Affine { q: 3.0, scale: 15.0, min: 0.0, trials: steps(2.2, 0.13) };

#[allow(non_camel_case_types)]
pub(crate) struct Q2_K;

impl Block<256, 84> for Q2_K {
    const GROUP: usize = 16;
    const HAS_MIN: bool = true;

    fn unpack(block: &[u8; 84], out: &mut Unpacked<256>) {
        let (d, dmin) = (get_f16(block, 80), get_f16(block, 82));
        for (g, &s) in block[..16].iter().enumerate() {
            out.scale[g] = d * f32::from(s & 15);
            out.min[g] = dmin * f32::from(s >> 4);
        }
        unpack_2bit(&block[16..80], &mut out.q);
    }

    #[inline(always)]
    fn encode(x: &[f32; 256], block: &mut [u8; 84]) {
        put(&SEARCH.fit::<16, 16, false>(&tame(x), &NO_WEIGHTS), block);
    }

    fn encode_weighted(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 84]) {
        put(&SEARCH.fit::<16, 16, true>(&tame(x), w), block);
    }

    fn nearest(v: f32) -> i8 {
        integer(v, 0.0, 3.0)
    }

    fn put_q(q: &[i8; 256], block: &mut [u8; 84]) {
        pack_2bit(&q.map(|q| q as u8), &mut block[16..80]);
    }
}

/// Stores a block.
fn put(fit: &AffineFit<16>, block: &mut [u8; 84]) {
    for ((b, s), m) in block.iter_mut().zip(fit.scales).zip(fit.mins) {
        *b = s | m << 4;
    }
    put_f16(block, 80, fit.d);
    put_f16(block, 82, fit.dmin);
    Q2_K::put_q(&fit.q, block);
}

/// 2-bit integers, 32 bytes a half block.
pub(super) fn unpack_2bit(bytes: &[u8], q: &mut [i8; 256]) {
    for (q, bytes) in q.chunks_exact_mut(128).zip(bytes.chunks_exact(32)) {
        for (part, q) in q.chunks_exact_mut(32).enumerate() {
            for (q, &b) in q.iter_mut().zip(bytes) {
                *q = (b >> (2 * part) & 3) as i8;
            }
        }
    }
}

/// The reverse of [`unpack_2bit`].
pub(super) fn pack_2bit(q: &[u8; 256], bytes: &mut [u8]) {
    for (q, bytes) in q.chunks_exact(128).zip(bytes.chunks_exact_mut(32)) {
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = q[i] | q[i + 32] << 2 | q[i + 64] << 4 | q[i + 96] << 6;
        }
    }
}
