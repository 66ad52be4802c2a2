//! IQ4_NL: 32 elements `d · LEVELS[q]` with 4-bit `q`: sixteen levels, denser around zero.
//!
//! Bytes as Q4_0's.

use super::Format;
use super::block::{Block, Unpacked, format, get_f16};

pub(super) static FORMAT: Format = format::<IQ4_NL, 32, 18>("IQ4_NL");

/// What each 4-bit code stands for, in units of the scale.
pub(crate) const LEVELS: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

#[allow(non_camel_case_types)]
pub(crate) struct IQ4_NL;

impl Block<32, 18> for IQ4_NL {
    const GROUP: usize = 32;
    const HAS_MIN: bool = false;

    fn unpack(block: &[u8; 18], out: &mut Unpacked<32>) {
        out.scale[0] = get_f16(block, 0);
        for (i, &b) in block[2..].iter().enumerate() {
            out.q[i] = LEVELS[usize::from(b & 15)];
            out.q[i + 16] = LEVELS[usize::from(b >> 4)];
        }
    }

    fn encode(_x: &[f32; 32], _block: &mut [u8; 18]) {
        todo!()
    }
}
