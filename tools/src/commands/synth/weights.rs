//! Random bf16 weights, streamed into a safetensors file.

use crate::ui;
use anyhow::{Result, bail};
use brooklet::model::tensors::{Role, TensorSpec};
use half::bf16;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Elements that one generator makes: the unit of parallel work, so that threads do not change the bytes.
const PIECE: usize = 256 << 10;

/// Writes `tensors` as one safetensors file and returns its size in bytes; stops where `cancel` turns true.
pub(super) fn write(path: &Path, tensors: &[TensorSpec], seed: u64, cancel: &AtomicBool) -> Result<u64> {
    let mut end = 0;
    let infos = tensors
        .iter()
        .map(|t| {
            let start = end;
            end += 2 * t.hf_shape.iter().product::<usize>();
            let info =
                TensorInfo { dtype: Dtype::BF16, shape: t.hf_shape.clone(), data_offsets: (start, end) };
            (t.hf.clone(), info)
        })
        .collect();
    let format = [("format".to_string(), "pt".to_string())];
    let mut header = serde_json::to_vec(&Metadata::new(Some(format.into()), infos)?)?;
    header.resize(header.len().next_multiple_of(8), b' ');

    let mut file = File::create_new(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;

    let bar = ui::byte_bar(end as u64, "writing");
    let width = 2 * rayon::current_num_threads();
    let mut buffers: Vec<Vec<u8>> = vec![Vec::new(); width];
    let pieces: Vec<(usize, usize)> = tensors
        .iter()
        .enumerate()
        .flat_map(|(i, t)| (0..t.hf_shape.iter().product()).step_by(PIECE).map(move |start| (i, start)))
        .collect();
    for batch in pieces.chunks(width) {
        if cancel.load(Ordering::Relaxed) {
            bail!("cancelled");
        }
        batch.par_iter().zip(&mut buffers).for_each(|((index, start), buffer)| {
            let tensor = &tensors[*index];
            let len = PIECE.min(tensor.hf_shape.iter().product::<usize>() - start);
            fill(tensor, len, generator(seed, *index, *start), buffer);
        });
        for buffer in &buffers[..batch.len()] {
            file.write_all(buffer)?;
            bar.inc(buffer.len() as u64);
        }
    }
    bar.finish_and_clear();
    file.sync_all()?;
    Ok(8 + header.len() as u64 + end as u64)
}

fn generator(seed: u64, tensor: usize, start: usize) -> Pcg64Mcg {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    // No tensor has 2^40 elements, no model 2^24 tensors.
    bytes[8..].copy_from_slice(&(((tensor as u64) << 40) + start as u64).to_le_bytes());
    let mut rng = Pcg64Mcg::from_seed(bytes);
    // Seeds that are close give first numbers that are close.
    for _ in 0..4 {
        rng.next_u64();
    }
    rng
}

/// Replaces `out` by `len` bf16 numbers.
fn fill(tensor: &TensorSpec, len: usize, mut rng: Pcg64Mcg, out: &mut Vec<u8>) {
    let (mean, deviation) = distribution(tensor);
    // The sum of four uniform 16-bit numbers is near enough to a normal one: mean 2^17, variance 2^32 / 3.
    let scale = deviation * 3f32.sqrt() / 65536.0;
    out.clear();
    out.reserve(2 * len);
    for _ in 0..len {
        let bits = rng.next_u64();
        let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
        let x = mean + (sum as f32 - 131_072.0) * scale;
        out.extend_from_slice(&bf16::from_f32(x).to_le_bytes());
    }
}

/// Mean and standard deviation: activations stay near 1 through all layers, and logits are not flat.
fn distribution(tensor: &TensorSpec) -> (f32, f32) {
    let row_len = tensor.shape[0] as f32;
    match tensor.role {
        Role::Matrix if tensor.gguf == "token_embd.weight" => (0.0, 2.0 / row_len.sqrt()),
        Role::Matrix => (0.0, 1.0 / row_len.sqrt()),
        Role::Float if tensor.gguf.contains("shortconv") => (0.0, 0.5),
        Role::Float => (1.0, 0.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brooklet::model::tensors::specs;
    use brooklet::model::{Config, LayerKind};

    fn tensors() -> Vec<TensorSpec> {
        let layers = vec![LayerKind::ShortConv, LayerKind::Attention { num_kv_heads: 2 }];
        let config = Config {
            vocab_size: 3000,
            hidden_size: 128,
            intermediate_size: 256,
            num_heads: 4,
            head_dim: 32,
            rope_dim: 32,
            rope_theta: 1e6,
            norm_eps: 1e-5,
            conv_kernel: 3,
            context_length: 128,
            sliding_window: None,
            layers,
        };
        specs(&config).into_iter().filter(|t| !t.optional).collect()
    }

    fn written(seed: u64, threads: usize) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let bytes = pool.install(|| write(&path, &tensors(), seed, &AtomicBool::new(false))).unwrap();
        let file = std::fs::read(path).unwrap();
        assert_eq!(file.len() as u64, bytes);
        file
    }

    #[test]
    fn the_seed_alone_decides_the_bytes() {
        let file = written(1, 1);
        assert!(written(1, 3) == file);
        assert!(written(2, 3) != file);
    }

    #[test]
    fn values_are_spread_as_intended() {
        let file = written(1, 2);
        let parsed = safetensors::SafeTensors::deserialize(&file).unwrap();
        assert_eq!(parsed.names().len(), tensors().len());
        for spec in tensors() {
            let view = parsed.tensor(&spec.hf).unwrap();
            assert_eq!(view.shape(), spec.hf_shape);
            let x: Vec<f64> = view
                .data()
                .chunks_exact(2)
                .map(|b| f64::from(bf16::from_le_bytes([b[0], b[1]]).to_f32()))
                .collect();
            let n = x.len() as f64;
            let mean = x.iter().sum::<f64>() / n;
            let deviation = (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
            let (wanted_mean, wanted) = distribution(&spec);
            let (wanted_mean, wanted) = (f64::from(wanted_mean), f64::from(wanted));
            // Five standard errors, of which the deviation's is smaller by the square root of two.
            let error = 5.0 * wanted / n.sqrt();
            assert!((mean - wanted_mean).abs() < error, "{}: {mean}", spec.hf);
            assert!((deviation - wanted).abs() < error, "{}: {deviation}", spec.hf);
        }
    }
}
