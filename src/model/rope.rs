//! Rotary position embedding, NEOX style: dimension i turns with dimension i + rope_dim/2.

/// Angles for a run of positions, computed as transformers does, in f32: `pos · theta^(-2i/rope_dim)`.
pub struct Rope {
    inv_freq: Vec<f32>,
    /// Interleaved cosine and sine, `rope_dim` values a token of the current chunk.
    cos_sin: Vec<f32>,
}

impl Rope {
    pub fn new(rope_dim: usize, theta: f32) -> Rope {
        let inv_freq = |i: usize| {
            let exponent = (2 * i) as f32 / rope_dim as f32;
            (1.0 / f64::from(theta).powf(f64::from(exponent))) as f32
        };
        Rope { inv_freq: (0..rope_dim / 2).map(inv_freq).collect(), cos_sin: Vec::new() }
    }

    /// Computes the angles of `n` positions from `first` on.
    pub fn prepare(&mut self, first: usize, n: usize) {
        self.cos_sin.clear();
        for pos in first..first + n {
            for freq in &self.inv_freq {
                let (sin, cos) = f64::from(pos as f32 * freq).sin_cos();
                self.cos_sin.extend([cos as f32, sin as f32]);
            }
        }
    }

    /// Turns one head of the `t`-th prepared position in place.
    pub fn rotate(&self, t: usize, head: &mut [f32]) {
        let half = self.inv_freq.len();
        let (low, rest) = head.split_at_mut(half);
        let angles = self.cos_sin[2 * half * t..2 * half * (t + 1)].chunks_exact(2);
        for ((a, b), angle) in low.iter_mut().zip(rest).zip(angles) {
            let (cos, sin) = (angle[0], angle[1]);
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_pairs_half_a_head_apart() {
        let mut rope = Rope::new(4, 10_000.0);
        rope.prepare(7, 2);
        let mut head = [1.0, 2.0, 3.0, 4.0, 5.0];
        rope.rotate(1, &mut head);
        let (s0, c0) = 8f32.sin_cos();
        let (s1, c1) = 0.08f32.sin_cos();
        let expected = [c0 - 3.0 * s0, 2.0 * c1 - 4.0 * s1, 3.0 * c0 + s0, 4.0 * c1 + 2.0 * s1, 5.0];
        for (a, b) in head.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }
}
