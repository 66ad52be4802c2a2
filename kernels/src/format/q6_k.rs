//! Q6_K: 256 elements in 16 groups, `d · s · (q − 32)` with 6-bit `q`, signed 8-bit `s`.
//!
//! Bytes: 128 × the low four bits; 64 × the high two bits; 16 × s; d f16. Each half of the block (128
//! elements) has 64 and 32 of them: of the first, byte i holds element i in the low and i + 64 in the high
//! nibble; the second lie as Q2_K's.

use super::Format;
use super::block::{Block, Unpacked, format, get_f16};
use super::q2_k::unpack_2bit;

pub(super) static FORMAT: Format = format::<Q6_K, 256, 210>("Q6_K");

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

    fn encode(_x: &[f32; 256], _block: &mut [u8; 210]) {
        todo!()
    }
}
