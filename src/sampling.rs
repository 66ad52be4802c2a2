//! Which sampling settings hold: those asked for, over the file's (`general.sampling.*`), over the authors' of LFM2.

use crate::gguf::GgufError;
use crate::{Gguf, Result, SamplerConfig};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// What a setting may be.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The GGUF key that holds it.
    key: &'static str,
    valid: fn(f32) -> bool,
    /// What is valid, in words.
    pub expected: &'static str,
}

impl Setting {
    /// [`SamplerConfig::temperature`].
    pub const TEMPERATURE: Setting =
        Setting { key: "general.sampling.temp", valid: |v| v >= 0.0, expected: "a number of at least 0" };
    /// [`SamplerConfig::top_p`].
    pub const TOP_P: Setting = Setting {
        key: "general.sampling.top_p",
        valid: |v| v > 0.0 && v <= 1.0,
        expected: "a number above 0, at most 1",
    };
    /// [`SamplerConfig::min_p`].
    pub const MIN_P: Setting = Setting {
        key: "general.sampling.min_p",
        valid: |v| (0.0..=1.0).contains(&v),
        expected: "a number from 0 to 1",
    };
    /// [`SamplerConfig::repetition_penalty`].
    pub const REPETITION_PENALTY: Setting =
        Setting { key: "general.sampling.penalty_repeat", valid: |v| v > 0.0, expected: "a number above 0" };

    /// Whether `value` makes sense.
    pub fn allows(self, value: f32) -> bool {
        value.is_finite() && (self.valid)(value)
    }

    /// The value asked for, else the file's, else the authors'.
    fn choose(self, asked: Option<f32>, gguf: &Gguf, authors: f32) -> Result<f32> {
        if let Some(value) = asked {
            return Ok(value);
        }
        match gguf.get_f32(self.key)? {
            Some(found) if !self.allows(found) => Err(GgufError::Key {
                key: self.key.into(),
                expected: self.expected.into(),
                found: found.to_string(),
            }
            .into()),
            stated => Ok(stated.unwrap_or(authors)),
        }
    }
}

/// Settings asked for. What is `None` comes from the file, then from the authors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// [`SamplerConfig::temperature`].
    pub temperature: Option<f32>,
    /// [`SamplerConfig::top_k`].
    pub top_k: Option<usize>,
    /// [`SamplerConfig::top_p`].
    pub top_p: Option<f32>,
    /// [`SamplerConfig::min_p`].
    pub min_p: Option<f32>,
    /// [`SamplerConfig::repetition_penalty`].
    pub repetition_penalty: Option<f32>,
}

impl Sampling {
    /// The settings that hold for a model's file. What was asked for is taken as it is: see [`Setting::allows`].
    ///
    /// # Errors
    /// The file states a value that makes no sense, and no other was asked for.
    pub fn config(&self, gguf: &Gguf, seed: u64) -> Result<SamplerConfig> {
        let authors = SamplerConfig::default();
        let top_k = match self.top_k {
            Some(k) => Some(k),
            None => gguf.get_usize("general.sampling.top_k")?,
        };
        Ok(SamplerConfig {
            temperature: Setting::TEMPERATURE.choose(self.temperature, gguf, authors.temperature)?,
            top_k: top_k.unwrap_or(authors.top_k),
            top_p: Setting::TOP_P.choose(self.top_p, gguf, authors.top_p)?,
            min_p: Setting::MIN_P.choose(self.min_p, gguf, authors.min_p)?,
            repetition_penalty: Setting::REPETITION_PENALTY.choose(
                self.repetition_penalty,
                gguf,
                authors.repetition_penalty,
            )?,
            seed,
        })
    }
}

/// A random seed, of 32 bits to be short to type again.
pub fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 32
}
