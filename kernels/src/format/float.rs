//! F32, F16 and BF16: one element a block.

use half::{bf16, f16};

use super::{Format, VecDot};

/// The table row of F32.
pub(super) static F32: Format = format::<4>(
    "F32",
    |w, out| each(w, out, f32::from_le_bytes),
    |x, out| put_each(x, out, f32::to_le_bytes),
    |w, x| dot(w, x, f32::from_le_bytes),
);

/// The table row of F16. Encoding rounds to nearest even; beyond ±65,504 lies infinity.
pub(super) static F16: Format = format::<2>(
    "F16",
    |w, out| each(w, out, f16_to_f32),
    |x, out| put_each(x, out, |v| f16::from_f32_const(v).to_le_bytes()),
    |w, x| dot(w, x, f16_to_f32),
);

/// The table row of BF16. Encoding rounds to nearest even and keeps NaN quiet.
pub(super) static BF16: Format = format::<2>(
    "BF16",
    |w, out| each(w, out, bf16_to_f32),
    |x, out| put_each(x, out, |v| bf16::from_f32(v).to_le_bytes()),
    |w, x| dot(w, x, bf16_to_f32),
);

const fn format<const BYTES: usize>(
    name: &'static str,
    decode: fn(&[u8], &mut [f32]),
    encode: fn(&[f32], &mut [u8]),
    vec_dot: fn(&[u8], &[f32]) -> f32,
) -> Format {
    let vec_dot = VecDot::Float(vec_dot);
    Format { name, block_len: 1, block_bytes: BYTES, decode, encode, quantizer: None, vec_dot }
}

/// One little-endian F16. Without a branch, so that loops over it vectorize.
pub(crate) fn f16_to_f32(b: [u8; 2]) -> f32 {
    let h = u32::from(u16::from_le_bytes(b));
    // With the exponent in place the value is short of 2¹¹², subnormals included; infinity and NaN of 2¹²⁸.
    let magnitude = f32::from_bits((h & 0x7fff) << 13) * f32::from_bits((112 + 127) << 23);
    let special = if h & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(magnitude.to_bits() | special | (h & 0x8000) << 16)
}

/// One little-endian BF16.
pub(crate) fn bf16_to_f32(b: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)
}

fn each<const N: usize>(w: &[u8], out: &mut [f32], get: impl Fn([u8; N]) -> f32) {
    for (out, &w) in out.iter_mut().zip(w.as_chunks::<N>().0) {
        *out = get(w);
    }
}

fn put_each<const N: usize>(x: &[f32], out: &mut [u8], put: impl Fn(f32) -> [u8; N]) {
    for (out, &x) in out.as_chunks_mut::<N>().0.iter_mut().zip(x) {
        *out = put(x);
    }
}

/// Σ w·x in 16 partial sums, added up pairwise: the rounding error grows with the length of one of them.
fn dot<const N: usize>(w: &[u8], x: &[f32], get: impl Fn([u8; N]) -> f32) -> f32 {
    const LANES: usize = 16;
    let w = w.as_chunks::<N>().0;
    assert_eq!(w.len(), x.len());
    let mut sums = [0.0f32; LANES];
    for (w, x) in w.chunks(LANES).zip(x.chunks(LANES)) {
        for ((sum, &w), &x) in sums.iter_mut().zip(w).zip(x) {
            *sum += get(w) * x;
        }
    }
    let mut n = LANES;
    while n > 1 {
        n /= 2;
        for i in 0..n {
            sums[i] += sums[i + n];
        }
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_decodes_as_half_does() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (f16_to_f32(bits.to_le_bytes()), f16::from_bits(bits).to_f32_const());
            assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{bits:#x}");
        }
    }
}
