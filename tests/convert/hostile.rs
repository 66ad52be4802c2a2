//! Damaged, lying and hostile checkpoints: one case an attack, an error that names the thing, nothing left behind.

use crate::checkpoint::{Checkpoint, HIDDEN, VOCAB};
use brooklet_tools::convert::{self, ConvertError, FileType, Options};
use safetensors::Dtype;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Converts what `write` makes; it must fail with all of `expected` in the message and leave nothing.
fn refused(expected: &[&str], write: impl FnOnce(&Path)) -> ConvertError {
    let dir = tempfile::tempdir().expect("a directory");
    let checkpoint = dir.path().join("model");
    fs::create_dir(&checkpoint).expect("a directory");
    write(&checkpoint);
    let outputs = dir.path().join("out");
    fs::create_dir(&outputs).expect("a directory");
    let options = Options { file_type: FileType::Q8_0, ..Default::default() };
    let outcome = convert::convert(&checkpoint, &outputs.join("out.gguf"), &options);
    let error = outcome.map(|_| ()).expect_err(&format!("{expected:?} is refused"));
    let text = error.to_string();
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(text.len() < 1000, "a message of {} bytes", text.len());
    assert_eq!(fs::read_dir(&outputs).expect("it reads").count(), 0, "something was left: {text}");
    error
}

fn config_refused(field: &str, value: Value, expected: &[&str]) {
    let checkpoint = Checkpoint::small().set(field, value);
    refused(&[&["config.json"], expected].concat(), |dir| checkpoint.write(dir));
}

#[test]
fn another_model_is_no_lfm2() {
    for (field, value, expected) in [
        ("architectures", json!(["LlamaForCausalLM"]), "LlamaForCausalLM"),
        ("architectures", json!(["Lfm2MoeForCausalLM"]), "mixture of experts"),
        ("architectures", json!(["Lfm2VlForConditionalGeneration"]), "vision"),
        ("architectures", json!("Lfm2ForCausalLM"), "architectures is text"),
        ("architectures", json!([]), "none"),
        ("model_type", json!("llama"), "llama"),
    ] {
        let mut checkpoint = Checkpoint::small().set(field, value);
        if expected == "none" {
            checkpoint = checkpoint.unset("model_type").unset("architectures");
        }
        refused(&["is no LFM2 checkpoint", expected], |dir| checkpoint.write(dir));
    }
    refused(&["is no LFM2 checkpoint", "no config.json"], |_| {});
    refused(&["is no LFM2 checkpoint", "no directory"], |dir| fs::remove_dir(dir).unwrap());
    let error = refused(&["is no LFM2 checkpoint", "model.safetensors"], |dir| {
        Checkpoint::small().write(dir);
        fs::remove_file(dir.join("model.safetensors")).unwrap();
    });
    assert!(matches!(error, ConvertError::NotLfm2 { .. }));
}

#[test]
fn settings_that_change_the_computation_are_refused() {
    for (field, value) in [
        ("conv_bias", json!(true)),
        ("attention_bias", json!(true)),
        ("block_use_swiglu", json!(false)),
        ("use_pos_enc", json!(false)),
        ("is_causal", json!(false)),
        ("hidden_act", json!("gelu")),
        ("partial_rotary_factor", json!(0.5)),
        ("sliding_window", json!(512)),
        ("conv_dim", json!(HIDDEN + 1)),
        ("quantization_config", json!({"bits": 4})),
        ("final_logit_softcapping", json!(30.0)),
        ("num_experts", json!(8)),
        ("text_config", json!({})),
    ] {
        let shown = value.to_string();
        config_refused(field, value, &[field, &shown, "not supported"]);
    }
    config_refused("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), &["RoPE of type \"yarn\""]);
    config_refused("rope_scaling", json!({"type": "linear", "factor": 2}), &["RoPE of type \"linear\""]);
    config_refused("rope_parameters", json!({"factor": 2, "rope_theta": 1e6}), &["RoPE setting factor = 2"]);
    config_refused("rope_parameters", json!({"full_attention": {"rope_theta": 1e6}}), &["full_attention"]);
    config_refused("layer_types", json!(["conv", "sliding_attention", "conv"]), &["sliding_attention"]);
}

#[test]
fn config_values_out_of_range_are_named() {
    for (field, value) in [
        ("hidden_size", json!(0)),
        ("hidden_size", json!(-64)),
        ("hidden_size", json!(64.5)),
        ("hidden_size", json!("64")),
        ("hidden_size", json!(1u64 << 40)),
        ("vocab_size", json!(u64::MAX)),
        ("num_hidden_layers", json!(1_000_000_000)),
        ("num_attention_heads", json!(5)),
        ("num_key_value_heads", json!(3)),
        ("num_key_value_heads", json!(0)),
        ("head_dim", json!(15)),
        ("conv_L_cache", json!(1)),
        ("norm_eps", json!(0)),
        ("norm_eps", json!(1e300)),
        ("rope_theta", json!(-1)),
        ("rope_scaling", json!(4)),
        ("tie_embedding", json!("yes")),
        ("full_attn_idxs", json!([3])),
        ("full_attn_idxs", json!(1)),
        ("layer_types", json!(["conv"])),
        ("layer_types", json!({})),
        ("eos_token_id", json!("x")),
        ("eos_token_id", json!([1, -1])),
        ("max_position_embeddings", json!(0)),
    ] {
        let name = if field == "num_attention_heads" { "hidden_size" } else { field };
        let field_set = Checkpoint::small().set(field, value);
        let checkpoint = match field {
            "num_attention_heads" => field_set.set("num_key_value_heads", json!(1)),
            _ => field_set,
        };
        refused(&["config.json", name, "expected", "found"], |dir| checkpoint.write(dir));
    }
}

#[test]
fn json_that_is_damaged_is_refused_with_its_place() {
    let deep = "[".repeat(100_000);
    let deep_object = r#"{"a":"#.repeat(100_000);
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        for text in ["", "{", "[]", "null", "{\"a\": 1}x", "\u{feff}{}", &deep, &deep_object] {
            refused(&[name], |dir| {
                Checkpoint::small().write(dir);
                fs::write(dir.join(name), text).unwrap();
            });
        }
        refused(&[name], |dir| {
            Checkpoint::small().write(dir);
            fs::write(dir.join(name), [b'"', 0xff, b'"']).unwrap();
        });
    }
    refused(&["tokenizer.json", "No such file"], |dir| {
        Checkpoint::small().write(dir);
        fs::remove_file(dir.join("tokenizer.json")).unwrap();
    });
    for (field, value) in [
        ("eos_token_id", json!({})),
        ("top_k", json!(0.5)),
        ("min_p", json!("0.1")),
        ("temperature", json!(-1)),
    ] {
        let mut checkpoint = Checkpoint::small();
        checkpoint.generation = Some(json!({field: value}));
        refused(&["generation_config.json", field, "expected"], |dir| checkpoint.write(dir));
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let mut missing = Checkpoint::small();
    missing.tensors.remove("model.layers.1.self_attn.k_proj.weight");
    refused(&["model.layers.1.self_attn.k_proj.weight", "no such tensor"], |dir| missing.write(dir));

    let mut unknown = Checkpoint::small();
    unknown.add("model.layers.1.self_attn.k_proj.bias", &[32]);
    refused(&["model.layers.1.self_attn.k_proj.bias", "unknown"], |dir| unknown.write(dir));

    let mut shape = Checkpoint::small();
    shape.add("model.layers.2.conv.conv.weight", &[HIDDEN, 3]);
    refused(&["conv.conv.weight", "[64, 1, 3]", "[64, 3]"], |dir| shape.write(dir));

    let untied = Checkpoint::small().set("tie_embedding", json!(false));
    refused(&["lm_head.weight", "no such tensor"], |dir| untied.write(dir));

    let rows = Checkpoint::small().set("vocab_size", json!(VOCAB + 1));
    refused(&["model.embed_tokens.weight", "[301, 64]", "[300, 64]"], |dir| rows.write(dir));

    let mut dtype = Checkpoint::small();
    let tensor = dtype.tensor("model.layers.0.feed_forward.w1.weight");
    tensor.dtype = Dtype::I64;
    tensor.data = vec![0; tensor.shape.iter().product::<usize>() * 8];
    refused(&["w1.weight", "F32, F16 or BF16", "I64"], |dir| dtype.write(dir));

    let mut empty = Checkpoint::small();
    empty.tensor("model.layers.0.feed_forward.w1.weight").shape[0] = 0;
    empty.tensor("model.layers.0.feed_forward.w1.weight").data.clear();
    refused(&["w1.weight", "[0, 64]"], |dir| empty.write(dir));
}

#[test]
fn values_that_no_model_has_are_refused() {
    for (value, expected) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (1e6, "65504")] {
        let mut checkpoint = Checkpoint::small();
        let data = &mut checkpoint.tensor("model.layers.2.feed_forward.w2.weight").data;
        let at = data.len() - 2;
        data[at..].copy_from_slice(&half::bf16::from_f32(value).to_le_bytes());
        refused(&["model.layers.2.feed_forward.w2.weight", expected], |dir| checkpoint.write(dir));
    }
}

/// Writes a checkpoint, then changes the bytes of its safetensors file.
fn edited(expected: &[&str], edit: impl FnOnce(&mut Vec<u8>)) {
    refused(&[&["model.safetensors"], expected].concat(), |dir| {
        Checkpoint::small().write(dir);
        let path = dir.join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        edit(&mut bytes);
        fs::write(path, bytes).unwrap();
    });
}

/// As [`edited`], on the parsed header.
fn header_edited(expected: &[&str], edit: impl FnOnce(&mut Value)) {
    edited(expected, |bytes| {
        let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
        edit(&mut header);
        let header = header.to_string();
        let data = bytes.split_off(8 + len);
        bytes.clear();
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(data);
    });
}

#[test]
fn safetensors_files_that_lie_are_refused() {
    edited(&["at least 8 bytes", "found 0"], Vec::clear);
    edited(&["at least 8 bytes", "found 7"], |b| b.truncate(7));
    edited(&["header length"], |b| b.truncate(100));
    edited(&["truncated"], |b| b.truncate(b.len() - 1));
    edited(&["describes", "follow"], |b| b.push(0));
    edited(&["header length"], |b| b[..8].copy_from_slice(&u64::MAX.to_le_bytes()));
    edited(&["header length"], |b| b[..8].copy_from_slice(&(1u64 << 40).to_le_bytes()));
    edited(&["header does not parse"], |b| b[..8].copy_from_slice(&0u64.to_le_bytes()));
    edited(&["header does not parse"], |b| b[..8].copy_from_slice(&20u64.to_le_bytes()));
    edited(&["header does not parse"], |b| b[8] = b'[');
    edited(&["header does not parse"], |b| b[20] = 0xff);

    let name = "model.layers.0.feed_forward.w1.weight";
    let offsets = move |h: &Value| -> (u64, u64) {
        let at = |i: usize| h[name]["data_offsets"][i].as_u64().unwrap();
        (at(0), at(1))
    };
    header_edited(&[name], |h| {
        let (start, end) = offsets(h);
        h[name]["data_offsets"] = json!([start + 2, end + 2]);
    });
    header_edited(&["header"], |h| {
        let (start, end) = offsets(h);
        h[name]["data_offsets"] = json!([end, start]);
    });
    header_edited(&["header"], |h| h[name]["data_offsets"] = json!([0, u64::MAX]));
    header_edited(&["header"], |h| h[name]["data_offsets"] = json!([-1, 5]));
    header_edited(&["header"], |h| h[name]["shape"] = json!([1u64 << 62, 64]));
    header_edited(&["header"], |h| h[name]["shape"] = json!([96, 65]));
    header_edited(&["header"], |h| h[name]["dtype"] = json!("BF17"));
    header_edited(&["header"], |h| h[name]["dtype"] = json!("F32"));
    header_edited(&["header"], |h| drop(h.as_object_mut().unwrap().remove(name)));
    header_edited(&["header"], |h| h["__metadata__"] = json!({"a": 1}));
    // Two tensors over the same bytes.
    header_edited(&["header"], |h| {
        h["model.layers.0.feed_forward.w3.weight"]["data_offsets"] = h[name]["data_offsets"].clone();
    });
}

#[test]
fn shards_that_do_not_agree_are_refused() {
    let index = "model.safetensors.index.json";
    let edit = |expected: &[&str], edit: &dyn Fn(&Path, &mut Value)| {
        refused(expected, |dir| {
            Checkpoint::small().write_sharded(dir, 2);
            let path = dir.join(index);
            let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            edit(dir, &mut json);
            fs::write(path, json.to_string()).unwrap();
        });
    };
    let name = "model.embed_tokens.weight";
    let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    edit(&[index, second, "files that are there"], &|dir, _| fs::remove_file(dir.join(second)).unwrap());
    for outside in ["../x.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", "."] {
        edit(&[index, "plain file names"], &|_, json| json["weight_map"][name] = json!(outside));
    }
    edit(&[index, name, second], &|_, json| json["weight_map"][name] = json!(second));
    edit(&[index, "model.ghost.weight"], &|_, json| json["weight_map"]["model.ghost.weight"] = json!(first));
    edit(&[index, name, "missing"], &|_, json| {
        drop(json["weight_map"].as_object_mut().unwrap().remove(name));
    });
    edit(&[index, "weight_map"], &|_, json| *json = json!({}));
    edit(&[index], &|_, json| json["weight_map"][name] = json!(1));
    edit(&[name, first, "one shard", "extra.safetensors"], &|dir, json| {
        fs::copy(dir.join(first), dir.join("extra.safetensors")).unwrap();
        json["weight_map"]["model.ghost.weight"] = json!("extra.safetensors");
    });
}

#[test]
fn tokenizers_of_another_kind_are_refused() {
    type Case<'a> = (&'a [&'a str], &'a dyn Fn(&mut Value));
    let cases: Vec<Case<'_>> = vec![
        (&["model", "byte-level BPE", "Unigram"], &|t| t["model"]["type"] = json!("Unigram")),
        (&["model", "byte-level BPE"], &|t| t["model"]["vocab"] = json!([["a", 0.0]])),
        (&["model", "byte-level BPE"], &|t| t["model"] = json!(null)),
        (&["normalizer", "NFC"], &|t| t["normalizer"] = json!({"type": "NFC"})),
        (&["pre_tokenizer", "Whitespace"], &|t| t["pre_tokenizer"] = json!({"type": "Whitespace"})),
        (&["pre_tokenizer"], &|t| t["pre_tokenizer"] = json!(null)),
        (&["pre_tokenizer"], &|t| t["pre_tokenizer"]["pretokenizers"][0]["behavior"] = json!("Removed")),
        (&["pre_tokenizer"], &|t| t["pre_tokenizer"]["pretokenizers"][0]["invert"] = json!(true)),
        (&["pre_tokenizer"], &|t| {
            t["pre_tokenizer"]["pretokenizers"][0]["pattern"] = json!({"String": " "});
        }),
        (&["pre_tokenizer"], &|t| t["pre_tokenizer"]["pretokenizers"][1]["use_regex"] = json!(true)),
        (&["pre_tokenizer"], &|t| t["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = json!(true)),
        (&["decoder"], &|t| t["decoder"] = json!({"type": "WordPiece"})),
        (&["post_processor", "BertProcessing"], &|t| t["post_processor"] = json!({"type": "BertProcessing"})),
        (&["post_processor"], &|t| t["post_processor"]["single"] = json!([])),
        (&["post_processor", "<|pad|>"], &|t| {
            t["post_processor"]["single"][0]["SpecialToken"]["id"] = json!("<|pad|>");
        }),
        (&["model.dropout"], &|t| t["model"]["dropout"] = json!(0.1)),
        (&["model.end_of_word_suffix"], &|t| t["model"]["end_of_word_suffix"] = json!("</w>")),
        (&["256 bytes"], &|t| {
            t["model"]["unk_token"] = json!("<unk>");
            drop(t["model"]["vocab"].as_object_mut().unwrap().remove("A"));
        }),
        (&["ignore_merges"], &|t| t["model"]["ignore_merges"] = json!("no")),
        (&["token id", "\"z\""], &|t| t["model"]["vocab"]["z"] = json!(11)),
        (&["model.vocab", "-1"], &|t| t["model"]["vocab"]["z"] = json!(-1)),
        (&["vocab_size = 300", "300"], &|t| t["model"]["vocab"]["new"] = json!(VOCAB)),
        (&["vocab_size = 300", "4000000000"], &|t| t["added_tokens"][0]["id"] = json!(4_000_000_000u32)),
        (&["token id 20", "python"], &|t| t["added_tokens"][10]["id"] = json!(20)),
        (&["added_tokens"], &|t| t["added_tokens"] = json!({})),
        (&["added_tokens"], &|t| t["added_tokens"][0] = json!({"id": 0})),
        (&["added_tokens"], &|t| t["added_tokens"][0]["content"] = json!("")),
        (&["lstrip"], &|t| t["added_tokens"][0]["lstrip"] = json!(1)),
        (&["model.merges[0]"], &|t| t["model"]["merges"][0] = json!("a b c")),
        (&["model.merges[1]"], &|t| t["model"]["merges"][1] = json!(["a"])),
        (&["model.merges[2]", "lacks \"yz\""], &|t| t["model"]["merges"][2] = json!(["x", "yz"])),
        (&["model.merges[2]", "lacks \"xy\""], &|t| t["model"]["merges"][2] = json!(["x", "y"])),
        (&["model.merges"], &|t| t["model"]["merges"] = json!("a b")),
    ];
    for (expected, edit) in cases {
        let mut checkpoint = Checkpoint::small();
        edit(&mut checkpoint.tokenizer);
        let tokenizer_json: &[&str] = &["tokenizer.json"];
        refused(&[tokenizer_json, expected].concat(), |dir| checkpoint.write(dir));
    }
    let mut checkpoint = Checkpoint::small();
    checkpoint.tokenizer_config["chat_template"] = json!(5);
    refused(&["tokenizer_config.json", "chat_template"], |dir| checkpoint.write(dir));
}

#[test]
fn the_output_must_be_writable_and_no_input() {
    let dir = tempfile::tempdir().expect("a directory");
    Checkpoint::small().write(dir.path());
    let convert = |out: &Path| convert::convert(dir.path(), out, &Options::default()).map(|_| ());
    let error = convert(&dir.path().join("missing/out.gguf")).expect_err("no directory").to_string();
    assert!(error.contains("missing") && error.contains("No such file"), "{error}");
    let before = fs::read(dir.path().join("model.safetensors")).expect("it reads");
    let error = convert(&dir.path().join("model.safetensors")).expect_err("the input").to_string();
    assert!(error.contains("both input and output"), "{error}");
    assert!(fs::read(dir.path().join("model.safetensors")).expect("it reads") == before);
    // A file that is there is replaced, and stays where the conversion fails.
    let out = dir.path().join("out.gguf");
    fs::write(&out, "old").expect("written");
    fs::rename(dir.path().join("config.json"), dir.path().join("away")).expect("renamed");
    convert(&out).expect_err("no config");
    assert_eq!(fs::read(&out).expect("it reads"), b"old");
    fs::rename(dir.path().join("away"), dir.path().join("config.json")).expect("renamed");
    convert(&out).expect("it converts");
    assert!(fs::read(&out).expect("it reads").starts_with(b"GGUF"));
}

#[test]
fn cancelling_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    Checkpoint::small().write(dir.path());
    let before = fs::read_dir(dir.path()).expect("it reads").count();
    let cancel = std::sync::atomic::AtomicBool::new(true);
    let options = Options { cancel: Some(&cancel), ..Default::default() };
    let outcome = convert::convert(dir.path(), &dir.path().join("out.gguf"), &options);
    assert!(matches!(outcome, Err(ConvertError::Cancelled)));
    assert_eq!(fs::read_dir(dir.path()).expect("it reads").count(), before);
}
