//! Perplexity: how many tokens a model hesitates between, on average over a text.

use super::windows::{Extent, Options, Progress, Result, Walk, Windows};
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
    let windows = Windows::new(text, &tokenizer, options.context, options.most_windows)?;
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
