//! `brooklet synth`: write a checkpoint of a real model's shape with random weights.

mod tokenizer;
mod weights;

use crate::system;
use crate::ui;
use anyhow::{Context, Result, bail};
use brooklet::model::tensors::{TensorSpec, specs};
use brooklet::model::{Config, LayerKind};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `brooklet synth`.
///
/// The checkpoint has the shape, the file sizes and the vocabulary size of the real model, and talks
/// nonsense: enough to measure speed, memory and start-up before anything is downloaded.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  brooklet synth --size 350M -o synth-350M\n  brooklet convert synth-350M\n  \
                  brooklet bench -m synth-350M-Q4_0.gguf"
)]
pub struct Args {
    /// Which LFM2 to imitate
    #[arg(long, value_enum, value_name = "SIZE")]
    size: Size,

    /// The directory to write; it must not exist yet, or be empty
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// Of the random weights: the same seed gives the same bytes
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// The released dense models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Size {
    #[value(name = "350M")]
    M350,
    #[value(name = "700M")]
    M700,
    #[value(name = "1.2B")]
    B1_2,
}

/// Layers that attend in all three.
const ATTENTION: [usize; 6] = [2, 5, 8, 10, 12, 14];
const LAYERS: usize = 16;
const KV_HEADS: usize = 8;
const VOCAB: usize = 65_536;

impl Size {
    /// hidden_size, block_ff_dim as the config states it, the width that comes of it, heads.
    fn dims(self) -> (usize, usize, usize, usize) {
        match self {
            Size::M350 => (1024, 6656, 4608, 16),
            Size::M700 => (1536, 10240, 6912, 24),
            Size::B1_2 => (2048, 12288, 8192, 32),
        }
    }

    fn model(self) -> Config {
        let (hidden_size, _, intermediate_size, num_heads) = self.dims();
        let kind = |layer| match ATTENTION.contains(&layer) {
            true => LayerKind::Attention { num_kv_heads: KV_HEADS },
            false => LayerKind::ShortConv,
        };
        Config {
            vocab_size: VOCAB,
            hidden_size,
            intermediate_size,
            num_heads,
            head_dim: hidden_size / num_heads,
            rope_dim: hidden_size / num_heads,
            rope_theta: 1e6,
            norm_eps: 1e-5,
            conv_kernel: 3,
            context_length: 128_000,
            sliding_window: None,
            layers: (0..LAYERS).map(kind).collect(),
        }
    }

    /// config.json with the fields of the official ones.
    fn config_json(self) -> Value {
        let (hidden, ff, _, heads) = self.dims();
        json!({
            "architectures": ["Lfm2ForCausalLM"],
            "block_auto_adjust_ff_dim": true,
            "block_dim": hidden,
            "block_ff_dim": ff,
            "block_ffn_dim_multiplier": 1.0,
            "block_mlp_init_scale": 1.0,
            "block_multiple_of": 256,
            "block_norm_eps": 1e-5,
            "block_out_init_scale": 1.0,
            "block_use_swiglu": true,
            "block_use_xavier_init": true,
            "bos_token_id": tokenizer::BOS,
            "conv_L_cache": 3,
            "conv_bias": false,
            "conv_dim": hidden,
            "conv_dim_out": hidden,
            "conv_use_xavier_init": true,
            "eos_token_id": tokenizer::EOS,
            "full_attn_idxs": ATTENTION,
            "hidden_size": hidden,
            "initializer_range": 0.02,
            "max_position_embeddings": 128_000,
            "model_type": "lfm2",
            "norm_eps": 1e-5,
            "num_attention_heads": heads,
            "num_heads": heads,
            "num_hidden_layers": LAYERS,
            "num_key_value_heads": KV_HEADS,
            "pad_token_id": tokenizer::PAD,
            "rope_theta": 1e6,
            "theta": 1e6,
            "tie_embedding": true,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.54.0",
            "use_cache": true,
            "use_pos_enc": true,
            "vocab_size": VOCAB,
        })
    }
}

/// Runs the command; the directory goes to stdout.
pub fn run(args: Args) -> Result<()> {
    let start = Instant::now();
    let dir = &args.output;
    if dir.exists() && !(dir.is_dir() && fs::read_dir(dir)?.next().is_none()) {
        bail!("{} is there already: name another directory, or remove it first", dir.display());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Written beside the destination and renamed, so that a failure leaves nothing.
    let temporary = system::for_everyone(tempfile::Builder::new().prefix(".brooklet-synth-"))
        .tempdir_in(parent)
        .with_context(|| format!("cannot write in {}", parent.display()))?;

    let put = |name: &str, value: &Value| -> Result<()> {
        let path = temporary.path().join(name);
        fs::write(&path, serde_json::to_string_pretty(value)?)
            .with_context(|| format!("cannot write {}", path.display()))
    };
    put("config.json", &args.size.config_json())?;
    put("generation_config.json", &tokenizer::generation_config())?;
    put("tokenizer.json", &tokenizer::tokenizer_json())?;
    put("tokenizer_config.json", &tokenizer::tokenizer_config())?;

    let tensors: Vec<TensorSpec> = specs(&args.size.model()).into_iter().filter(|t| !t.optional).collect();
    let path = temporary.path().join("model.safetensors");
    let bytes = weights::write(&path, &tensors, args.seed, &ui::interrupted())
        .with_context(|| format!("cannot write {}", path.display()))?;
    fs::rename(temporary.path(), dir).with_context(|| format!("cannot write {}", dir.display()))?;
    // Renamed away: there is nothing left to remove.
    let _ = temporary.keep();

    let params: u64 = tensors.iter().map(|t| t.shape.iter().product::<usize>() as u64).sum();
    eprintln!(
        "{} weights, {}, {:.1} s; next: brooklet convert {}",
        ui::human_count(params),
        ui::human_bytes(bytes),
        start.elapsed().as_secs_f64(),
        dir.display()
    );
    ui::print_line(&dir.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    /// The released models' parameter counts.
    #[test]
    fn shapes_have_the_real_number_of_weights() {
        let expected = [354_483_968, 742_489_344, 1_170_340_608];
        for (size, expected) in Size::value_variants().iter().zip(expected) {
            let tensors = specs(&size.model());
            let params: usize =
                tensors.iter().filter(|t| !t.optional).map(|t| t.shape.iter().product::<usize>()).sum();
            assert_eq!(params, expected, "{size:?}");
        }
    }

    /// What convert reads from the config is the shape that the weights are written in.
    #[test]
    fn config_json_states_the_shape() {
        for size in Size::value_variants() {
            let config = crate::convert::HfConfig::from_json(Path::new("x"), &size.config_json()).unwrap();
            assert_eq!(config.model, size.model());
            assert!(config.tied && config.unknown.is_empty());
        }
    }
}
