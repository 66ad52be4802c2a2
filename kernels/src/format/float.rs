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
    Format { name, block_len: 1, block_bytes: BYTES, decode, encode, vec_dot: VecDot::Float(vec_dot) }
}

/// One little-endian F16.
pub(crate) fn f16_to_f32(b: [u8; 2]) -> f32 {
    f16::from_le_bytes(b).to_f32_const()
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
