//! From logits to the next id, in the order and with the meaning of transformers' `generate`:
//! repetition penalty, temperature, top_k, top_p, min_p, then a draw.

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// How the next id is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerConfig {
    /// 0 is greedy.
    pub temperature: f32,
    /// Keep the k likeliest; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set whose probability reaches this; 1 keeps all.
    pub top_p: f32,
    /// Keep what is at least this fraction as likely as the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of ids seen in prompt and output; 1 does nothing.
    pub repetition_penalty: f32,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Default for SamplerConfig {
    /// The LFM2 authors' recommendation: temperature 0.3, min_p 0.15, repetition_penalty 1.05.
    fn default() -> Self {
        SamplerConfig {
            temperature: 0.3,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.15,
            repetition_penalty: 1.05,
            seed: 0,
        }
    }
}

/// Draws ids; owns its random numbers, its scratch and the set of ids seen. A copy goes on as the original would.
#[derive(Clone)]
pub struct Sampler {
    config: SamplerConfig,
    rng: Pcg64Mcg,
    seen: Vec<bool>,
    /// Logit (later probability) and id of every candidate that is left.
    candidates: Vec<(f32, u32)>,
}

impl Sampler {
    /// A sampler for a vocabulary of this size.
    pub fn new(config: SamplerConfig, vocab_size: usize) -> Sampler {
        Sampler {
            rng: Pcg64Mcg::seed_from_u64(config.seed),
            config,
            seen: vec![false; vocab_size],
            candidates: Vec::with_capacity(vocab_size),
        }
    }

    /// Notes ids of the prompt for the repetition penalty.
    pub fn observe(&mut self, ids: &[u32]) {
        for id in ids {
            if let Some(seen) = self.seen.get_mut(*id as usize) {
                *seen = true;
            }
        }
    }

    /// Forgets all ids seen, as for a new prompt; the random numbers go on.
    pub fn forget(&mut self) {
        self.seen.fill(false);
    }

    /// Draws an id from the logits and notes it.
    ///
    /// # Panics
    /// If `logits` is empty.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        let id = if self.config.temperature <= 0.0 {
            self.greedy(logits)
        } else {
            self.filter(logits);
            self.draw()
        };
        self.observe(&[id]);
        id
    }

    /// The ids that may be drawn and their probabilities, likeliest first. Draws nothing.
    pub fn distribution(&mut self, logits: &[f32]) -> &[(f32, u32)] {
        self.filter(logits);
        &self.candidates
    }

    /// The likeliest id after the repetition penalty; the smallest one of equals.
    fn greedy(&self, logits: &[f32]) -> u32 {
        let penalized = |id: usize| self.penalized(logits[id], id);
        let mut best = 0;
        for id in 1..logits.len() {
            if penalized(id) > penalized(best) || penalized(best).is_nan() {
                best = id;
            }
        }
        best as u32
    }

    fn penalized(&self, logit: f32, id: usize) -> f32 {
        match (self.seen.get(id), logit < 0.0) {
            (Some(true), true) => logit * self.config.repetition_penalty,
            (Some(true), false) => logit / self.config.repetition_penalty,
            _ => logit,
        }
    }

    /// Leaves in `candidates` what may be drawn, with probabilities that sum to 1, likeliest first.
    fn filter(&mut self, logits: &[f32]) {
        let SamplerConfig { temperature, top_k, top_p, min_p, .. } = self.config;
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        for (id, logit) in logits.iter().enumerate() {
            // A logit that is no number can never be drawn.
            let logit = self.penalized(*logit, id) / temperature;
            candidates.push((if logit.is_nan() { f32::NEG_INFINITY } else { logit }, id as u32));
        }
        let likeliest_first = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if top_k > 0 && top_k < candidates.len() {
            // As transformers does, what ties with the k-th stays too.
            let (_, kth, _) = candidates.select_nth_unstable_by(top_k - 1, likeliest_first);
            let floor = kth.0;
            candidates.retain(|c| c.0 >= floor);
        }
        let max = candidates.iter().fold(f32::NEG_INFINITY, |max, c| max.max(c.0));
        // min_p comes after top_p, but where top_p keeps everything it can spare the sort its work.
        if top_p >= 1.0 && min_p > 0.0 {
            let floor = max + min_p.ln();
            candidates.retain(|c| c.0 >= floor);
        }
        candidates.sort_unstable_by(likeliest_first);
        normalize(&mut candidates, max);
        if top_p < 1.0 {
            let mut before = 0.0;
            let kept = candidates.iter().take_while(|c| {
                let keep = before < top_p;
                before += c.0;
                keep
            });
            let kept = kept.count().max(1);
            candidates.truncate(kept);
            if min_p > 0.0 {
                let floor = candidates[0].0 * min_p;
                let kept = candidates.iter().take_while(|c| c.0 >= floor).count().max(1);
                candidates.truncate(kept);
            }
            let sum: f32 = candidates.iter().map(|c| c.0).sum();
            candidates.iter_mut().for_each(|c| c.0 /= sum);
        }
        self.candidates = candidates;
    }

    fn draw(&mut self) -> u32 {
        // 24 random bits: every value is exact in f32 and below 1.
        let mut left = (self.rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32;
        for (p, id) in &self.candidates {
            left -= p;
            if left < 0.0 {
                return *id;
            }
        }
        // Rounding left a hair: the last one with a chance takes it.
        self.candidates.iter().rev().find(|c| c.0 > 0.0).unwrap_or(&self.candidates[0]).1
    }
}

/// Softmax over the candidates' logits.
fn normalize(candidates: &mut [(f32, u32)], max: f32) {
    let mut sum = 0.0;
    for c in candidates.iter_mut() {
        // Without a finite maximum (all -inf, or one +inf) the difference is no number: the top shares.
        c.0 = if c.0 == max { 1.0 } else { (c.0 - max).exp() };
        sum += c.0;
    }
    candidates.iter_mut().for_each(|c| c.0 /= sum);
}
