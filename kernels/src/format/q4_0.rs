//! Q4_0: 32 elements `d · (q − 8)` with 4-bit `q`.
//!
//! Bytes: d f16; 16 × (element i in the low, i + 16 in the high nibble).

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::q4_0_grid;
use super::search::largest;

pub(super) static FORMAT: Format = format::<Q4_0, 32, 18>("Q4_0");

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
}

/// The 4-bit number of `v` for a scale whose reciprocal is `id`.
#[inline(always)]
pub(super) fn nibble(v: f32, id: f32) -> u8 {
    ((v * id + 8.5) as u8).min(15)
}
