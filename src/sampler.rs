//! From logits to the next id, in the order and with the meaning of transformers' `generate`.

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

/// Draws ids; owns its random numbers, its scratch and the set of ids seen.
pub struct Sampler {}

#[allow(unused_variables)]
impl Sampler {
    /// A sampler for a vocabulary of this size.
    pub fn new(config: SamplerConfig, vocab_size: usize) -> Sampler {
        todo!()
    }
    /// Notes ids of the prompt for the repetition penalty.
    pub fn observe(&mut self, ids: &[u32]) {
        todo!()
    }
    /// Draws an id from the logits and notes it.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        todo!()
    }
}
