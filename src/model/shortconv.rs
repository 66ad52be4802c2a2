//! The gated short convolution: `C ⊙ conv(B ⊙ X)`, causal, one kernel a channel.

/// Consecutive tokens of a sequence on their way through the convolution.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// `n × 3·hidden`, each row B, C, X.
    pub bcx: &'a [f32],
    /// `L × hidden`; the last tap meets the token itself.
    pub taps: &'a [f32],
    /// The last L - 1 columns of B ⊙ X before these tokens, oldest first, `(L - 1) × hidden`.
    pub state: &'a [f32],
    pub hidden: usize,
}

impl Run<'_> {
    /// Computes the tokens from number `first` on: as many as `out` has rows of `hidden`.
    ///
    /// B ⊙ X is computed anew for every tap, so that no token waits for another.
    pub fn rows(&self, first: usize, out: &mut [f32]) {
        let &Run { bcx, taps, state, hidden } = self;
        let past = state.len() / hidden;
        for (t, out) in (first..).zip(out.chunks_exact_mut(hidden)) {
            out.fill(0.0);
            for (j, tap) in taps.chunks_exact(hidden).enumerate() {
                let columns = out.iter_mut().zip(tap);
                match (t + j).checked_sub(past) {
                    Some(t) => {
                        let [b, _, x] = thirds(bcx, t, hidden);
                        for ((out, tap), (b, x)) in columns.zip(b.iter().zip(x)) {
                            *out += tap * (b * x);
                        }
                    }
                    None => {
                        for ((out, tap), u) in columns.zip(&state[hidden * (t + j)..]) {
                            *out += tap * u;
                        }
                    }
                }
            }
            let [_, c, _] = thirds(bcx, t, hidden);
            for (out, c) in out.iter_mut().zip(c) {
                *out *= c;
            }
        }
    }
}

/// Makes `state`, of before the tokens of `bcx`, that of after them: see [`Run`].
pub fn advance(state: &mut [f32], bcx: &[f32], hidden: usize) {
    let (past, n) = (state.len() / hidden, bcx.len() / (3 * hidden));
    if n < past {
        state.copy_within(n * hidden.., 0);
    }
    for t in n.saturating_sub(past)..n {
        let [b, _, x] = thirds(bcx, t, hidden);
        let columns = state[hidden * (past + t - n)..].iter_mut();
        for (u, (b, x)) in columns.zip(b.iter().zip(x)) {
            *u = b * x;
        }
    }
}

/// B, C and X of a token.
fn thirds(bcx: &[f32], t: usize, hidden: usize) -> [&[f32]; 3] {
    let row = &bcx[3 * hidden * t..][..3 * hidden];
    [0, 1, 2].map(|i| &row[hidden * i..][..hidden])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the definition, for every way of cutting five tokens in two runs, and each run's rows in two calls.
    #[test]
    fn equals_the_definition_however_it_is_cut() {
        let (hidden, n) = (2, 5);
        for l in [2, 3, 4] {
            let bcx: Vec<f32> = (0..n * 3 * hidden).map(|i| ((i * 7 % 11) as f32) - 5.0).collect();
            let taps: Vec<f32> = (0..l * hidden).map(|i| (i as f32) - 2.5).collect();
            let mut expected = vec![0.0; n * hidden];
            for t in 0..n {
                for ch in 0..hidden {
                    let at = |t: usize, part: usize| bcx[t * 3 * hidden + part * hidden + ch];
                    let v: f32 = (0..l)
                        .filter(|j| t + j + 1 >= l)
                        .map(|j| taps[j * hidden + ch] * at(t + j + 1 - l, 0) * at(t + j + 1 - l, 2))
                        .sum();
                    expected[t * hidden + ch] = at(t, 1) * v;
                }
            }
            for cut in 0..=n {
                let mut state = vec![0.0; (l - 1) * hidden];
                let mut out = vec![f32::NAN; n * hidden];
                let (a, b) = bcx.split_at(cut * 3 * hidden);
                let (out_a, out_b) = out.split_at_mut(cut * hidden);
                for (bcx, out) in [(a, out_a), (b, out_b)] {
                    let run = Run { bcx, taps: &taps, state: &state, hidden };
                    let half = bcx.len() / (3 * hidden) / 2;
                    let (before, after) = out.split_at_mut(half * hidden);
                    run.rows(half, after);
                    run.rows(0, before);
                    advance(&mut state, bcx, hidden);
                }
                assert_eq!(out, expected, "L = {l}, cut at {cut}");
            }
        }
    }
}
