//! The options that the model commands share, and what they mean.

use crate::hint::HintExt;
use crate::hub;
use crate::threads::stored;
use anyhow::{Context, Result};
use brooklet::gguf::GgufError;
use brooklet::{
    Error, Gguf, MAX_THREADS, Model, SamplerConfig, Sampling, Session, SessionOptions, Setting, Tokenizer,
    memory_available, random_seed,
};
use brooklet_kernels::TensorType;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Options of every model command.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// The model: a GGUF file, as `brooklet convert` writes it, or hf:ORG/REPO:TYPE, as `brooklet pull` fetches it
    #[arg(short, long, value_name = "FILE", value_parser = parse_model)]
    pub model: PathBuf,
    /// Threads to compute with [default: what `bench --tune` stored, else one a physical core]
    #[arg(short, long, value_name = "N", value_parser = parse_threads)]
    pub threads: Option<usize>,
    /// Tokens that prompt and answer may take together [default: what the model was made for, at most 4096]
    #[arg(short, long, value_name = "N", value_parser = parse_positive)]
    pub ctx: Option<usize>,
    /// Seed of the random numbers: the same seed gives the same output [default: random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// What it may take.
    #[command(flatten)]
    pub memory: MemoryArgs,
}

/// Options that trade speed or exactness for memory.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct MemoryArgs {
    /// Storage of attention keys and values: f16, f32 (exact, twice the memory) or q8_0 (half the memory)
    /// [default: f16, with --low-memory q8_0]
    #[arg(long, value_name = "TYPE", hide_possible_values = true)]
    pub kv_type: Option<KvType>,
    /// Take less memory and more time: keys and values in 8 bits, prompts in small parts, weights read when used
    #[arg(long)]
    pub low_memory: bool,
}

impl MemoryArgs {
    /// How keys and values are stored.
    pub fn kv_type(self) -> TensorType {
        let default = if self.low_memory { KvType::Q8_0 } else { KvType::F16 };
        self.kv_type.unwrap_or(default).into()
    }
}

/// Storage of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KvType {
    /// Half precision
    F16,
    /// Single precision: twice the memory, for comparisons
    F32,
    /// 8 bits and a scale for 32: half the memory
    #[value(name = "q8_0")]
    Q8_0,
}

impl From<KvType> for TensorType {
    fn from(kv: KvType) -> TensorType {
        match kv {
            KvType::F16 => TensorType::F16,
            KvType::F32 => TensorType::F32,
            KvType::Q8_0 => TensorType::Q8_0,
        }
    }
}

/// A file, or a model on the hub.
pub(crate) fn parse_model(text: &str) -> Result<PathBuf, String> {
    if text.starts_with(hub::PREFIX) {
        text.parse::<hub::HubName>().map_err(|e| e.to_string())?;
    }
    Ok(text.into())
}

/// A number of threads.
pub fn parse_threads(text: &str) -> Result<usize, String> {
    parse_up_to(text, MAX_THREADS, "threads")
}

/// A whole number from 1 to `most`, of things so called.
pub(crate) fn parse_up_to(text: &str, most: usize, things: &str) -> Result<usize, String> {
    match parse_positive(text)? {
        n if n <= most => Ok(n),
        n => Err(format!("{n} {things} are more than the {most} that brooklet takes")),
    }
}

/// A whole number of at least 1.
pub fn parse_positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number of at least 1".into()),
        Ok(n) => Ok(n),
    }
}

impl ModelArgs {
    /// The seed asked for, or a random one (32 bits, to be short to type again).
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(random_seed)
    }

    /// Opens and checks the model.
    pub fn open(&self) -> Result<Arc<Model>> {
        let model = open_model(&self.model)?;
        if !self.memory.low_memory && memory_available().is_none_or(|free| model.size_bytes() < free) {
            model.read_ahead();
        }
        Ok(model)
    }

    /// How the options set up sessions.
    pub fn session_options(&self) -> SessionOptions {
        let stored = if self.threads.is_none() { stored() } else { None };
        SessionOptions {
            context: self.ctx,
            kv_type: self.memory.kv_type(),
            threads: self.threads.or(stored.map(|t| t.prefill)),
            decode_threads: stored.map(|t| t.decode),
            low_memory: self.memory.low_memory,
        }
    }

    /// An empty session.
    ///
    /// # Errors
    /// The context asked for is larger than the one the model was made for.
    pub fn session(&self, model: &Arc<Model>) -> Result<Session> {
        Ok(Session::new(model.clone(), self.session_options())?)
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self, gguf: &Gguf) -> Result<Arc<Tokenizer>> {
        Ok(Arc::new(Tokenizer::from_gguf(gguf).with_context(|| self.model.display().to_string())?))
    }
}

/// Opens and checks a model.
pub fn open_model(path: &Path) -> Result<Arc<Model>> {
    let gguf = open_gguf(path)?;
    Ok(Arc::new(Model::from_gguf(gguf).with_context(|| path.display().to_string())?))
}

/// Opens a GGUF file, here or on the hub; errors name the file and say how to come by a good one.
pub fn open_gguf(path: &Path) -> Result<Gguf> {
    let path = &*hub::local(path)?;
    let name = path.display();
    if path.is_dir() {
        return Err(anyhow::anyhow!("{name} is a directory, not a GGUF file"))
            .hint(|| format!("`brooklet convert {name}` makes a GGUF file of a checkpoint directory"));
    }
    match Gguf::open(path) {
        Ok(gguf) => Ok(gguf),
        Err(error @ Error::Io { .. }) => {
            let missing = !path.exists();
            let error = Err(error);
            if missing {
                error.hint(|| {
                    "`brooklet convert DIR -o FILE` makes a GGUF file of a checkpoint directory".into()
                })
            } else {
                error.map_err(Into::into)
            }
        }
        Err(error) => {
            let hint = match &error {
                Error::Gguf(GgufError::Magic { .. }) => Some(
                    "a model is one GGUF file; `brooklet convert DIR` makes it of a checkpoint directory with \
                     config.json and *.safetensors",
                ),
                Error::Gguf(GgufError::Truncated { .. } | GgufError::OutOfBounds { .. }) => {
                    Some("download the file again, or make it anew with `brooklet convert`")
                }
                _ => None,
            };
            let error = Err(error).with_context(|| name.to_string());
            match hint {
                Some(hint) => error.hint(|| hint.into()),
                None => error,
            }
        }
    }
}

/// Options of the commands that draw tokens. What is not given comes from the file
/// (`general.sampling.*`), then from the authors of LFM2.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Sampling (default: the file's own settings, else the LFM2 authors')")]
pub struct SamplingArgs {
    /// Randomness; 0 always takes the likeliest token [authors: 0.3]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = |s: &str| in_range(s, Setting::TEMPERATURE))]
    pub temp: Option<f32>,
    /// Draw from the K likeliest tokens; 0 is no limit [authors: 0]
    #[arg(long, value_name = "K")]
    pub top_k: Option<u32>,
    /// Draw from the likeliest tokens that reach this probability together; 1 is no limit [authors: 1]
    #[arg(long, value_name = "P", allow_negative_numbers = true, value_parser = |s: &str| in_range(s, Setting::TOP_P))]
    pub top_p: Option<f32>,
    /// Draw only tokens at least this fraction as likely as the likeliest; 0 is no limit [authors: 0.15]
    #[arg(long, value_name = "P", allow_negative_numbers = true, value_parser = |s: &str| in_range(s, Setting::MIN_P))]
    pub min_p: Option<f32>,
    /// Penalty on tokens that prompt or answer already hold; 1 is none [authors: 1.05]
    #[arg(long, value_name = "R", allow_negative_numbers = true, value_parser = |s: &str| in_range(s, Setting::REPETITION_PENALTY))]
    pub repeat_penalty: Option<f32>,
}

/// The number in `text`, if it may be so.
fn in_range(text: &str, setting: Setting) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if setting.allows(value) => Ok(value),
        _ => Err(format!("expected {}", setting.expected)),
    }
}

impl SamplingArgs {
    /// The options over the file's settings over the authors'.
    ///
    /// # Errors
    /// The file states a value that makes no sense; no option replaces it.
    pub fn config(&self, gguf: &Gguf, seed: u64) -> Result<SamplerConfig> {
        let asked = Sampling {
            temperature: self.temp,
            top_k: self.top_k.map(|k| k as usize),
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repeat_penalty,
        };
        Ok(asked.config(gguf, seed)?)
    }
}

/// The settings in words, with the options' names.
pub fn describe(config: &SamplerConfig) -> String {
    let SamplerConfig { temperature, top_k, top_p, min_p, repetition_penalty, seed } = config;
    format!(
        "--temp {temperature} --top-k {top_k} --top-p {top_p} --min-p {min_p} \
         --repeat-penalty {repetition_penalty} --seed {seed}"
    )
}

/// A limit on new tokens; -1 on the command line is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLimit(pub Option<usize>);

impl std::str::FromStr for TokenLimit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<i64>() {
            Ok(-1) => Ok(TokenLimit(None)),
            Ok(n) if n >= 0 => Ok(TokenLimit(usize::try_from(n).ok())),
            _ => Err("expected a number of tokens, or -1 for no limit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        for bad in ["-0.1", "nan", "inf", "x", ""] {
            assert!(in_range(bad, Setting::TEMPERATURE).is_err(), "{bad}");
        }
        assert_eq!(in_range("0", Setting::TEMPERATURE), Ok(0.0));
        assert!(in_range("0", Setting::TOP_P).is_err());
        assert!(in_range("1.5", Setting::MIN_P).is_err());
        assert!(in_range("0", Setting::REPETITION_PENALTY).is_err());
        assert_eq!("-1".parse(), Ok(TokenLimit(None)));
        assert_eq!("0".parse(), Ok(TokenLimit(Some(0))));
        assert!("-2".parse::<TokenLimit>().is_err());
        assert!(parse_threads("0").is_err() && parse_threads("513").is_err());
        assert_eq!(parse_threads("512"), Ok(512));
    }

    #[test]
    fn random_seeds_differ_and_are_short() {
        let memory = MemoryArgs::default();
        let args = |seed| ModelArgs { model: PathBuf::new(), threads: None, ctx: None, seed, memory };
        assert_eq!(args(Some(u64::MAX)).seed(), u64::MAX);
        assert!(args(None).seed() <= u64::from(u32::MAX));
        assert_ne!(args(None).seed(), args(None).seed());
    }
}
