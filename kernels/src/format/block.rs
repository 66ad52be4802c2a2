//! What the block types have in common, written once: decoding and the scalar dot product from the
//! integers and scales that each type's [`Block`] lays open.

use super::float::f16_to_f32;
use super::search::tame_weights;
use super::{Format, Quantizer, VecDot};
use crate::q8::{Q8_BLOCK, Q8_SUM, Q8Row};

/// Most groups that a block has: 256 elements in sixteens.
pub(crate) const MAX_GROUPS: usize = 16;

/// A quantized type. A block of `LEN` elements in `BYTES` bytes is groups of `GROUP` elements that share an
/// affine map from small integers: `w = scale · q − min`.
pub(crate) trait Block<const LEN: usize, const BYTES: usize> {
    /// Elements that share a scale: 16 or 32.
    const GROUP: usize;
    /// Whether [`Unpacked::min`] is in use.
    const HAS_MIN: bool;

    /// Lays a block open. Every bit pattern is a valid block.
    fn unpack(block: &[u8; BYTES], out: &mut Unpacked<LEN>);

    /// Quantizes a block. Values that are not finite must not panic.
    fn encode(x: &[f32; LEN], block: &mut [u8; BYTES]);

    /// As [`Block::encode`], for the least sum of squared errors times weights, which are positive and 1 on average.
    fn encode_weighted(x: &[f32; LEN], w: &[f32; LEN], block: &mut [u8; BYTES]);

    /// The integer of an element that is nearest to `v`.
    fn nearest(v: f32) -> i8;

    /// Replaces the integers, which are such as [`Block::unpack`] gives. Scales and minima stay.
    fn put_q(q: &[i8; LEN], block: &mut [u8; BYTES]);
}

/// A block laid open: `LEN` integers and the scale and minimum of each group.
pub(crate) struct Unpacked<const LEN: usize> {
    pub q: [i8; LEN],
    pub scale: [f32; MAX_GROUPS],
    pub min: [f32; MAX_GROUPS],
}

impl<const LEN: usize> Unpacked<LEN> {
    pub fn new() -> Self {
        Unpacked { q: [0; LEN], scale: [0.0; MAX_GROUPS], min: [0.0; MAX_GROUPS] }
    }
}

/// The table row of a block type.
pub(super) const fn format<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>(
    name: &'static str,
) -> Format {
    Format {
        name,
        block_len: LEN,
        block_bytes: BYTES,
        decode: decode::<B, LEN, BYTES>,
        encode: encode::<B, LEN, BYTES>,
        quantizer: Some(Quantizer {
            encode_weighted: encode_weighted::<B, LEN, BYTES>,
            grid: grid::<B, LEN, BYTES>,
            nearest: B::nearest,
            put_integers: put_integers::<B, LEN, BYTES>,
        }),
        vec_dot: VecDot::Q8(vec_dot::<B, LEN, BYTES>),
    }
}

fn decode<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>(data: &[u8], out: &mut [f32]) {
    let mut u = Unpacked::new();
    for (block, out) in data.as_chunks::<BYTES>().0.iter().zip(out.as_chunks_mut::<LEN>().0) {
        B::unpack(block, &mut u);
        for (g, (out, q)) in out.chunks_exact_mut(B::GROUP).zip(u.q.chunks_exact(B::GROUP)).enumerate() {
            for (out, &q) in out.iter_mut().zip(q) {
                *out = u.scale[g] * f32::from(q);
                if B::HAS_MIN {
                    *out -= u.min[g];
                }
            }
        }
    }
}

fn encode<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>(x: &[f32], out: &mut [u8]) {
    let function = compiled::<B, LEN, BYTES>().next().unwrap_or(encode_blocks::<B, LEN, BYTES>);
    // SAFETY: the processor has what the function needs.
    unsafe { function(x, out) }
}

type Encode = unsafe fn(&[f32], &mut [u8]);

/// [`encode_blocks`] compiled for more instructions, with which the compiler's vectors are wider, as far as the processor has
/// them, best first. What is written is the same.
#[inline(always)]
fn compiled<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>() -> impl Iterator<Item = Encode> {
    #[cfg(target_arch = "x86_64")]
    let functions: [(bool, Encode); _] = [
        // Worth its room for Q4_K and Q5_K, which take long and are in most files.
        if LEN == 256 && B::GROUP == 32 {
            let there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
            (there, encode_avx512::<B, LEN, BYTES>)
        } else {
            (false, encode_avx2::<B, LEN, BYTES>)
        },
        (is_x86_feature_detected!("avx2"), encode_avx2::<B, LEN, BYTES>),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let functions: [(bool, Encode); 0] = [];
    functions.into_iter().filter_map(|(there, function)| there.then_some(function))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn encode_avx2<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>(x: &[f32], out: &mut [u8]) {
    encode_blocks::<B, LEN, BYTES>(x, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl")]
fn encode_avx512<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>(x: &[f32], out: &mut [u8]) {
    encode_blocks::<B, LEN, BYTES>(x, out);
}

#[inline(always)]
fn encode_blocks<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>(x: &[f32], out: &mut [u8]) {
    for (x, block) in x.as_chunks::<LEN>().0.iter().zip(out.as_chunks_mut::<BYTES>().0) {
        B::encode(x, block);
    }
}

fn encode_weighted<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>(
    x: &[f32],
    w: &[f32],
    out: &mut [u8],
) {
    let blocks = x.as_chunks::<LEN>().0.iter().zip(w.as_chunks::<LEN>().0);
    for ((x, w), block) in blocks.zip(out.as_chunks_mut::<BYTES>().0) {
        B::encode_weighted(x, &tame_weights(w), block);
    }
}

fn grid<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>(
    data: &[u8],
    scale: &mut [f32],
    min: &mut [f32],
) {
    let mut u = Unpacked::new();
    let out = scale.as_chunks_mut::<LEN>().0.iter_mut().zip(min.as_chunks_mut::<LEN>().0);
    for (block, (scale, min)) in data.as_chunks::<BYTES>().0.iter().zip(out) {
        B::unpack(block, &mut u);
        for (g, (scale, min)) in
            scale.chunks_exact_mut(B::GROUP).zip(min.chunks_exact_mut(B::GROUP)).enumerate()
        {
            scale.fill(u.scale[g]);
            min.fill(if B::HAS_MIN { u.min[g] } else { 0.0 });
        }
    }
}

fn put_integers<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>(q: &[i8], data: &mut [u8]) {
    for (q, block) in q.as_chunks::<LEN>().0.iter().zip(data.as_chunks_mut::<BYTES>().0) {
        B::put_q(q, block);
    }
}

/// The specification of every quantized product: the integer sum of a group is exact, then scaled in f32.
fn vec_dot<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>(w: &[u8], x: Q8Row<'_>) -> f32 {
    let blocks = w.as_chunks::<BYTES>().0;
    assert_eq!(blocks.len() * LEN, x.qs.len());
    let mut u = Unpacked::new();
    let mut total = 0.0;
    for (b, block) in blocks.iter().enumerate() {
        B::unpack(block, &mut u);
        for (g, q) in u.q.chunks_exact(B::GROUP).enumerate() {
            let at = b * LEN + g * B::GROUP;
            let products: i32 =
                q.iter().zip(&x.qs[at..at + B::GROUP]).map(|(&q, &x)| i32::from(q) * i32::from(x)).sum();
            let d = x.d[at / Q8_BLOCK];
            total += u.scale[g] * d * products as f32;
            if B::HAS_MIN {
                let sums = &x.sums[at / Q8_SUM..(at + B::GROUP) / Q8_SUM];
                let sum: i32 = sums.iter().map(|&s| i32::from(s)).sum();
                total -= u.min[g] * d * sum as f32;
            }
        }
    }
    total
}

/// The little-endian f16 at `at`.
pub(crate) fn get_f16(block: &[u8], at: usize) -> f32 {
    f16_to_f32([block[at], block[at + 1]])
}

/// Stores `v` as a little-endian f16 at `at`, rounded to nearest even.
pub(super) fn put_f16(block: &mut [u8], at: usize, v: f32) {
    block[at..at + 2].copy_from_slice(&half::f16::from_f32_const(v).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::q2_k::Q2_K;
    use crate::format::q4_0::Q4_0;
    use crate::format::q4_k::Q4_K;
    use crate::format::q5_k::Q5_K;
    use crate::format::q6_k::Q6_K;

    fn same_everywhere<B: Block<LEN, BYTES>, const LEN: usize, const BYTES: usize>() {
        // Numbers in a fixed order, of different sizes from block to block.
        let number = |i: u32| (i.wrapping_mul(2654435761) >> 8) as f32 / 8388608.0 - 1.0;
        let x: Vec<f32> = (0..64 * LEN as u32).map(|i| number(i) * number(i / 256 + 99)).collect();
        let [mut plain, mut found] = [0, 1].map(|b| vec![b; 64 * BYTES]);
        encode_blocks::<B, LEN, BYTES>(&x, &mut plain);
        for function in compiled::<B, LEN, BYTES>() {
            // SAFETY: the processor has what the function needs.
            unsafe { function(&x, &mut found) };
            assert!(found == plain);
        }
    }

    #[test]
    fn every_processor_writes_the_same() {
        same_everywhere::<Q2_K, 256, 84>();
        same_everywhere::<Q4_K, 256, 144>();
        same_everywhere::<Q5_K, 256, 176>();
        same_everywhere::<Q6_K, 256, 210>();
        same_everywhere::<Q4_0, 32, 18>();
    }
}
