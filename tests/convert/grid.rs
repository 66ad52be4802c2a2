//! Checkpoints whose weights are on a Q4_0 grid already.

use crate::checkpoint::Checkpoint;
use crate::checkpoints::{convert, values};
use brooklet_kernels::TensorType;
use brooklet_tools::convert::FileType;
use half::{bf16, f16};
use safetensors::Dtype;

/// Replaces a tensor by one on a grid, rounded by `store`: an f16 scale a block, of all sizes and both signs, and the
/// integers of Q4_0.
fn put_on_grid(checkpoint: &mut Checkpoint, name: &str, dtype: Dtype, store: fn(f32) -> Vec<u8>) {
    let mut state = name.bytes().fold(7u64, |s, b| s.wrapping_mul(31).wrapping_add(b.into()));
    let mut random = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let tensor = checkpoint.tensor(name);
    tensor.dtype = dtype;
    let elements: usize = tensor.shape.iter().product();
    tensor.data = (0..elements / 32)
        .flat_map(|_| {
            let scale = f16::from_bits(random(0x7000) as u16 | (random(2) << 15) as u16).to_f32();
            let (from, kinds) = [(0, 16), (0, 16), (1, 15), (6, 5), (8, 1)][random(5) as usize];
            (0..32).flat_map(|_| store(scale * ((from + random(kinds)) as f32 - 8.0))).collect::<Vec<u8>>()
        })
        .collect();
}

const MATRICES: [&str; 4] = [
    "model.layers.0.conv.in_proj.weight",
    "model.layers.0.feed_forward.w2.weight",
    "model.layers.1.self_attn.k_proj.weight",
    "model.layers.2.feed_forward.w1.weight",
];

#[test]
fn what_is_on_a_grid_comes_back() {
    let names = ["blk.0.shortconv.in_proj", "blk.0.ffn_down", "blk.1.attn_k", "blk.2.ffn_gate"];
    type Store = fn(f32) -> Vec<u8>;
    type Round = fn(f32) -> f32;
    let types: [(Dtype, Store, Round); 3] = [
        (Dtype::BF16, |v| bf16::from_f32(v).to_le_bytes().to_vec(), |v| bf16::from_f32(v).to_f32()),
        (
            Dtype::F16,
            |v| f16::from_f32(v.clamp(-65504.0, 65504.0)).to_le_bytes().to_vec(),
            |v| f16::from_f32(v).to_f32(),
        ),
        (Dtype::F32, |v| v.to_le_bytes().to_vec(), |v| v),
    ];
    for (dtype, store, round) in types {
        let mut checkpoint = Checkpoint::small();
        for name in MATRICES {
            put_on_grid(&mut checkpoint, name, dtype, store);
        }
        let source = convert(&checkpoint, FileType::F32);
        let out = convert(&checkpoint, FileType::Q4_0);
        assert_eq!(out.report.kept, MATRICES.len(), "{dtype:?}");
        for name in names.map(|name| format!("{name}.weight")) {
            assert_eq!(out.gguf.tensor(&name).expect("it is there").info.ty, TensorType::Q4_0, "{name}");
            let back: Vec<f32> = values(&out.gguf, &name).into_iter().map(round).collect();
            assert!(back == values(&source.gguf, &name), "{dtype:?} {name}");
        }
    }
}

#[test]
fn ordinary_weights_are_not_called_kept() {
    assert_eq!(convert(&Checkpoint::small(), FileType::Q4_0).report.kept, 0);
    // Nor is a tensor of which one weight is off its grid.
    let mut checkpoint = Checkpoint::small();
    put_on_grid(&mut checkpoint, MATRICES[0], Dtype::BF16, |v| bf16::from_f32(v).to_le_bytes().to_vec());
    let data = &mut checkpoint.tensor(MATRICES[0]).data;
    let last = data.len() - 64;
    for (i, pair) in data[last..].chunks_exact_mut(2).enumerate() {
        pair.copy_from_slice(&bf16::from_f32(1.0 + i as f32 / 16.0).to_le_bytes());
    }
    assert_eq!(convert(&checkpoint, FileType::Q4_0).report.kept, 0);
}
