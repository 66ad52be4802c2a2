//! Perplexity: how many tokens a model hesitates between, on average over a text.

use super::windows::{Extent, Options, Progress, Result, Walk, Windows};
use brooklet::tokenizer::Special;
use brooklet::{Model, Tokenizer};
use std::sync::Arc;

/// A figure with its standard error.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// One standard deviation of it, were the text another of its kind, its tokens independent.
    pub error: f64,
}

impl Estimate {
    /// The mean of two values or more.
    pub fn mean(values: impl ExactSizeIterator<Item = f64> + Clone) -> Estimate {
        let n = values.len() as f64;
        let mean = values.clone().sum::<f64>() / n;
        let variance = values.map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        Estimate { value: mean, error: (variance / (n - 1.0)).sqrt() }
    }

    /// e to the power of it.
    pub fn exp(self) -> Estimate {
        let value = self.value.exp();
        Estimate { value, error: value * self.error }
    }

    /// Its square root; 0 of 0.
    pub fn sqrt(self) -> Estimate {
        let value = self.value.sqrt();
        let error = if value > 0.0 { self.error / (2.0 * value) } else { 0.0 };
        Estimate { value, error }
    }
}

/// A model's perplexity on a text.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Perplexity {
    /// What it was measured on.
    #[serde(flatten)]
    pub extent: Extent,
    /// e to the power of the mean of −ln p over the tokens scored.
    pub perplexity: Estimate,
}

/// Measures a model's perplexity on a text.
///
/// # Errors
/// See [`QualityError`](super::windows::QualityError).
pub fn measure(model: &Arc<Model>, text: &str, options: &Options) -> Result<Perplexity> {
    let mut walk = Walk::new([model], options)?;
    let tokenizer = Tokenizer::from_gguf(model.gguf())?;
    let windows = Windows::new(text, &tokenizer, options.context, options.most_windows, Special::Plain)?;
    let score = |[logits]: [&[f32]; 1], next: u32| Some(nll(logits, next)).filter(|nll| nll.is_finite());
    let nlls = walk.scores(&windows, options.cancel, score, |done, nlls| {
        if let Some(progress) = options.progress {
            let perplexity = Estimate::mean(nlls.iter().copied()).exp().value;
            progress(Progress { done, total: windows.len(), perplexity, kl_divergence: None });
        }
    })?;
    Ok(Perplexity { extent: windows.extent(), perplexity: Estimate::mean(nlls.iter().copied()).exp() })
}

/// −ln p of a token, in nats.
fn nll(logits: &[f32], token: u32) -> f64 {
    log_sum_exp(logits) - f64::from(logits[token as usize])
}

/// ln Σ e^x: less this, logits are the logarithms of probabilities. Not finite where one of them is not.
pub(super) fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    max + logits.iter().map(|x| (f64::from(*x) - max).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{found} for {expected}");
    }

    #[test]
    fn a_mean_has_the_standard_error_of_its_sample() {
        // Mean 3; the squares of the distances are 4, 1, 0, 9: their sum over n (n - 1) = 12 is 14 / 12.
        let estimate = Estimate::mean([1.0, 2.0, 3.0, 6.0].into_iter());
        near(estimate.value, 3.0);
        near(estimate.error, (14f64 / 12.0).sqrt());
        // Three of four: p (1 - p) / (n - 1) = 3 / 16 / 3.
        let part = Estimate::mean([1.0, 0.0, 1.0, 1.0].into_iter());
        assert_eq!(part, Estimate { value: 0.75, error: 0.25 });
    }

    #[test]
    fn errors_are_carried_through_to_first_order() {
        let estimate = Estimate { value: 4.0, error: 0.5 };
        assert_eq!(estimate.sqrt(), Estimate { value: 2.0, error: 0.125 });
        near(estimate.exp().value, 4f64.exp());
        near(estimate.exp().error, 0.5 * 4f64.exp());
        assert_eq!(Estimate { value: 0.0, error: 0.0 }.sqrt(), Estimate { value: 0.0, error: 0.0 });
    }

    #[test]
    fn nll_is_that_of_the_softmax() {
        // Odds 1 : 2 : 5.
        let logits = [0.0, 2f32.ln(), 5f32.ln()];
        // The logits are rounded to f32.
        for (token, odds) in [(0, 1.0), (1, 2.0), (2, 5.0f64)] {
            assert!((nll(&logits, token) - (8.0 / odds).ln()).abs() < 1e-7);
        }
        let equal = [1e3; 8];
        near(nll(&equal, 3), 8f64.ln());
        let sure = [-1e5, 0.0, 1e5];
        assert_eq!(nll(&sure, 2), 0.0);
        assert_eq!(nll(&sure, 0), 2e5);
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(!nll(&[0.0, bad, 1.0], 0).is_finite());
        }
    }
}
