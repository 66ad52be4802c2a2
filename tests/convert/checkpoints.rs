//! Checkpoints in every spelling and layout to float files.

use crate::checkpoint::{Checkpoint, FFN, HIDDEN, VOCAB};
use brooklet::Gguf;
use brooklet::gguf::Value as Meta;
use brooklet_kernels::{TensorType, format};
use brooklet_tools::convert::{self, FileType, Options, Report};
use safetensors::Dtype;
use serde_json::json;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A converted checkpoint and what it was made of.
pub struct Converted {
    pub gguf: Gguf,
    pub report: Report,
    pub bytes: Vec<u8>,
    _dir: TempDir,
}

/// Writes the checkpoint with `write` into a directory `LFM2-5M` and converts it.
pub fn convert_with(file_type: FileType, write: impl FnOnce(&Path)) -> Converted {
    let dir = tempfile::tempdir().expect("a directory");
    let checkpoint = dir.path().join("LFM2-5M");
    write(&checkpoint);
    let out = dir.path().join("out.gguf");
    let options = Options { file_type, ..Default::default() };
    let report = convert::convert(&checkpoint, &out, &options).expect("it converts");
    Converted {
        gguf: Gguf::open(&out).expect("it opens"),
        bytes: fs::read(&out).expect("it reads"),
        report,
        _dir: dir,
    }
}

pub fn convert(checkpoint: &Checkpoint, file_type: FileType) -> Converted {
    convert_with(file_type, |dir| checkpoint.write(dir))
}

/// A tensor's values.
pub fn values(gguf: &Gguf, name: &str) -> Vec<f32> {
    let view = gguf.tensor(name).unwrap_or_else(|| panic!("{name} is there"));
    let mut out = vec![0.0; view.info.shape.iter().product()];
    format::decode(view.info.ty, view.data, &mut out);
    out
}

/// Keys that two files do not share, with their values.
pub fn different_keys(a: &Gguf, b: &Gguf) -> Vec<String> {
    let all = |g: &Gguf| -> Vec<(String, String)> {
        g.metadata()
            .map(|(k, v)| match v {
                Meta::Array(array) => (k.to_string(), format!("{:?}", array.iter().collect::<Vec<_>>())),
                v => (k.to_string(), format!("{v:?}")),
            })
            .collect()
    };
    let (a, b) = (all(a), all(b));
    let missing = |x: &[(String, String)], y: &[(String, String)]| -> Vec<String> {
        x.iter().filter(|e| !y.contains(e)).map(|e| e.0.clone()).collect()
    };
    let mut keys = missing(&a, &b);
    keys.extend(missing(&b, &a));
    keys.sort();
    keys.dedup();
    keys
}

fn names(gguf: &Gguf) -> Vec<&str> {
    gguf.tensors().iter().map(|t| t.name.as_str()).collect()
}

#[test]
fn keys_names_and_shapes_are_llama_cpp_s() {
    let mut checkpoint = Checkpoint::small();
    checkpoint.generation = Some(json!({
        "eos_token_id": [7, 2], "temperature": 0.3, "top_k": 50, "top_p": null, "min_p": 0.15,
        "repetition_penalty": 1.05, "_from_model_config": true,
    }));
    let Converted { gguf, report, .. } = convert(&checkpoint, FileType::BF16);
    let number = |key: &str| gguf.get_usize(key).expect("a number");
    let float = |key: &str| gguf.get_f32(key).expect("a float");
    for (key, expected) in [
        ("lfm2.block_count", 3),
        ("lfm2.context_length", 1024),
        ("lfm2.embedding_length", HIDDEN),
        ("lfm2.feed_forward_length", FFN),
        ("lfm2.attention.head_count", 4),
        ("lfm2.vocab_size", VOCAB),
        ("lfm2.shortconv.l_cache", 3),
        ("general.file_type", 32),
        ("general.quantization_version", 2),
        ("general.sampling.top_k", 50),
        ("tokenizer.ggml.bos_token_id", 1),
        ("tokenizer.ggml.eos_token_id", 7),
        ("tokenizer.ggml.padding_token_id", 0),
    ] {
        assert_eq!(number(key), Some(expected), "{key}");
    }
    assert_eq!(float("lfm2.rope.freq_base"), Some(1e6));
    assert_eq!(float("lfm2.attention.layer_norm_rms_epsilon"), Some(1e-5));
    assert_eq!(float("general.sampling.temp"), Some(0.3));
    assert_eq!(float("general.sampling.min_p"), Some(0.15));
    assert_eq!(float("general.sampling.penalty_repeat"), Some(1.05));
    assert!(gguf.get("general.sampling.top_p").is_none());
    let kv: Vec<_> = gguf.get_array("lfm2.attention.head_count_kv").unwrap().unwrap().iter().collect();
    assert_eq!(kv, [Meta::I32(0), Meta::I32(2), Meta::I32(0)]);
    let eos: Vec<_> = gguf.get_array("brooklet.eos_token_ids").unwrap().unwrap().iter().collect();
    assert_eq!(eos, [Meta::U32(7), Meta::U32(2)]);
    let text = |key: &str| gguf.get_str(key).expect("a string");
    assert_eq!(text("general.architecture"), Some("lfm2"));
    assert_eq!(text("general.type"), Some("model"));
    assert_eq!(text("general.name"), Some("LFM2 5M"));
    // 5M is far from what the checkpoint holds, so it is taken for something else.
    assert_eq!(text("general.finetune"), Some("5m"));
    assert_eq!(text("general.size_label"), Some("120K"));
    // llama.cpp's converter writes them only where head_dim is stated.
    assert!(gguf.get("lfm2.attention.key_length").is_none());

    for (name, shape, ty) in [
        ("token_embd.weight", vec![HIDDEN, VOCAB], TensorType::BF16),
        ("token_embd_norm.weight", vec![HIDDEN], TensorType::F32),
        ("blk.0.shortconv.in_proj.weight", vec![HIDDEN, 3 * HIDDEN], TensorType::BF16),
        ("blk.0.shortconv.conv.weight", vec![3, HIDDEN], TensorType::F32),
        ("blk.1.attn_k.weight", vec![HIDDEN, HIDDEN / 2], TensorType::BF16),
        ("blk.1.attn_q_norm.weight", vec![HIDDEN / 4], TensorType::F32),
        ("blk.2.ffn_down.weight", vec![FFN, HIDDEN], TensorType::BF16),
    ] {
        let info = gguf.tensor(name).unwrap_or_else(|| panic!("{name}")).info;
        assert_eq!((&info.shape, info.ty), (&shape, ty), "{name}");
    }
    assert_eq!(gguf.tensors().len(), checkpoint.tensors.len());
    assert_eq!(report.types.values().map(|c| c.tensors).sum::<usize>(), checkpoint.tensors.len());
    assert_eq!(report.warnings, Vec::<String>::new());
}

#[test]
fn float_values_arrive_unchanged() {
    let checkpoint = Checkpoint::small();
    let expected = |hf: &str| checkpoint.values(hf);
    let pairs = [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("blk.1.ffn_gate.weight", "model.layers.1.feed_forward.w1.weight"),
        ("blk.1.ffn_up.weight", "model.layers.1.feed_forward.w3.weight"),
        ("blk.1.ffn_down.weight", "model.layers.1.feed_forward.w2.weight"),
        ("blk.1.attn_output.weight", "model.layers.1.self_attn.out_proj.weight"),
        ("blk.2.shortconv.conv.weight", "model.layers.2.conv.conv.weight"),
        ("blk.2.attn_norm.weight", "model.layers.2.operator_norm.weight"),
        ("token_embd_norm.weight", "model.embedding_norm.weight"),
    ];
    let f32s = checkpoint.clone().cast(Dtype::F32);
    for (source, to) in [
        (&checkpoint, FileType::F32),
        (&checkpoint, FileType::BF16),
        (&f32s, FileType::F32),
        (&f32s, FileType::BF16),
    ] {
        let converted = convert(source, to);
        for (gguf, hf) in pairs {
            assert_eq!(values(&converted.gguf, gguf), expected(hf), "{to} {gguf}");
        }
    }
    // BF16 to F16 and back rounds only what F16 cannot hold; these values lie in -1..1 on a grid of 2^-8 or finer.
    let f16 = convert(&checkpoint.clone().cast(Dtype::F16), FileType::F16);
    for (gguf, hf) in pairs {
        let rounded: Vec<f32> = expected(hf).iter().map(|v| half::f16::from_f32(*v).to_f32()).collect();
        assert_eq!(values(&f16.gguf, gguf), rounded, "{gguf}");
    }
}

#[test]
fn shards_make_the_same_file() {
    let checkpoint = Checkpoint::small();
    let single = convert(&checkpoint, FileType::Q8_0);
    for n in [1, 2, 5] {
        let sharded = convert_with(FileType::Q8_0, |dir| checkpoint.write_sharded(dir, n));
        assert!(sharded.bytes == single.bytes, "{n} shards");
    }
}

#[test]
fn threads_do_not_change_the_file() {
    let run = |n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("a pool");
        pool.install(|| convert(&Checkpoint::small(), FileType::Q4_0).bytes)
    };
    let one = run(1);
    assert!([2, 7].into_iter().all(|n| run(n) == one));
}

/// Both spellings of every field, transformers' newer and Liquid's own.
#[test]
fn spellings_of_the_config_agree() {
    let small = convert(&Checkpoint::small(), FileType::BF16);
    let liquid = Checkpoint::small()
        .unset("hidden_size")
        .set("block_dim", json!(HIDDEN))
        .unset("num_attention_heads")
        .set("num_heads", json!(4))
        .unset("norm_eps")
        .set("block_norm_eps", json!(1e-5))
        .unset("rope_theta")
        .set("theta", json!(1e6));
    let newer = Checkpoint::small()
        .unset("block_ff_dim")
        .set("intermediate_size", json!(FFN))
        .unset("full_attn_idxs")
        .set("layer_types", json!(["conv", "full_attention", "conv"]))
        .unset("rope_theta")
        .set("rope_parameters", json!({"rope_theta": 1e6, "rope_type": "default"}))
        .unset("tie_embedding")
        .set("tie_word_embeddings", json!(true))
        .unset("torch_dtype")
        .set("dtype", json!("bfloat16"));
    // 2/3 of 132 is 88, rounded up to a multiple of 32.
    let adjusted = Checkpoint::small()
        .set("block_auto_adjust_ff_dim", json!(true))
        .set("block_ff_dim", json!(132))
        .set("block_ffn_dim_multiplier", json!(1.0))
        .set("block_multiple_of", json!(32));
    // transformers takes layer_types, tie_embedding and block_ff_dim where both spellings are there.
    let both = newer
        .clone()
        .set("full_attn_idxs", json!([0]))
        .set("tie_word_embeddings", json!(false))
        .set("tie_embedding", json!(true))
        .set("intermediate_size", json!(7))
        .set("block_ff_dim", json!(FFN));
    for checkpoint in [liquid, newer, adjusted, both] {
        let other = convert(&checkpoint, FileType::BF16);
        assert!(other.bytes == small.bytes, "{}", checkpoint.config);
        assert_eq!(other.report.warnings, Vec::<String>::new());
    }
}

#[test]
fn the_official_fields_are_known() {
    let official = json!({
        "block_mlp_init_scale": 1.0, "block_out_init_scale": 1.0, "block_use_swiglu": true,
        "block_use_xavier_init": true, "conv_dim": HIDDEN, "conv_dim_out": HIDDEN,
        "conv_use_xavier_init": true, "num_heads": 4, "use_pos_enc": true, "theta": 1e6,
        "block_dim": HIDDEN, "block_norm_eps": 1e-5, "initializer_range": 0.02, "use_cache": true,
        "transformers_version": "4.54.0",
    });
    let mut checkpoint = Checkpoint::small();
    for (key, value) in official.as_object().unwrap() {
        checkpoint = checkpoint.set(key, value.clone());
    }
    assert_eq!(convert(&checkpoint, FileType::BF16).report.warnings, Vec::<String>::new());

    let checkpoint = checkpoint.set("my_field", json!(1)).set("another", json!(null));
    let warnings = convert(&checkpoint, FileType::BF16).report.warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("my_field") && warnings[0].contains("another"), "{warnings:?}");
}

#[test]
fn the_tensors_decide_the_feed_forward_width() {
    let converted = convert(&Checkpoint::small().set("block_ff_dim", json!(1000)), FileType::BF16);
    assert_eq!(converted.gguf.get_usize("lfm2.feed_forward_length").unwrap(), Some(FFN));
    let warning = &converted.report.warnings[0];
    assert!(warning.contains("1000") && warning.contains("96"), "{warning}");
}

#[test]
fn head_dim_is_written_where_it_is_stated() {
    // 4 heads of 32: wider than the hidden size.
    let mut checkpoint = Checkpoint::small().set("head_dim", json!(32));
    for (name, shape) in [
        ("q_proj", vec![128, HIDDEN]),
        ("k_proj", vec![64, HIDDEN]),
        ("v_proj", vec![64, HIDDEN]),
        ("out_proj", vec![HIDDEN, 128]),
        ("q_layernorm", vec![32]),
        ("k_layernorm", vec![32]),
    ] {
        checkpoint.add(&format!("model.layers.1.self_attn.{name}.weight"), &shape);
    }
    let gguf = convert(&checkpoint, FileType::F32).gguf;
    assert_eq!(gguf.get_usize("lfm2.attention.key_length").unwrap(), Some(32));
    assert_eq!(gguf.get_usize("lfm2.attention.value_length").unwrap(), Some(32));
    assert_eq!(gguf.tensor("blk.1.attn_output.weight").unwrap().info.shape, [128, HIDDEN]);
}

#[test]
fn other_convolution_widths_work() {
    for taps in [2, 7] {
        let mut checkpoint = Checkpoint::small().set("conv_L_cache", json!(taps));
        for layer in [0, 2] {
            checkpoint.add(&format!("model.layers.{layer}.conv.conv.weight"), &[HIDDEN, 1, taps]);
        }
        let gguf = convert(&checkpoint, FileType::Q4_0).gguf;
        assert_eq!(gguf.get_usize("lfm2.shortconv.l_cache").unwrap(), Some(taps));
        let expected = checkpoint.values("model.layers.2.conv.conv.weight");
        assert_eq!(values(&gguf, "blk.2.shortconv.conv.weight"), expected);
    }
}

#[test]
fn an_untied_head_is_kept() {
    let mut checkpoint = Checkpoint::small().set("tie_embedding", json!(false));
    checkpoint.add("lm_head.weight", &[VOCAB, HIDDEN]);
    let gguf = convert(&checkpoint, FileType::BF16).gguf;
    assert_eq!(values(&gguf, "output.weight"), checkpoint.values("lm_head.weight"));
}

/// As transformers: a head beside a tied embedding counts only where it differs.
#[test]
fn a_redundant_head_is_dropped() {
    let mut checkpoint = Checkpoint::small();
    let embedding = checkpoint.tensor("model.embed_tokens.weight").clone();
    checkpoint.tensors.insert("lm_head.weight".into(), embedding);
    let plain = convert(&Checkpoint::small(), FileType::BF16);
    let redundant = convert(&checkpoint, FileType::BF16);
    assert!(redundant.bytes == plain.bytes);

    checkpoint.add("lm_head.weight", &[VOCAB, HIDDEN]);
    let other = convert(&checkpoint, FileType::BF16);
    assert!(names(&other.gguf).contains(&"output.weight"));
    assert!(other.report.warnings[0].contains("lm_head.weight"), "{:?}", other.report.warnings);
}

#[test]
fn the_model_card_names_licence_and_languages() {
    let converted = convert_with(FileType::BF16, |dir| {
        Checkpoint::small().write(dir);
        let card = "---\nlicense: other\nlicense_name: lfm1.0\nlicense_link: LICENSE\nlanguage:\n- en\n- no\n\
                    pipeline_tag: text-generation\ntags:\n- liquid\n- lfm2\nbase_model: LiquidAI/LFM2-350M\n---\n";
        fs::write(dir.join("README.md"), card).expect("written");
    });
    let gguf = &converted.gguf;
    let text = |key: &str| gguf.get_str(key).expect("a string");
    assert_eq!(text("general.license"), Some("other"));
    assert_eq!(text("general.license.name"), Some("lfm1.0"));
    assert_eq!(text("general.license.link"), Some("LICENSE"));
    assert_eq!(text("general.base_model.0.name"), Some("LFM2 350M"));
    assert_eq!(text("general.base_model.0.organization"), Some("LiquidAI"));
    assert_eq!(text("general.base_model.0.repo_url"), Some("https://huggingface.co/LiquidAI/LFM2-350M"));
    assert_eq!(gguf.get_usize("general.base_model.count").unwrap(), Some(1));
    let list = |key: &str| -> Vec<String> {
        let array = gguf.get_array(key).unwrap().unwrap();
        array.iter().map(|v| v.as_str().unwrap().to_string()).collect()
    };
    assert_eq!(list("general.tags"), ["liquid", "lfm2", "text-generation"]);
    assert_eq!(list("general.languages"), ["en", "no"]);
}
