//! IQ4_NL: 32 elements `d · LEVELS[q]` with 4-bit `q`: sixteen levels, denser around zero.
//!
//! Bytes as Q4_0's.

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::search::{Products, SMALLEST, TRIALS, invert, largest, tame};

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

    fn encode(x: &[f32; 32], block: &mut [u8; 18]) {
        let x = tame(x);
        let d = best_scale(&x);
        put_f16(block, 0, d);
        let id = invert(get_f16(block, 0));
        let q = x.map(|v| code(v * id));
        for (i, b) in block[2..].iter_mut().enumerate() {
            *b = q[i] | q[i + 16] << 4;
        }
    }
}

/// What the trials give to the value of largest magnitude: near either end of the levels.
const ENDS: [f32; TRIALS] = [
    -140.0, -134.0, -129.0, -125.0, -121.0, -117.0, -113.0, -108.0, 97.0, 102.0, 106.0, 110.0, 114.0, 118.0,
    123.0, 129.0,
];

/// The scale of least squared error.
fn best_scale(x: &[f32; 32]) -> f32 {
    let max = largest(x);
    if max.abs() < SMALLEST {
        return 0.0;
    }
    let sums = products(x, &ENDS.map(|end| end / max));
    products(x, &sums.inverse_scales()).best_scale()
}

/// The sums for levels from the reciprocals of trial scales.
fn products(x: &[f32; 32], id: &[f32; TRIALS]) -> Products<TRIALS> {
    let mut sums = Products { xq: [0.0; TRIALS], qq: [0.0; TRIALS] };
    for &v in x {
        for i in 0..TRIALS {
            let q = f32::from(LEVELS[usize::from(code(v * id[i]))]);
            sums.xq[i] += v * q;
            sums.qq[i] += q * q;
        }
    }
    sums
}

/// The code of the level nearest to `v`.
fn code(v: f32) -> u8 {
    // Half units from -128, rounded down: within such a cell one level is the nearest.
    NEAREST[(((v + 128.0) * 2.0) as i32).clamp(0, 511) as usize]
}

/// The code nearest to the values from −128 + i/2 to −128 + (i + 1)/2. Midpoints of levels are multiples of ½.
static NEAREST: [u8; 512] = {
    let mut table = [0; 512];
    let (mut i, mut code) = (0, 0);
    while i < table.len() {
        // In half units: twice the midpoint of this level and the next.
        while code < 15 && i as i32 - 256 >= LEVELS[code] as i32 + LEVELS[code + 1] as i32 {
            code += 1;
        }
        table[i] = code as u8;
        i += 1;
    }
    table
};
