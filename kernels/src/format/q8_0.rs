//! Q8_0: 32 elements `d · q` with signed 8-bit `q`.
//!
//! Bytes: d f16; 32 × q.

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::search::integer;
use crate::q8::quantize_block;

pub(super) static FORMAT: Format = format::<Q8_0, 32, 34>("Q8_0");

#[allow(non_camel_case_types)]
pub(crate) struct Q8_0;

impl Block<32, 34> for Q8_0 {
    const GROUP: usize = 32;
    const HAS_MIN: bool = false;

    fn unpack(block: &[u8; 34], out: &mut Unpacked<32>) {
        out.scale[0] = get_f16(block, 0);
        for (q, &b) in out.q.iter_mut().zip(&block[2..]) {
            *q = b as i8;
        }
    }

    /// As ggml's reference: the largest magnitude becomes 127.
    #[inline(always)]
    fn encode(x: &[f32; 32], block: &mut [u8; 34]) {
        let mut q = [0; 32];
        let d = quantize_block(x, &mut q);
        put_f16(block, 0, d);
        block[2..].copy_from_slice(&q.map(|q| q as u8));
    }

    /// With 8 bits there is next to nothing to gain.
    fn encode_weighted(x: &[f32; 32], _: &[f32; 32], block: &mut [u8; 34]) {
        Self::encode(x, block);
    }

    fn nearest(v: f32) -> i8 {
        integer(v, -127.0, 127.0)
    }

    fn put_q(q: &[i8; 32], block: &mut [u8; 34]) {
        block[2..].copy_from_slice(&q.map(|q| q as u8));
    }
}
