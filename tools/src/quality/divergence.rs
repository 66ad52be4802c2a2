//! How far a model's predictions are from those of the model that it was made of: Kullback-Leibler divergence, how often
//! both hold the same token for the likeliest, and how much the text's tokens gain or lose in probability.

use super::perplexity::{Estimate, log_sum_exp};
use super::windows::{Extent, Options, Progress, QualityError, Result, Walk, Windows};
use brooklet::tokenizer::Special;
use brooklet::{Model, Tokenizer};
use std::sync::Arc;

/// A model beside its base on a text.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// What it was measured on.
    #[serde(flatten)]
    pub extent: Extent,
    /// The model's perplexity.
    pub perplexity: Estimate,
    /// The base's.
    pub base_perplexity: Estimate,
    /// The model's divided by the base's. Both meet the same tokens, so that it is known better than either.
    pub ratio: Estimate,
    /// The ratio's natural logarithm.
    pub ln_ratio: Estimate,
    /// The divergence of the model's predictions from the base's, in nats a token.
    pub kl_divergence: Divergence,
    /// The part of the predictions in which both hold the same token for the likeliest.
    pub same_top: Estimate,
    /// The mean of what the text's tokens gain in probability.
    pub mean_delta_p: Estimate,
    /// The root of the mean square of that.
    pub rms_delta_p: Estimate,
}

/// Kullback-Leibler divergences, Σ p (ln p − ln q) over the vocabulary with the base's p and the model's q.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Divergence {
    /// Their mean.
    pub mean: Estimate,
    /// Half are below it.
    pub median: f64,
    /// 90 % are below it.
    pub p90: f64,
    /// 95 % are below it.
    pub p95: f64,
    /// 99 % are below it.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// What two models make of a token.
struct Score {
    nll: f64,
    base_nll: f64,
    kl_divergence: f64,
    same_top: bool,
}

impl Score {
    fn delta_p(&self) -> f64 {
        (-self.nll).exp() - (-self.base_nll).exp()
    }
}

/// Compares a model with its base on a text, window by window, so that no logits need to be stored.
///
/// # Errors
/// See [`QualityError`]; the models' vocabularies differ.
pub fn compare(model: &Arc<Model>, base: &Arc<Model>, text: &str, options: &Options) -> Result<Comparison> {
    let tokenizer = Tokenizer::from_gguf(model.gguf())?;
    check_vocabularies([model, base], [&tokenizer, &Tokenizer::from_gguf(base.gguf())?])?;
    let mut walk = Walk::new([model, base], options)?;
    let windows = Windows::new(text, &tokenizer, options.context, options.most_windows, Special::Plain)?;
    let scores = walk.scores(&windows, options.cancel, score, |done, scores| {
        if let Some(progress) = options.progress {
            let perplexity = mean(scores, |s| s.nll).exp().value;
            let kl_divergence = Some(mean(scores, |s| s.kl_divergence).value);
            progress(Progress { done, total: windows.len(), perplexity, kl_divergence });
        }
    })?;
    Ok(Comparison::of(windows.extent(), &scores))
}

impl Comparison {
    fn of(extent: Extent, scores: &[Score]) -> Comparison {
        let ln_ratio = mean(scores, |s| s.nll - s.base_nll);
        Comparison {
            extent,
            perplexity: mean(scores, |s| s.nll).exp(),
            base_perplexity: mean(scores, |s| s.base_nll).exp(),
            ratio: ln_ratio.exp(),
            ln_ratio,
            kl_divergence: Divergence::of(scores.iter().map(|s| s.kl_divergence)),
            same_top: mean(scores, |s| f64::from(u8::from(s.same_top))),
            mean_delta_p: mean(scores, Score::delta_p),
            rms_delta_p: mean(scores, |s| s.delta_p().powi(2)).sqrt(),
        }
    }
}

impl Divergence {
    fn of(values: impl ExactSizeIterator<Item = f64> + Clone) -> Divergence {
        let mut sorted: Vec<f64> = values.clone().collect();
        sorted.sort_by(f64::total_cmp);
        Divergence {
            mean: Estimate::mean(values),
            median: quantile(&sorted, 0.5),
            p90: quantile(&sorted, 0.9),
            p95: quantile(&sorted, 0.95),
            p99: quantile(&sorted, 0.99),
            max: quantile(&sorted, 1.0),
        }
    }
}

fn mean(scores: &[Score], of: impl Fn(&Score) -> f64 + Clone) -> Estimate {
    Estimate::mean(scores.iter().map(of))
}

/// The value below which a fraction of sorted ones lies, linear between two of them.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let at = fraction * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at as usize], sorted[at.ceil() as usize]);
    low + at.fract() * (high - low)
}

/// `None` where logits are not finite.
fn score([logits, base]: [&[f32]; 2], next: u32) -> Option<Score> {
    let next = next as usize;
    let score = Score {
        nll: log_sum_exp(logits) - f64::from(logits[next]),
        base_nll: log_sum_exp(base) - f64::from(base[next]),
        kl_divergence: divergence(logits, base)?,
        same_top: top(logits) == top(base),
    };
    (score.nll + score.base_nll).is_finite().then_some(score)
}

/// The divergence of what `logits` predict from what `base` does; `None` where it is not finite.
pub(crate) fn divergence(logits: &[f32], base: &[f32]) -> Option<f64> {
    let (norm, base_norm) = (log_sum_exp(logits), log_sum_exp(base));
    let ln_p = |i: usize| f64::from(base[i]) - base_norm;
    let ln_q = |i: usize| f64::from(logits[i]) - norm;
    let kl: f64 = (0..base.len()).map(|i| ln_p(i).exp() * (ln_p(i) - ln_q(i))).sum();
    // Rounding can leave equal predictions a hair below 0.
    kl.is_finite().then_some(kl.max(0.0))
}

/// The likeliest token; the first of several.
fn top(logits: &[f32]) -> usize {
    (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}

/// Two models' logits can be compared where the same ids are the same tokens.
fn check_vocabularies(models: [&Model; 2], tokenizers: [&Tokenizer; 2]) -> Result<()> {
    let sizes = models.map(|m| m.config().vocab_size);
    let difference = if sizes[0] != sizes[1] {
        Some(format!("{} tokens, the base has {}", sizes[0], sizes[1]))
    } else {
        (0..sizes[0] as u32).find_map(|id| {
            let [token, base] = tokenizers.map(|t| t.token(id));
            (token != base).then(|| format!("token {id} is {}, in the base {}", name(token), name(base)))
        })
    };
    difference.map_or(Ok(()), |difference| Err(QualityError::OtherVocabulary { difference }))
}

fn name(token: Option<&str>) -> String {
    token.map_or("unused".into(), |token| format!("{token:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tolerance: logits are rounded to f32.
    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }

    /// Logits of these odds; a constant more or less is the same prediction.
    fn odds<const N: usize>(odds: [f32; N], constant: f32) -> [f32; N] {
        odds.map(|x| x.ln() + constant)
    }

    #[test]
    fn a_token_is_scored_by_the_definitions() {
        // The base's p is 1/8, 2/8, 5/8, the model's q 1/4, 1/2, 1/4.
        let (base, model) = (odds([1.0, 2.0, 5.0], 3.0), odds([1.0, 2.0, 1.0], -1.0));
        let score = score([&model, &base], 1).unwrap();
        let kl = 0.125 * 0.5f64.ln() + 0.25 * 0.5f64.ln() + 0.625 * 2.5f64.ln();
        near(score.kl_divergence, kl);
        near(score.nll, 2f64.ln());
        near(score.base_nll, 4f64.ln());
        near(score.delta_p(), 0.25);
        assert!(!score.same_top);
    }

    #[test]
    fn equal_predictions_do_not_diverge() {
        let logits = odds([1.0, 2.0, 5.0], 0.5);
        let score = score([&logits, &logits], 0).unwrap();
        assert_eq!((score.kl_divergence, score.delta_p(), score.same_top), (0.0, 0.0, true));
    }

    #[test]
    fn damaged_logits_are_no_score() {
        let good = [0.0, 1.0];
        for bad in [[f32::NAN, 0.0], [f32::INFINITY, 0.0]] {
            assert!(score([&bad, &good], 1).is_none() && score([&good, &bad], 1).is_none());
        }
        // A model that holds for impossible what the base does not diverges without bound.
        assert!(score([&[f32::NEG_INFINITY, 0.0], &good], 1).is_none());
    }

    #[test]
    fn figures_are_made_of_scores_by_the_definitions() {
        let score = |nll, base_nll, kl_divergence, same_top| Score { nll, base_nll, kl_divergence, same_top };
        let ln = f64::ln;
        // The model's p are 1/2, 1/4, 1/4, the base's 1/4, 1/4, 1/2.
        let scores = [
            score(ln(2.0), ln(4.0), 0.3, true),
            score(ln(4.0), ln(4.0), 0.1, true),
            score(ln(4.0), ln(2.0), 0.2, false),
        ];
        let extent = Extent { tokens: 32, context: 16, windows: 1, scored: 3 };
        let c = Comparison::of(extent, &scores);
        near(c.perplexity.value, 32f64.powf(1.0 / 3.0));
        near(c.base_perplexity.value, 32f64.powf(1.0 / 3.0));
        // Differences of -ln 2, 0, ln 2: their squares' sum over n (n - 1) is ln²2 / 3.
        near(c.ln_ratio.value, 0.0);
        near(c.ln_ratio.error, ln(2.0) / 3f64.sqrt());
        near(c.ratio.value, 1.0);
        near(c.ratio.error, ln(2.0) / 3f64.sqrt());
        near(c.kl_divergence.mean.value, 0.2);
        near(c.kl_divergence.mean.error, (0.02f64 / 6.0).sqrt());
        near(c.same_top.value, 2.0 / 3.0);
        near(c.same_top.error, (2.0 / 9.0 / 2.0f64).sqrt());
        near(c.mean_delta_p.value, 0.0);
        // Squares of 1/16, 0, 1/16.
        near(c.rms_delta_p.value, (1.0f64 / 24.0).sqrt());
        let kl = c.kl_divergence;
        assert_eq!((kl.median, kl.max), (0.2, 0.3));
        near(kl.p90, 0.28);
        near(kl.p95, 0.29);
        near(kl.p99, 0.298);
    }

    #[test]
    fn the_error_of_the_ratio_is_that_of_a_difference_of_means() {
        // √(σ_a² + σ_b² - 2 cov), as llama.cpp writes it.
        let (a, b) = ([1.0, 3.0, 2.0, 7.0, 4.0], [1.5, 2.0, 2.5, 6.0, 5.0]);
        let all: Vec<Score> =
            (0..5).map(|i| Score { nll: a[i], base_nll: b[i], kl_divergence: 0.0, same_top: true }).collect();
        let (sigma_a, sigma_b) = (mean(&all, |s| s.nll), mean(&all, |s| s.base_nll));
        let product = a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>() / 5.0;
        let covariance = (product - sigma_a.value * sigma_b.value) / 4.0;
        let expected = (sigma_a.error.powi(2) + sigma_b.error.powi(2) - 2.0 * covariance).sqrt();
        near(mean(&all, |s| s.nll - s.base_nll).error, expected);
    }
}
