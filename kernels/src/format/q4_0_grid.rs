//! Blocks that are on a Q4_0 grid already: `d · q` with an f16 `d` and `q` in −8..=7, rounded to the type of the weights.
//!
//! Training that knows of the quantization leaves such weights. A scale is found for them that gives every one back, so that
//! nothing is lost; the plain encoder's, a quotient of rounded numbers, often misses it.
//!
//! Does a block of other weights match by chance? Of the 128 numbers that BF16 has in an octave, the multiples of a scale are
//! four at most: with some 64 scales tried, 32 weights at random match with a probability below 64 · 32⁻³¹, or 10⁻⁴⁴. What
//! matches nevertheless, as a block with few different values does, loses nothing, for a match gives back every weight.

use half::{bf16, f16};

/// The scale with which every element of `x` comes back from Q4_0, up to the precision of the type that they all fit.
#[inline(always)]
pub(super) fn scale(x: &[f32; 32]) -> Option<f32> {
    // As integers, magnitudes order as floats do, and three octaves are 3 · 2²³; zeros, less one, are the largest of all.
    const OCTAVES: u32 = 3 << 23;
    // Both ends may be rounded by half a step of BF16, 2¹⁵, or by a step over the border of an octave.
    const SLACK: u32 = 1 << 17;
    let (mut most, mut least) = (0, u32::MAX);
    for v in x {
        let magnitude = v.to_bits() & 0x7fff_ffff;
        most = most.max(magnitude);
        least = least.min(magnitude.wrapping_sub(1));
    }
    // One block in thousands of ordinary weights comes this far; what is not finite stays behind, zeros too.
    if most == 0 || most >= f32::INFINITY.to_bits() || most > least.saturating_add(OCTAVES + SLACK) {
        return None;
    }
    search(x, f32::from_bits(most))
}

/// The types of weights, the most precise first: [`scale`] takes the first that answers.
const PRECISIONS: [Precision; 3] = [
    Precision { round: |v| v, half_step: 0 },
    Precision { round: |v| f16::from_f32_const(v).to_f32_const(), half_step: 1 << 12 },
    Precision { round: |v| bf16::from_f32(v).to_f32(), half_step: 1 << 15 },
];

struct Precision {
    round: fn(f32) -> f32,
    /// Of the integers that f32's bits are.
    half_step: u32,
}

/// Tries every integer for the largest magnitude `max`.
#[cold]
#[inline(never)]
fn search(x: &[f32; 32], max: f32) -> Option<f32> {
    let precisions = PRECISIONS.iter().filter(|p| x.iter().all(|&v| (p.round)(v) == v));
    for precision in precisions {
        for k in (1u8..=8).rev() {
            // There is a −8 but no 8.
            let largest = |sign: f32| x.contains(&(sign * max));
            let sign = match k {
                8 if largest(1.0) && largest(-1.0) => continue,
                8 if largest(1.0) => -1.0,
                _ => 1.0,
            };
            if let Some(d) = precision.scale(x, max / f32::from(k), sign, k == 8) {
                return Some(d);
            }
        }
    }
    None
}

impl Precision {
    /// A scale near `guess · sign` that gives back every element. `plain` tries the plain encoder's first.
    fn scale(&self, x: &[f32; 32], guess: f32, sign: f32, plain: bool) -> Option<f32> {
        let (mut low, mut high) = (0.0f32, f32::INFINITY);
        for v in x.iter().map(|v| v.abs()).filter(|v| *v > 0.0) {
            let q = (v / guess).round();
            // The guess and v are each off by 2⁻⁸ at most.
            if q == 0.0 || (v - q * guess).abs() > v / 64.0 {
                return None;
            }
            low = low.max(f32::from_bits(v.to_bits() - self.half_step) / q);
            high = high.min(f32::from_bits(v.to_bits() + self.half_step) / q);
        }
        // One more at each end, for the rounding of the quotients.
        let first = f16::from_f32_const(low).to_bits().saturating_sub(1).max(1);
        let last = f16::from_f32_const(high).to_bits().saturating_add(1).min(f16::MAX.to_bits());
        if first > last {
            return None;
        }
        // From the middle outwards.
        let middle = first.midpoint(last);
        let outwards = (0..=last - first).map(|i| {
            let i = i32::from(i);
            (i32::from(middle) + if i % 2 == 0 { -i / 2 } else { (i + 1) / 2 }) as u16
        });
        let plain = plain.then(|| f16::from_f32_const(guess).to_bits());
        let candidates = plain.into_iter().chain(outwards.filter(|d| (first..=last).contains(d)));
        candidates.map(|d| sign * f16::from_bits(d).to_f32_const()).find(|&d| self.gives_back(x, d))
    }

    /// Whether the encoder's integers for the scale `d` give back every element.
    fn gives_back(&self, x: &[f32; 32], d: f32) -> bool {
        let id = 1.0 / d;
        x.iter().all(|&v| (self.round)(d * (f32::from(super::q4_0::nibble(v, id)) - 8.0)) == v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::TensorType::Q4_0;
    use crate::format::{decode, encode};

    /// Small numbers in a fixed order.
    fn random() -> impl FnMut(u32) -> u32 {
        let mut state = 1u64;
        move |below| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) as u32) % below
        }
    }

    fn through(x: &[f32; 32]) -> Vec<f32> {
        let (mut bytes, mut y) = ([0; 18], vec![0.0; 32]);
        encode(Q4_0, x, &mut bytes);
        decode(Q4_0, &bytes, &mut y);
        y
    }

    /// Every scale of f16, of either sign, with integers of all kinds: all sixteen, few, without −8.
    #[test]
    fn grids_of_every_scale_come_back() {
        let mut below = random();
        for bits in (1..=f16::MAX.to_bits()).flat_map(|bits| [bits, bits | 0x8000]) {
            let d = f16::from_bits(bits).to_f32_const();
            let (from, kinds) = [(0, 16), (1, 15), (6, 4), (7, 2), (4, 9), (0, 1)][below(6) as usize];
            let q: [i32; 32] = std::array::from_fn(|_| (from + below(kinds)) as i32 - 8);
            for precision in &PRECISIONS {
                let x = q.map(|q| (precision.round)(d * q as f32));
                if x.iter().any(|v| v.is_infinite()) {
                    continue;
                }
                let back: Vec<f32> = through(&x).into_iter().map(precision.round).collect();
                assert!(back == x, "scale {bits:#06x}: {q:?} came back as {back:?} for {x:?}");
            }
        }
    }

    /// Where both ends and a zero are there, the integers are not in doubt, and they come back themselves.
    #[test]
    fn the_integers_are_those_of_the_grid() {
        let mut below = random();
        for _ in 0..2000 {
            let d = f16::from_bits(0x1000 + below(0x5000) as u16).to_f32_const();
            let mut q: [i32; 32] = std::array::from_fn(|_| below(16) as i32 - 8);
            (q[3], q[17], q[30]) = (-8, 7, 1);
            let x = q.map(|q| bf16::from_f32(d * q as f32).to_f32());
            let mut bytes = [0; 18];
            encode(Q4_0, &x, &mut bytes);
            for i in 0..16 {
                let pair = [bytes[2 + i] & 15, bytes[2 + i] >> 4].map(|n| i32::from(n) - 8);
                assert_eq!(pair, [q[i], q[i + 16]], "scale {d}");
            }
        }
    }

    #[test]
    fn ordinary_blocks_have_no_scale() {
        let mut below = random();
        let mut uniform = || (below(1 << 24) as f32 + 0.5) / (1 << 24) as f32;
        let mut searched = 0;
        for _ in 0..200_000 {
            let x: [f32; 32] = std::array::from_fn(|_| {
                let gaussian = (-2.0 * uniform().ln()).sqrt() * (std::f32::consts::TAU * uniform()).cos();
                bf16::from_f32(0.02 * gaussian).to_f32()
            });
            let magnitudes = x.map(f32::abs);
            let least = magnitudes.iter().copied().fold(f32::INFINITY, f32::min);
            searched += u32::from(magnitudes.iter().all(|m| *m <= 8.0 * least));
            assert_eq!(scale(&x), None, "{x:?}");
        }
        // Measured: 110. The gate turns the others away.
        assert!((1..400).contains(&searched), "{searched}");
    }

    #[test]
    fn what_is_no_number_has_no_scale() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, f32::MAX, 1e-30, f32::from_bits(1)] {
            let mut x = [bad; 32];
            assert_eq!(scale(&x), None, "{bad}");
            x[..31].fill(0.5);
            assert_eq!(scale(&x), None, "{bad} and 0.5");
        }
        assert_eq!(scale(&[0.0; 32]), None);
        assert_eq!(scale(&[-0.0; 32]), None);
    }
}
