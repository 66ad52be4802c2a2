//! Q4_1: 32 elements `d · q + m` with 4-bit `q`.
//!
//! Bytes: d f16; m f16; 16 × (element i in the low, i + 16 in the high nibble).

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::search::range;

pub(super) static FORMAT: Format = format::<Q4_1, 32, 20>("Q4_1");

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
        let q = |v: f32| (((v - min) * id + 0.5) as u8).min(15);
        for (i, b) in block[4..].iter_mut().enumerate() {
            *b = q(x[i]) | q(x[i + 16]) << 4;
        }
    }
}
