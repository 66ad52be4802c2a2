//! Multiple choice by log-likelihood, with the metrics of lm-evaluation-harness.

use super::Score;

/// Continuations of a prompt, one of which is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The texts.
    pub choices: Vec<String>,
    /// Which is right, counted from 0; below the number of choices.
    pub right: usize,
    /// What stands between prompt and choice.
    pub delimiter: String,
}

impl Choice {
    /// Judges by the log-likelihood of each choice: `acc`, the likeliest is right; `acc_norm`, the likeliest a character;
    /// `acc_bytes`, the likeliest a byte of UTF-8. Lengths are those of the choice without the delimiter; of equals, the
    /// first counts. Where all choices are equally long, the three are one, `acc`.
    pub fn judge(&self, log_likelihoods: &[f64]) -> Vec<Score> {
        let score = |metric, length: fn(&str) -> usize| {
            let a_unit =
                self.choices.iter().zip(log_likelihoods).map(|(choice, ll)| ll / length(choice) as f64);
            Score::of(metric, best(a_unit) == self.right)
        };
        let characters = |choice: &str| choice.chars().count();
        let mut lengths = self.choices.iter().map(|choice| (characters(choice), choice.len()));
        let first = lengths.next();
        let mut scores = vec![score("acc", |_| 1)];
        if lengths.any(|other| Some(other) != first) {
            scores.extend([score("acc_norm", characters), score("acc_bytes", str::len)]);
        }
        scores
    }
}

/// The index of the first largest.
pub fn best(values: impl Iterator<Item = f64>) -> usize {
    let mut found = (0, f64::NEG_INFINITY);
    for (index, value) in values.enumerate() {
        if value > found.1 {
            found = (index, value);
        }
    }
    found.0
}

/// The logarithm of the probability that logits give an id.
pub fn log_probability(logits: &[f32], id: u32) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - most).exp()).sum();
    f64::from(logits[id as usize] - most) - sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_characters_and_bytes() {
        // A character: -2, -1.5, -1.25. A byte: -2, -0.75, -1.25.
        let choice = |right| Choice {
            choices: vec!["a".into(), "éé".into(), "abcd".into()],
            right,
            delimiter: " ".into(),
        };
        let met = |right| {
            let scores = choice(right).judge(&[-2.0, -3.0, -5.0]);
            scores.iter().map(|score| (score.metric, score.right)).collect::<Vec<_>>()
        };
        assert_eq!(met(0), [("acc", 1), ("acc_norm", 0), ("acc_bytes", 0)]);
        assert_eq!(met(1), [("acc", 0), ("acc_norm", 0), ("acc_bytes", 1)]);
        assert_eq!(met(2), [("acc", 0), ("acc_norm", 1), ("acc_bytes", 0)]);
    }

    #[test]
    fn equally_long_choices_have_one_metric() {
        let choice = Choice { choices: vec!["A".into(), "B".into()], right: 1, delimiter: " ".into() };
        assert_eq!(choice.judge(&[-1.0, -0.5]), [Score::of("acc", true)]);
    }

    #[test]
    fn of_equals_the_first() {
        assert_eq!(best([-1.0, -0.5, -0.5].into_iter()), 1);
        assert_eq!(best([f64::NAN, -3.0].into_iter()), 1);
    }

    #[test]
    fn probabilities_by_hand() {
        // Of weights 1, 2 and 5.
        let logits = [0.0, 2f32.ln(), 5f32.ln()];
        for (id, weight) in [(0, 1.0), (1, 2.0), (2, 5.0)] {
            assert!((log_probability(&logits, id) - (weight / 8f64).ln()).abs() < 1e-6);
        }
        // Far from zero nothing overflows.
        assert!((log_probability(&[1000.0, 1000.0], 1) - 0.5f64.ln()).abs() < 1e-9);
    }
}
