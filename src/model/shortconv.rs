//! The gated short convolution: `C ⊙ conv(B ⊙ X)`, causal, one kernel a channel.

/// Runs `n` tokens through the convolution.
///
/// - `bcx`: `n × 3·hidden`, each row B, C, X; B is overwritten with u = B ⊙ X.
/// - `taps`: `L × hidden`; the last tap meets the token itself.
/// - `state`: the last L - 1 columns of u before this run, oldest first, `(L - 1) × hidden`; updated.
/// - `out`: `n × hidden`.
pub fn short_conv(bcx: &mut [f32], taps: &[f32], state: &mut [f32], out: &mut [f32], hidden: usize) {
    let past = state.len() / hidden;
    let n = bcx.len() / (3 * hidden);
    for row in bcx.chunks_exact_mut(3 * hidden) {
        let (b, rest) = row.split_at_mut(hidden);
        for (b, x) in b.iter_mut().zip(&rest[hidden..]) {
            *b *= x;
        }
    }
    let (bcx, state_before) = (&*bcx, &*state);
    // Column t of u, counted from the oldest one in the state.
    let u = |t: usize| match t.checked_sub(past) {
        Some(t) => &bcx[3 * hidden * t..][..hidden],
        None => &state_before[hidden * t..][..hidden],
    };
    for (t, out) in out.chunks_exact_mut(hidden).enumerate() {
        out.fill(0.0);
        for (j, tap) in taps.chunks_exact(hidden).enumerate() {
            for ((out, tap), u) in out.iter_mut().zip(tap).zip(u(t + j)) {
                *out += tap * u;
            }
        }
        let c = &bcx[3 * hidden * t + hidden..][..hidden];
        for (out, c) in out.iter_mut().zip(c) {
            *out *= c;
        }
    }
    if n < past {
        state.copy_within(n * hidden.., 0);
    }
    for t in n.saturating_sub(past)..n {
        let slot = past + t - n;
        state[hidden * slot..][..hidden].copy_from_slice(&bcx[3 * hidden * t..][..hidden]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the definition, for every way of cutting five tokens in two.
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
                let mut bcx = bcx.clone();
                let (a, b) = bcx.split_at_mut(cut * 3 * hidden);
                let (out_a, out_b) = out.split_at_mut(cut * hidden);
                short_conv(a, &taps, &mut state, out_a, hidden);
                short_conv(b, &taps, &mut state, out_b, hidden);
                assert_eq!(out, expected, "L = {l}, cut at {cut}");
            }
        }
    }
}
