//! generation_config.json: how the authors want the model to be sampled, and what ends a generation.

use super::hf_config::token_ids;
use super::json;
use crate::error::{ConvertError, Result};
use brooklet::gguf::{GgufWriter, Value as Gguf};
use serde_json::{Map, Value};
use std::path::Path;

/// What generation_config.json says.
#[derive(Debug, Default)]
pub(super) struct Generation {
    /// Ids that end a generation.
    pub eos: Vec<u32>,
    /// `top_k`, where it is stated.
    top_k: Option<i32>,
    /// Key and value.
    floats: Vec<(&'static str, f32)>,
}

/// Field of generation_config.json, key below `general.sampling`. llama.cpp's converter knows the last only
/// as `penalty_repeat`, a name that transformers does not write.
const FLOATS: [(&str, &str); 4] = [
    ("top_p", "top_p"),
    ("min_p", "min_p"),
    ("temperature", "temp"),
    ("repetition_penalty", "penalty_repeat"),
];

impl Generation {
    /// Reads `dir/generation_config.json`; without one, nothing is stated.
    ///
    /// # Errors
    /// Damaged JSON, or a value of the wrong kind.
    pub fn read(dir: &Path) -> Result<Generation> {
        let path = dir.join("generation_config.json");
        let Some(map) = json::read_optional::<Map<String, Value>>(&path)? else {
            return Ok(Generation::default());
        };
        let get = |name: &str| map.get(name).filter(|v| !v.is_null());
        let bad =
            |name: &str, expected: &str, found: &Value| ConvertError::field(&path, name, expected, found);

        let mut out = Generation::default();
        if let Some(value) = get("eos_token_id") {
            let expected = "a token id or a list of them";
            out.eos = token_ids(value).ok_or_else(|| bad("eos_token_id", expected, value))?;
        }
        if let Some(value) = get("top_k") {
            let k = value.as_u64().and_then(|k| i32::try_from(k).ok());
            out.top_k = Some(k.ok_or_else(|| bad("top_k", "a whole number", value))?);
        }
        for (name, key) in FLOATS {
            if let Some(value) = get(name) {
                let x = value.as_f64().map(|x| x as f32).filter(|x| x.is_finite() && *x >= 0.0);
                out.floats.push((key, x.ok_or_else(|| bad(name, "a number of at least 0", value))?));
            }
        }
        Ok(out)
    }

    /// Sets `general.sampling.*`.
    pub fn write(&self, writer: &mut GgufWriter) {
        if let Some(k) = self.top_k {
            writer.set("general.sampling.top_k", Gguf::I32(k));
        }
        for (key, x) in &self.floats {
            writer.set(&format!("general.sampling.{key}"), Gguf::F32(*x));
        }
    }
}
