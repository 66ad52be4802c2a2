//! How tokens are drawn.

use crate::border;
use crate::failure::{Failure, Status, guard};
use crate::model::Model;
use crate::options::{self, Growing};
use brooklet::{SamplerConfig, Sampling, Setting, random_seed};

/// How tokens are drawn. Set up with brooklet_sampling_init().
#[repr(C)]
pub struct SamplingOptions {
    /// Bytes of this struct, as the init function sets it.
    pub size: usize,
    /// Randomness, at least 0; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Draw from the smallest set of likeliest tokens that reaches this probability, above 0; 1 is no limit.
    pub top_p: f32,
    /// Draw only tokens at least this fraction as likely as the likeliest, 0 to 1; 0 is no limit.
    pub min_p: f32,
    /// Penalty on tokens that the session already holds, above 0; 1 is none.
    pub repetition_penalty: f32,
    /// Draw from the so many likeliest tokens; 0 is no limit.
    pub top_k: u32,
    /// 0.
    pub reserved: u32,
    /// The same seed draws the same tokens.
    pub seed: u64,
}

// SAFETY: numbers only, the first a usize, in C's order.
unsafe impl Growing for SamplingOptions {
    const FIRST: usize = size_of::<Self>();
}

impl Default for SamplingOptions {
    fn default() -> Self {
        SamplingOptions::from(&SamplerConfig { seed: random_seed(), ..SamplerConfig::default() })
    }
}

impl From<&SamplerConfig> for SamplingOptions {
    fn from(config: &SamplerConfig) -> Self {
        SamplingOptions {
            size: size_of::<Self>(),
            temperature: config.temperature,
            top_p: config.top_p,
            min_p: config.min_p,
            repetition_penalty: config.repetition_penalty,
            // More than there can be tokens is no limit.
            top_k: u32::try_from(config.top_k).unwrap_or(0),
            reserved: 0,
            seed: config.seed,
        }
    }
}

impl SamplingOptions {
    /// As the library takes them.
    pub fn check(&self) -> Result<SamplerConfig, Failure> {
        if self.reserved != 0 {
            return Err(Failure::argument("reserved", "0", self.reserved.to_string()));
        }
        let in_range = |name, setting: Setting, value: f32| match setting.allows(value) {
            true => Ok(value),
            false => Err(Failure::argument(name, setting.expected, value.to_string())),
        };
        Ok(SamplerConfig {
            temperature: in_range("temperature", Setting::TEMPERATURE, self.temperature)?,
            top_k: self.top_k as usize,
            top_p: in_range("top_p", Setting::TOP_P, self.top_p)?,
            min_p: in_range("min_p", Setting::MIN_P, self.min_p)?,
            repetition_penalty: in_range(
                "repetition_penalty",
                Setting::REPETITION_PENALTY,
                self.repetition_penalty,
            )?,
            seed: self.seed,
        })
    }
}

/// Sets sampling to what the model's file recommends, else to the LFM2 authors' values (for all of them if model is
/// NULL), with a random seed; size is sizeof(brooklet_sampling).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_sampling_init(
    sampling: *mut SamplingOptions,
    size: usize,
    model: *const Model,
) -> Status {
    guard(|| {
        let chosen = if model.is_null() {
            SamplingOptions::default()
        } else {
            // SAFETY: the header asks for an open model.
            let model = unsafe { border::object(model, "model") }?;
            SamplingOptions::from(&Sampling::default().config(model.model.gguf(), random_seed())?)
        };
        // SAFETY: the header asks for a pointer to a struct of `size` bytes.
        unsafe { options::init(sampling, size, chosen) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_struct_has_no_padding() {
        assert_eq!(size_of::<SamplingOptions>(), 8 + 6 * 4 + 8);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let base = SamplingOptions::default;
        assert!(base().check().is_ok());
        assert!(SamplingOptions { temperature: f32::NAN, ..base() }.check().is_err());
        assert!(SamplingOptions { top_p: 0.0, ..base() }.check().is_err());
        assert!(SamplingOptions { min_p: 1.5, ..base() }.check().is_err());
        assert!(SamplingOptions { repetition_penalty: 0.0, ..base() }.check().is_err());
        assert!(SamplingOptions { reserved: 1, ..base() }.check().is_err());
    }
}
