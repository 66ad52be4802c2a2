//! Small LFM2 checkpoints, made here and written with the `safetensors` crate.

#![allow(dead_code, reason = "each test binary uses a part")]

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// LFM2's pre-tokenizer, spelled out again so that a change in the converter shows.
pub const REGEX: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A checkpoint that tests change before they write it.
#[derive(Clone)]
pub struct Checkpoint {
    pub config: Value,
    pub tensors: BTreeMap<String, Tensor>,
    pub tokenizer: Value,
    pub tokenizer_config: Value,
    pub generation: Option<Value>,
}

#[derive(Clone)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

pub const HIDDEN: usize = 64;
pub const FFN: usize = 96;
pub const VOCAB: usize = 300;
/// Entries of the tokenizer; the embedding's other rows are holes.
pub const TOKENS: usize = 10 + 256 + 6 + 2;

impl Checkpoint {
    /// Three layers (conv, attention, conv), tied, BF16, every value random.
    pub fn small() -> Checkpoint {
        let config = json!({
            "architectures": ["Lfm2ForCausalLM"],
            "model_type": "lfm2",
            "vocab_size": VOCAB,
            "hidden_size": HIDDEN,
            "block_ff_dim": FFN,
            "block_auto_adjust_ff_dim": false,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "full_attn_idxs": [1],
            "conv_L_cache": 3,
            "conv_bias": false,
            "norm_eps": 1e-5,
            "rope_theta": 1e6,
            "max_position_embeddings": 1024,
            "tie_embedding": true,
            "bos_token_id": 1,
            "eos_token_id": 7,
            "pad_token_id": 0,
            "torch_dtype": "bfloat16",
        });
        let mut out = Checkpoint {
            config,
            tensors: BTreeMap::new(),
            tokenizer: tokenizer(),
            tokenizer_config: json!({
                "add_bos_token": true,
                "add_eos_token": false,
                "bos_token": "<|startoftext|>",
                "eos_token": {"content": "<|im_end|>", "special": true},
                "pad_token": "<|pad|>",
                "chat_template": "{{ bos_token }}{{ messages }}",
            }),
            generation: None,
        };
        let (h, f) = (HIDDEN, FFN);
        out.add("model.embed_tokens.weight", &[VOCAB, h]);
        out.add("model.embedding_norm.weight", &[h]);
        for layer in 0..3 {
            let mut add = |name: &str, shape: &[usize]| {
                out.add(&format!("model.layers.{layer}.{name}.weight"), shape);
            };
            add("operator_norm", &[h]);
            add("ffn_norm", &[h]);
            add("feed_forward.w1", &[f, h]);
            add("feed_forward.w3", &[f, h]);
            add("feed_forward.w2", &[h, f]);
            if layer == 1 {
                add("self_attn.q_proj", &[h, h]);
                add("self_attn.k_proj", &[h / 2, h]);
                add("self_attn.v_proj", &[h / 2, h]);
                add("self_attn.out_proj", &[h, h]);
                add("self_attn.q_layernorm", &[h / 4]);
                add("self_attn.k_layernorm", &[h / 4]);
            } else {
                add("conv.in_proj", &[3 * h, h]);
                add("conv.conv", &[h, 1, 3]);
                add("conv.out_proj", &[h, h]);
            }
        }
        out
    }

    /// Adds or replaces a BF16 tensor of values that depend on its name and position.
    pub fn add(&mut self, name: &str, shape: &[usize]) {
        let seed = name.bytes().fold(7u32, |s, b| s.wrapping_mul(31).wrapping_add(b.into()));
        let data = (0..shape.iter().product::<usize>() as u32)
            .flat_map(|i| {
                let x = (seed ^ i).wrapping_mul(0x9e37_79b9).wrapping_add(i) >> 8;
                half::bf16::from_f32(x as f32 / (1 << 23) as f32 - 1.0).to_le_bytes()
            })
            .collect();
        self.tensors.insert(name.into(), Tensor { dtype: Dtype::BF16, shape: shape.into(), data });
    }

    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.get_mut(name).expect("the tensor is there")
    }

    /// The values of a BF16 tensor.
    pub fn values(&self, name: &str) -> Vec<f32> {
        let tensor = &self.tensors[name];
        assert_eq!(tensor.dtype, Dtype::BF16);
        tensor.data.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
    }

    /// All tensors as F32 or F16.
    pub fn cast(mut self, dtype: Dtype) -> Checkpoint {
        let names: Vec<String> = self.tensors.keys().cloned().collect();
        for name in names {
            let values = self.values(&name);
            let tensor = self.tensor(&name);
            tensor.dtype = dtype;
            tensor.data = match dtype {
                Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
                Dtype::F16 => values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
                other => panic!("{other:?}"),
            };
        }
        self
    }

    pub fn set(mut self, field: &str, value: Value) -> Checkpoint {
        self.config[field] = value;
        self
    }

    pub fn unset(mut self, field: &str) -> Checkpoint {
        self.config.as_object_mut().expect("an object").remove(field);
        self
    }

    /// Writes the directory with one safetensors file.
    pub fn write(&self, dir: &Path) {
        self.write_json(dir);
        let all: Vec<&String> = self.tensors.keys().collect();
        fs::write(dir.join("model.safetensors"), self.shard(&all)).expect("written");
    }

    /// Writes the directory with `n` shards and an index.
    pub fn write_sharded(&self, dir: &Path, n: usize) {
        self.write_json(dir);
        let names: Vec<&String> = self.tensors.keys().collect();
        let mut map = Map::new();
        for (i, part) in names.chunks(names.len().div_ceil(n)).enumerate() {
            let file = format!("model-{:05}-of-{n:05}.safetensors", i + 1);
            fs::write(dir.join(&file), self.shard(part)).expect("written");
            map.extend(part.iter().map(|name| (name.to_string(), file.clone().into())));
        }
        let index = json!({"metadata": {}, "weight_map": map});
        fs::write(dir.join("model.safetensors.index.json"), index.to_string()).expect("written");
    }

    /// The bytes of a safetensors file of these tensors.
    pub fn shard(&self, names: &[&String]) -> Vec<u8> {
        let views = names.iter().map(|name| {
            let t = &self.tensors[*name];
            let view = TensorView::new(t.dtype, t.shape.clone(), &t.data).expect("shape and data agree");
            (name.as_str(), view)
        });
        safetensors::serialize(views, None).expect("it serializes")
    }

    fn write_json(&self, dir: &Path) {
        fs::create_dir_all(dir).expect("a directory");
        let put = |name: &str, value: &Value| fs::write(dir.join(name), value.to_string()).expect("written");
        put("config.json", &self.config);
        put("tokenizer.json", &self.tokenizer);
        put("tokenizer_config.json", &self.tokenizer_config);
        if let Some(generation) = &self.generation {
            put("generation_config.json", generation);
        }
    }
}

/// Ten control tokens, the bytes, six merges and two added tokens that are not special.
fn tokenizer() -> Value {
    let special = [
        "<|pad|>",
        "<|startoftext|>",
        "<|endoftext|>",
        "<|fim_pre|>",
        "<|fim_mid|>",
        "<|fim_suf|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|tool_list_start|>",
        "<|tool_list_end|>",
    ];
    let merges = [["h", "e"], ["Ġ", "he"], ["l", "l"], ["ll", "o"], ["Ġ", "a"], ["i", "n"]];
    // Bytes that print stand for themselves, the others for 256 and up.
    let prints = |b: &u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let rest = (0..256).filter(|b| !prints(b)).count() as u32;
    let bytes = (0..256).filter(prints).chain(256..256 + rest).filter_map(char::from_u32);
    let tokens = special
        .iter()
        .map(|s| s.to_string())
        .chain(bytes.map(String::from))
        .chain(merges.iter().map(|m| m.concat()));
    let vocab: Map<String, Value> = tokens.enumerate().map(|(id, t)| (t, id.into())).collect();
    let added = |id: usize, content: &str, special: bool| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": !special, "special": special})
    };
    let mut list: Vec<Value> = special.iter().enumerate().map(|(id, s)| added(id, s, true)).collect();
    list.push(added(TOKENS - 2, "python", false));
    list.push(added(TOKENS - 1, "Mathias", false));
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": list,
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": REGEX}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<|startoftext|>", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "<|startoftext|>", "type_id": 0}},
                     {"Sequence": {"id": "A", "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<|startoftext|>":
                {"id": "<|startoftext|>", "ids": [1], "tokens": ["<|startoftext|>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges},
    })
}
