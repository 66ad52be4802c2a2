//! Q6_K: 256 elements in 16 groups, `d · s · (q − 32)` with 6-bit `q`, signed 8-bit `s`.
//!
//! Bytes: 128 × the low four bits; 64 × the high two bits; 16 × s; d f16. Each half of the block (128
//! elements) has 64 and 32 of them: of the first, byte i holds element i in the low and i + 64 in the high
//! nibble; the second lie as Q2_K's.

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::q2_k::{pack_2bit, unpack_2bit};
use super::search::{NO_WEIGHTS, Symmetric, SymmetricFit, integer, steps, tame};

pub(super) static FORMAT: Format = format::<Q6_K, 256, 210>("Q6_K");

const SEARCH: Symmetric = Symmetric { q: (-32.0, 31.0), scale: (-128.0, 127.0), trials: steps(-33.0, 0.14) };

#[allow(non_camel_case_types)]
pub(crate) struct Q6_K;

impl Block<256, 210> for Q6_K {
    const GROUP: usize = 16;
    const HAS_MIN: bool = false;

    fn unpack(block: &[u8; 210], out: &mut Unpacked<256>) {
        let d = get_f16(block, 208);
        for (scale, &s) in out.scale.iter_mut().zip(&block[192..208]) {
            *scale = d * f32::from(s as i8);
        }
        unpack_2bit(&block[128..192], &mut out.q);
        for (q, low) in out.q.chunks_exact_mut(128).zip(block[..128].chunks_exact(64)) {
            for (i, &b) in low.iter().enumerate() {
                q[i] = (q[i] << 4 | (b & 15) as i8) - 32;
                q[i + 64] = (q[i + 64] << 4 | (b >> 4) as i8) - 32;
            }
        }
    }

    #[inline(always)]
    fn encode(x: &[f32; 256], block: &mut [u8; 210]) {
        put(&SEARCH.fit::<16, 16, false>(&tame(x), &NO_WEIGHTS), block);
    }

    fn encode_weighted(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 210]) {
        put(&SEARCH.fit::<16, 16, true>(&tame(x), w), block);
    }

    fn nearest(v: f32) -> i8 {
        integer(v, -32.0, 31.0)
    }

    fn put_q(q: &[i8; 256], block: &mut [u8; 210]) {
        let q = q.map(|q| (q + 32) as u8);
        for (q, low) in q.chunks_exact(128).zip(block[..128].chunks_exact_mut(64)) {
            for (i, b) in low.iter_mut().enumerate() {
                *b = q[i] & 15 | q[i + 64] << 4;
            }
        }
        pack_2bit(&q.map(|q| q >> 4), &mut block[128..192]);
    }
}

/// Stores a block.
fn put(fit: &SymmetricFit<16>, block: &mut [u8; 210]) {
    block[192..208].copy_from_slice(&fit.scales.map(|s| s as u8));
    put_f16(block, 208, fit.d);
    Q6_K::put_q(&fit.q, block);
}
