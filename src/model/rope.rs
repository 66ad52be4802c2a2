//! Rotary position embedding, NEOX style: dimension i turns with dimension i + rope_dim/2.

/// Angles for a run of positions, computed as transformers does, in f32: `pos · theta^(-2i/rope_dim)`.
pub struct Rope {
    inv_freq: Vec<f32>,
    /// `rope_dim / 2` values a token of the current chunk, each.
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rope {
    pub fn new(rope_dim: usize, theta: f32) -> Rope {
        let inv_freq = |i: usize| {
            let exponent = (2 * i) as f32 / rope_dim as f32;
            (1.0 / f64::from(theta).powf(f64::from(exponent))) as f32
        };
        Rope { inv_freq: (0..rope_dim / 2).map(inv_freq).collect(), cos: Vec::new(), sin: Vec::new() }
    }

    /// Computes the angles of some positions.
    pub fn prepare(&mut self, positions: impl Iterator<Item = usize>) {
        self.cos.clear();
        self.sin.clear();
        for pos in positions {
            for freq in &self.inv_freq {
                let (sin, cos) = f64::from(pos as f32 * freq).sin_cos();
                self.cos.push(cos as f32);
                self.sin.push(sin as f32);
            }
        }
    }

    /// Cosines and sines of the `t`-th prepared position.
    pub fn angles(&self, t: usize) -> (&[f32], &[f32]) {
        let half = self.inv_freq.len();
        (&self.cos[half * t..][..half], &self.sin[half * t..][..half])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_fall_with_the_dimension() {
        let mut rope = Rope::new(4, 10_000.0);
        rope.prepare(7..9);
        let (cos, sin) = rope.angles(1);
        for (i, angle) in [8f32, 0.08].into_iter().enumerate() {
            assert!((cos[i] - angle.cos()).abs() < 1e-6 && (sin[i] - angle.sin()).abs() < 1e-6);
        }
    }
}
