//! IQ4_NL: 32 elements `d · LEVELS[q]` with 4-bit `q`: sixteen levels, denser around zero.
//!
//! Bytes as Q4_0's.

use super::Format;
use super::block::{Block, Unpacked, format, get_f16, put_f16};
use super::q4_0::pack_nibbles;
use super::search::{FITS, Products, SMALLEST, STRETCHES, TRIALS, invert, largest, tame};

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

    #[inline(always)]
    fn encode(x: &[f32; 32], block: &mut [u8; 18]) {
        let x = tame(x);
        let max = largest(&x);
        if max.abs() < SMALLEST {
            return put(0.0, &x, block);
        }
        let sums = products::<false>(&x, &[1.0; 32], &ENDS.map(|end| end / max));
        put(products::<false>(&x, &[1.0; 32], &sums.inverse_scales()).best().1, &x, block);
    }

    fn encode_weighted(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; 18]) {
        let x = tame(x);
        let max = largest(&x);
        let mut best = (0.0, 0.0);
        if max.abs() >= SMALLEST {
            for stretch in STRETCHES {
                let mut fit = products::<true>(&x, w, &ENDS.map(|end| end * stretch / max));
                for _ in 1..FITS {
                    fit = products::<true>(&x, w, &fit.inverse_scales());
                }
                let found = fit.best();
                if found.0 > best.0 {
                    best = found;
                }
            }
        }
        put(best.1, &x, block);
    }

    fn nearest(v: f32) -> i8 {
        LEVELS[usize::from(code(v))]
    }

    fn put_q(q: &[i8; 32], block: &mut [u8; 18]) {
        pack_nibbles(&q.map(|q| code(q.into())), &mut block[2..]);
    }
}

/// What the trials give to the value of largest magnitude: near either end of the levels.
const ENDS: [f32; TRIALS] = [
    -140.0, -134.0, -129.0, -125.0, -121.0, -117.0, -113.0, -108.0, 97.0, 102.0, 106.0, 110.0, 114.0, 118.0,
    123.0, 129.0,
];

/// Stores the scale and the levels nearest with it.
fn put(d: f32, x: &[f32; 32], block: &mut [u8; 18]) {
    put_f16(block, 0, d);
    let id = invert(get_f16(block, 0));
    pack_nibbles(&x.map(|v| code(v * id)), &mut block[2..]);
}

/// The sums for levels from the reciprocals of trial scales.
fn products<const WEIGHTED: bool>(x: &[f32; 32], w: &[f32; 32], id: &[f32; TRIALS]) -> Products<TRIALS> {
    let mut sums = Products { xq: [0.0; TRIALS], qq: [0.0; TRIALS] };
    for (v, w) in x.iter().zip(w) {
        for i in 0..TRIALS {
            let q = f32::from(LEVELS[usize::from(code(v * id[i]))]);
            let wq = if WEIGHTED { w * q } else { q };
            sums.xq[i] += v * wq;
            sums.qq[i] += q * wq;
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
