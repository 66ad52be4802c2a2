//! The fuzz targets for checkpoints, run by the mutation driver and by cargo-fuzz.

#![allow(dead_code, reason = "each fuzz target uses one")]

use brooklet_tools::convert::{AdapterConfig, Checkpoint, ConvertError, HfConfig, HfTokenizer};
use std::fs;
use std::path::{Path, PathBuf};

/// Rows of the embedding that tokenizers are read for.
const VOCAB: usize = 300;

/// A directory of this process, for targets that read files.
pub fn scratch() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("brooklet-fuzz-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory");
    dir
}

/// Reads `bytes` as config.json. True if it was accepted.
pub fn config(bytes: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice(bytes) else { return false };
    accepted(HfConfig::from_json(Path::new("config.json"), &value).map(|config| {
        let model = &config.model;
        assert!(model.num_heads > 0 && model.head_dim % 2 == 0 && model.conv_kernel >= 2);
        assert!((1..=4096).contains(&model.layers.len()));
        assert!(model.rope_theta.is_finite() && model.norm_eps > 0.0);
    }))
}

/// Reads `bytes` as adapter_config.json and asks it of some modules. True if all that was accepted.
pub fn adapter_config(bytes: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice(bytes) else { return false };
    accepted(AdapterConfig::from_json(Path::new("adapter_config.json"), &value).and_then(|config| {
        for module in ["lm_head", "model.layers.0.feed_forward.w1", "model.layers.17.self_attn.out_proj"] {
            config.targets(module, module != "lm_head")?;
            config.saves(module);
            let (rank, scale) = config.rank_and_scale(module)?;
            assert!((1..=4096).contains(&rank) && scale.is_finite());
        }
        Ok(())
    }))
}

/// Reads `bytes` as the tokenizer.json of `dir`, which it writes.
pub fn tokenizer(dir: &Path, bytes: &[u8]) -> bool {
    fs::write(dir.join("tokenizer.json"), bytes).expect("written");
    accepted(HfTokenizer::read(dir, VOCAB, &[("eos", vec![7, 2])], &[7]).map(|tokenizer| {
        let mut writer = brooklet::gguf::GgufWriter::new();
        tokenizer.write(&mut writer);
    }))
}

/// Opens `bytes` as the model.safetensors of `dir`, which it writes, and reads all of it.
pub fn safetensors(dir: &Path, bytes: &[u8]) -> bool {
    fs::write(dir.join("model.safetensors"), bytes).expect("written");
    accepted(Checkpoint::open(dir).map(|checkpoint| {
        let mut total = 0;
        for name in checkpoint.names() {
            let tensor = checkpoint.get(name).expect("it is listed");
            let mut data = vec![0; tensor.len() as usize];
            checkpoint.read_at(tensor, 0, &mut data).expect("it is within the file");
            total += data.len();
        }
        assert!(total < bytes.len());
    }))
}

fn accepted(outcome: Result<(), ConvertError>) -> bool {
    let Err(error) = outcome else { return true };
    let text = error.to_string();
    assert!(text.len() < 4096, "a message of {} bytes", text.len());
    assert!(!text.contains(char::is_control), "{text:?}");
    false
}
