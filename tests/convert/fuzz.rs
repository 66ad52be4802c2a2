//! Mutated configs, tokenizers and safetensors headers: no panic, no huge allocation, messages fit to print.

#[path = "../common/alloc.rs"]
mod alloc;
mod checkpoint;
#[path = "../common/mutate.rs"]
mod mutate;
#[path = "../common/target_convert.rs"]
mod target;

use checkpoint::Checkpoint;
use safetensors::Dtype;
use serde_json::json;

#[global_allocator]
static ALLOC: alloc::Counting = alloc::Counting;

/// One test, since the count of allocations is one for all threads.
#[test]
fn mutated_checkpoints_are_refused_or_sound() {
    let small = Checkpoint::small();
    let liquid = small
        .clone()
        .unset("hidden_size")
        .set("block_dim", json!(64))
        .set("theta", json!(1e6))
        .set("num_heads", json!(4));
    let newer = small
        .clone()
        .set("layer_types", json!(["conv", "full_attention", "conv"]))
        .set("rope_parameters", json!({"rope_theta": 1e6, "rope_type": "default"}))
        .set("eos_token_id", json!([7, 2]));
    let json = |values: &[&serde_json::Value]| -> Vec<Vec<u8>> {
        values.iter().map(|v| v.to_string().into_bytes()).collect()
    };
    let words: [&[u8]; 16] = [
        b"null",
        b"true",
        b"-1",
        b"0",
        b"1e999",
        b"18446744073709551615",
        b"[",
        b"{\"",
        b"\"",
        b"]",
        b"}",
        b",",
        b"[[[[[[[[",
        b"\xff",
        b"\\u0000",
        b"{}",
    ];
    let dir = tempfile::tempdir().expect("a directory");

    // A shape has a name a layer at most; a million layers would show.
    drive("config", &json(&[&small.config, &liquid.config, &newer.config]), &words, |bytes| {
        target::config(bytes)
    });
    let adapter = json!({
        "peft_type": "LORA", "r": 8, "lora_alpha": 16.5, "bias": "none", "use_rslora": true, "use_dora": false,
        "target_modules": ["q_proj", "w1", "out_proj"], "exclude_modules": null, "modules_to_save": ["lm_head"],
        "layers_to_transform": [0, 17], "layers_pattern": "layers", "init_lora_weights": "gaussian",
        "rank_pattern": {"^model\\.layers\\.\\d+\\.feed_forward\\.w[13]": 4, "q_proj": 2},
        "alpha_pattern": {"(q|k|v)_proj": 3}, "some_config": null, "lora_dropout": 0.05,
    });
    let by_pattern = json!({
        "peft_type": "LORA", "target_modules": "model\\.layers\\.(0|17)\\..*(w[123]|(?:in|out)_proj)",
        "exclude_modules": ".*(?<!self_attn)\\.out_proj", "lora_alpha": -1,
    });
    // A regular expression is capped in what it compiles to, and there are few.
    drive("adapter", &json(&[&adapter, &by_pattern]), &words, target::adapter_config);
    // Parsing makes a value of each token, and the vocabulary is capped by the embedding.
    drive("tokenizer", &json(&[&small.tokenizer]), &words, |bytes| target::tokenizer(dir.path(), bytes));

    let keys: Vec<&String> = small.tensors.keys().collect();
    let f32s = small.clone().cast(Dtype::F32);
    let seeds = [small.shard(&keys[..3]), small.shard(&keys), f32s.shard(&keys[2..5])];
    drive("safetensors", &seeds, &words, |bytes| target::safetensors(dir.path(), bytes));
}

fn drive(name: &str, seeds: &[Vec<u8>], words: &[&[u8]], target: impl Fn(&[u8]) -> bool) {
    let mut largest = 0;
    let (cases, accepted) = mutate::run(seeds, words, |bytes| {
        let (accepted, peak) = alloc::peak_during(|| target(bytes));
        assert!(peak <= (1 << 20) + 64 * bytes.len(), "{peak} bytes allocated for {}", bytes.len());
        largest = largest.max(peak);
        accepted
    });
    println!("{name}: {cases} cases, {accepted} accepted, at most {largest} bytes allocated");
    if cases >= 1000 {
        assert!(accepted > 0 && accepted < cases, "{name}: {accepted} of {cases} accepted");
    }
}
