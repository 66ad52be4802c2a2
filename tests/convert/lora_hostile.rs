//! Adapters that do not fit, lie or cannot be merged: one case an attack, an error that names the thing. And what becomes of
//! a tied head.

use crate::checkpoint::{Checkpoint, FFN, HIDDEN, Tensor, VOCAB};
use crate::checkpoints::values;
use crate::mutate;
use brooklet::Gguf;
use brooklet_tools::convert::{self, FileType, Options, Report};
use safetensors::Dtype;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// An adapter that tests change before they write it.
struct Adapter {
    config: Value,
    tensors: BTreeMap<String, Tensor>,
}

const Q: &str = "model.layers.1.self_attn.q_proj";

impl Adapter {
    /// Rank 2 on the query projection of [`Checkpoint::small`].
    fn small() -> Adapter {
        let config = json!({
            "peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none", "task_type": "CAUSAL_LM",
        });
        let mut out = Adapter { config, tensors: BTreeMap::new() };
        out.add(&format!("{Q}.lora_A.weight"), &[2, HIDDEN]);
        out.add(&format!("{Q}.lora_B.weight"), &[HIDDEN, 2]);
        out
    }

    /// Adds or replaces a tensor of random values.
    fn add(&mut self, name: &str, shape: &[usize]) {
        let name = format!("base_model.model.{name}");
        let mut source = Checkpoint::small();
        source.add(&name, shape);
        self.tensors.insert(name.clone(), source.tensors.remove(&name).expect("it was added"));
    }

    fn remove(&mut self, name: &str) {
        self.tensors.remove(&format!("base_model.model.{name}")).expect("it is there");
    }

    fn write(&self, dir: &Path) {
        fs::create_dir_all(dir).expect("a directory");
        fs::write(dir.join("adapter_config.json"), self.config.to_string()).expect("written");
        let mut source = Checkpoint::small();
        source.tensors = self.tensors.clone();
        let names: Vec<&String> = source.tensors.keys().collect();
        fs::write(dir.join("adapter_model.safetensors"), source.shard(&names)).expect("written");
    }
}

/// Merges what `write` makes into a checkpoint; the output's directory is looked at too.
fn merge(checkpoint: &Checkpoint, write: impl FnOnce(&Path)) -> convert::Result<(Gguf, Report)> {
    let dir = tempfile::tempdir().expect("a directory");
    let [model, adapter, outputs] = ["model", "adapter", "out"].map(|name| dir.path().join(name));
    checkpoint.write(&model);
    write(&adapter);
    fs::create_dir(&outputs).expect("a directory");
    let out = outputs.join("out.gguf");
    let options = Options { file_type: FileType::F32, lora: &[adapter], ..Default::default() };
    let report = convert::convert(&model, &out, &options);
    if report.is_err() {
        assert_eq!(fs::read_dir(&outputs).expect("it reads").count(), 0, "something was left");
    }
    report.map(|report| (Gguf::open(&out).expect("it opens"), report))
}

/// The message must hold all of `expected`.
fn refused(expected: &[&str], write: impl FnOnce(&Path)) {
    let outcome = merge(&Checkpoint::small(), write);
    let text = outcome.map(|_| ()).expect_err(&format!("{expected:?} is refused")).to_string();
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(text.len() < 1000 && !text.contains(char::is_control), "{text:?}");
}

fn edited<F: FnOnce(&mut Adapter)>(edit: F) -> impl FnOnce(&Path) + use<F> {
    move |dir| {
        let mut adapter = Adapter::small();
        edit(&mut adapter);
        adapter.write(dir);
    }
}

#[test]
fn the_small_adapter_merges() {
    let (gguf, report) = merge(&Checkpoint::small(), edited(|_| {})).expect("it merges");
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    let small = Checkpoint::small();
    let (w, merged) = (small.values(&format!("{Q}.weight")), values(&gguf, "blk.1.attn_q.weight"));
    assert!(w.iter().zip(&merged).any(|(a, b)| (a - b).abs() > 0.5), "nothing was added");
    assert_eq!(gguf.get_usize("brooklet.lora.count").unwrap(), Some(1));
    assert_eq!(gguf.get_str("brooklet.lora.0.name").unwrap(), Some("adapter"));
    assert_eq!(gguf.get_usize("brooklet.lora.0.rank").unwrap(), Some(2));
}

#[test]
fn what_is_no_adapter_is_refused() {
    refused(&["adapter_config.json"], |_| {});
    refused(&["adapter_config.json"], |dir| fs::create_dir(dir).unwrap());
    refused(&["adapter_config.json", "line 1"], |dir| {
        Adapter::small().write(dir);
        fs::write(dir.join("adapter_config.json"), "{\"r\": 2,").unwrap();
    });
    refused(&["a JSON object"], edited(|a| a.config = json!([1])));
    refused(&["adapter_model.bin", "pickle"], |dir| {
        Adapter::small().write(dir);
        fs::rename(dir.join("adapter_model.safetensors"), dir.join("adapter_model.bin")).unwrap();
    });
    refused(&["without adapter_model.safetensors"], |dir| {
        Adapter::small().write(dir);
        fs::remove_file(dir.join("adapter_model.safetensors")).unwrap();
    });
    refused(&["adapter_model.safetensors", "truncated"], |dir| {
        Adapter::small().write(dir);
        let path = dir.join("adapter_model.safetensors");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 2]).unwrap();
    });
}

#[test]
fn settings_that_are_not_merged_are_named() {
    for (field, value) in [
        ("peft_type", json!("IA3")),
        ("bias", json!("lora_only")),
        ("bias", json!("all")),
        ("lora_bias", json!(true)),
        ("target_parameters", json!(["experts.gate_up_proj"])),
        ("layer_replication", json!([[0, 2], [1, 3]])),
        ("init_lora_weights", json!("pissa")),
        ("init_lora_weights", json!("pissa_niter_16")),
        ("init_lora_weights", json!("olora")),
        ("init_lora_weights", json!("loftq")),
        ("init_lora_weights", json!("corda")),
        ("init_lora_weights", json!("lora_ga")),
        ("alora_invocation_tokens", json!([5, 6])),
        ("trainable_token_indices", json!([1])),
        ("use_qalora", json!(true)),
        ("use_bdlora", json!({"nblocks": 2})),
        ("arrow_config", json!({"top_k": 3})),
        ("kasa_config", json!({"r": 1})),
        ("velora_config", json!({"num_groups": 64})),
        ("monteclora_config", json!({"num_samples": 8})),
        ("megatron_config", json!({"a": 1})),
        ("some_new_method", json!("on")),
    ] {
        let shown = value.as_str().map_or(value.to_string(), String::from);
        let write = edited(|a| a.config[field] = value);
        refused(&["adapter_config.json", field, &shown, "is not supported"], write);
    }
    // What PEFT writes where they are off, and what does not matter.
    let off = edited(|a| {
        for field in
            ["lora_bias", "use_qalora", "use_dora", "use_rslora", "fan_in_fan_out", "some_new_method"]
        {
            a.config[field] = json!(false);
        }
        for field in
            ["layer_replication", "arrow_config", "megatron_config", "layers_pattern", "modules_to_save"]
        {
            a.config[field] = Value::Null;
        }
        a.config["loftq_config"] = json!({});
        a.config["eva_config"] = json!({"rho": 2.0});
        a.config["init_lora_weights"] = json!("eva");
        a.config["lora_dropout"] = json!(0.1);
        a.config["megatron_core"] = json!("megatron.core");
        a.config["qalora_group_size"] = json!(16);
        a.config["peft_version"] = json!("0.21.2");
    });
    merge(&Checkpoint::small(), off).expect("it merges");
}

#[test]
fn values_out_of_range_are_named() {
    for (field, value) in [
        ("peft_type", json!(null)),
        ("peft_type", json!(1)),
        ("r", json!(0)),
        ("r", json!(-1)),
        ("r", json!(1u64 << 40)),
        ("r", json!("2")),
        ("lora_alpha", json!("2")),
        ("lora_alpha", json!(1e300)),
        ("use_rslora", json!("yes")),
        ("use_dora", json!(1)),
        ("init_lora_weights", json!(3)),
        ("target_modules", json!(7)),
        ("target_modules", json!([1])),
        ("target_modules", json!(["q_proj", ""])),
        ("target_modules", json!("(")),
        ("target_modules", json!("q_proj|".repeat(1000))),
        ("target_modules", json!("(?:(?:(?:a{100}){100}){100}){100}")),
        // Refused or matched: in any case in short time.
        ("target_modules", json!(r"(?=.*)(?:(?:.*)*)*\1x")),
        ("exclude_modules", json!({})),
        ("modules_to_save", json!("lm_head")),
        ("layers_to_transform", json!("1")),
        ("layers_to_transform", json!([-1])),
        ("layers_pattern", json!(["["])),
        ("layers_to_transform", json!([1, "q_proj"])),
        ("rank_pattern", json!([2])),
        ("rank_pattern", json!({"q_proj": 0})),
        ("rank_pattern", json!({"*": 4})),
        ("alpha_pattern", json!({"q_proj": "x"})),
        ("alpha_pattern", Value::Object((0..2000).map(|i| (format!("a{i}"), json!(1))).collect())),
    ] {
        refused(&["adapter_config.json", field, "expected"], edited(|a| a.config[field] = value));
    }
}

/// With one tensor more, or of another shape.
fn shape(name: &str, shape: &[usize]) -> impl FnOnce(&Path) + use<> {
    let mut adapter = Adapter::small();
    adapter.add(name, shape);
    move |dir| adapter.write(dir)
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let (a, b) = (format!("{Q}.lora_A.weight"), format!("{Q}.lora_B.weight"));
    // Of another model, of another rank, the wrong way round.
    refused(&[&a, "[2, 64]", "[2, 65]"], shape(&a, &[2, HIDDEN + 1]));
    refused(&[&b, "[64, 2]", "[128, 2]"], shape(&b, &[2 * HIDDEN, 2]));
    refused(&[&a, "[2, 64]", "rank 2 by adapter_config.json", "[4, 64]"], shape(&a, &[4, HIDDEN]));
    refused(&[&a, "[2, 64]", "[64, 2]"], shape(&a, &[HIDDEN, 2]));
    refused(&[&a, "[2, 64]", "[128]"], shape(&a, &[2 * HIDDEN]));
    refused(&[&b, "[64, 3]", "[64, 2]"], edited(|x| x.config["rank_pattern"] = json!({"q_proj": 3})));
    // Halves.
    refused(&[&a, "A and B"], edited(|x| x.remove(&b)));
    refused(&[&b, "A and B"], edited(|x| x.remove(&a)));
    // Modules that are not there, not meant, not of this kind.
    refused(
        &["model.layers.3.self_attn", "a module that the model has"],
        shape("model.layers.3.self_attn.q_proj.lora_A.weight", &[2, 64]),
    );
    refused(
        &["model.layers.0.self_attn", "a module that the model has"],
        shape("model.layers.0.self_attn.q_proj.lora_A.weight", &[2, 64]),
    );
    refused(
        &["w1.lora_A", "target_modules"],
        edited(|x| {
            x.add("model.layers.0.feed_forward.w1.lora_A.weight", &[2, HIDDEN]);
            x.add("model.layers.0.feed_forward.w1.lora_B.weight", &[FFN, 2]);
        }),
    );
    refused(&["q_proj", "target_modules"], edited(|x| x.config["target_modules"] = Value::Null));
    refused(&["q_proj", "target_modules"], edited(|x| x.config["exclude_modules"] = json!(".*attn.*")));
    refused(&["q_proj", "target_modules"], edited(|x| x.config["layers_to_transform"] = json!([0, 2])));
    refused(
        &["conv.conv", "linear layer"],
        edited(|x| {
            x.config["target_modules"] = json!(["q_proj", "conv.conv"]);
            x.add("model.layers.0.conv.conv.lora_A.weight", &[2, HIDDEN]);
            x.add("model.layers.0.conv.conv.lora_B.weight", &[HIDDEN, 2]);
        }),
    );
    refused(
        &["embed_tokens.lora_A", "lora_embedding_A"],
        shape("model.embed_tokens.lora_A.weight", &[2, HIDDEN]),
    );
    refused(&["lora_embedding_A", "the other kind"], shape(&format!("{Q}.lora_embedding_A"), &[2, HIDDEN]));
    // What is no weight of LoRA, and what is not listed.
    refused(&["lora_B.bias", "a weight of LoRA"], shape(&format!("{Q}.lora_B.bias"), &[HIDDEN]));
    refused(
        &["trainable_tokens_delta"],
        shape("model.embed_tokens.token_adapter.trainable_tokens_delta", &[1, HIDDEN]),
    );
    refused(&["lora_A.default.weight"], shape(&format!("{Q}.lora_A.default.weight"), &[2, HIDDEN]));
    refused(&["embedding_norm", "modules_to_save"], shape("model.embedding_norm.weight", &[HIDDEN]));
    refused(
        &["embedding_norm", "modules_to_save", "none"],
        edited(|x| x.config["modules_to_save"] = json!(["embedding_norm"])),
    );
    refused(
        &["embedding_norm", "[64]", "[65]"],
        edited(|x| {
            x.config["modules_to_save"] = json!(["embedding_norm"]);
            x.add("model.embedding_norm.weight", &[HIDDEN + 1]);
        }),
    );
    refused(
        &["embed_tokens.weight", "[300, 64]", "[302, 64]"],
        shape("model.embed_tokens.weight", &[VOCAB + 2, HIDDEN]),
    );
    refused(
        &["base_model.model."],
        edited(|x| {
            let tensor = x.tensors.pop_first().expect("a tensor").1;
            x.tensors.insert("model.q.lora_A.weight".into(), tensor);
        }),
    );
    // DoRA's length, missing and unasked for.
    refused(&["lora_magnitude_vector", "use_dora"], edited(|x| x.config["use_dora"] = json!(true)));
    refused(&["lora_magnitude_vector", "use_dora"], shape(&format!("{Q}.lora_magnitude_vector"), &[HIDDEN]));
    refused(
        &["lora_magnitude_vector", "[64]", "[63]"],
        edited(|x| {
            x.config["use_dora"] = json!(true);
            x.add(&format!("{Q}.lora_magnitude_vector"), &[HIDDEN - 1]);
        }),
    );
    refused(
        &["lora_magnitude_vector", "two names"],
        edited(|x| {
            x.config["use_dora"] = json!(true);
            x.add(&format!("{Q}.lora_magnitude_vector"), &[HIDDEN]);
            x.add(&format!("{Q}.lora_magnitude_vector.weight"), &[HIDDEN]);
        }),
    );
    // Values.
    for bad in [f32::NAN, f32::INFINITY] {
        refused(
            &[&a, "finite", &bad.to_string()],
            edited(|x| {
                let data = &mut x.tensors.first_entry().expect("a tensor").into_mut().data;
                data[10..12].copy_from_slice(&half::bf16::from_f32(bad).to_le_bytes());
            }),
        );
    }
    refused(
        &[&a, "F32, F16 or BF16", "I16"],
        edited(|x| {
            x.tensors.first_entry().expect("a tensor").into_mut().dtype = Dtype::I16;
        }),
    );
    // Finite numbers whose product is not.
    refused(
        &["q_proj.weight", "finite values"],
        edited(|x| {
            let data = &mut x.tensors.first_entry().expect("a tensor").into_mut().data;
            data[10..12].copy_from_slice(&half::bf16::from_f32(3e38).to_le_bytes());
            x.config["lora_alpha"] = json!(1e9);
        }),
    );
}

#[test]
fn layers_are_chosen_only_beside_a_list_of_names() {
    for target in ["all-linear", ".*q_proj"] {
        let write = edited(|x| {
            x.config["target_modules"] = json!(target);
            x.config["layers_to_transform"] = json!([1]);
        });
        refused(&["layers_to_transform", "target_modules is a list", "[1]"], write);
    }
}

#[test]
fn modules_without_tensors_are_warned_of() {
    let write = edited(|x| x.config["target_modules"] = json!(["q_proj", "w1", "w2"]));
    let (_, report) = merge(&Checkpoint::small(), write).expect("it merges");
    let warning = report.warnings.join("\n");
    assert!(
        warning.contains("6 of the modules") && warning.contains("layers.0.feed_forward.w1"),
        "{warning}"
    );
}

/// Embedding and head of a tied model, each whole or not in the adapter: the head is stored where it differs.
#[test]
fn whole_embeddings_and_heads_replace_the_tied_one() {
    const EMBEDDING: &str = "model.embed_tokens.weight";
    const HEAD: &str = "lm_head.weight";
    let base = Checkpoint::small().values(EMBEDDING);
    let saved = |name: &str| {
        let mut source = Checkpoint::small();
        let name = format!("base_model.model.{name}");
        source.add(&name, &[VOCAB, HIDDEN]);
        source.values(&name)
    };
    let (new, other) = (saved(EMBEDDING), saved(HEAD));
    assert!(new != other && new != base);
    // In modules_to_save; in the file; what the embedding and the head become.
    type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [f32], Option<&'a [f32]>);
    let cases: [Case; 6] = [
        (&["embed_tokens"], &[EMBEDDING], &new, Some(&base)),
        (&["lm_head"], &[HEAD], &base, Some(&other)),
        (&["embed_tokens", "lm_head"], &[EMBEDDING, HEAD], &new, Some(&other)),
        // Not listed, it is the one weight of both, which PEFT saves where an embedding was resized or adapted.
        (&[], &[EMBEDDING], &new, None),
        (
            &[],
            &["model.embed_tokens.base_layer.weight"],
            &saved("model.embed_tokens.base_layer.weight"),
            None,
        ),
        (&[], &["lm_head.base_layer.weight"], &saved("lm_head.base_layer.weight"), None),
    ];
    for (listed, stored, embedding, head) in cases {
        let write = edited(|x| {
            x.config["modules_to_save"] = json!(listed);
            for name in stored {
                x.add(name, &[VOCAB, HIDDEN]);
            }
        });
        let (gguf, _) = merge(&Checkpoint::small(), write).expect("it merges");
        assert!(values(&gguf, "token_embd.weight") == embedding, "{stored:?}");
        let found = gguf.tensor("output.weight").map(|_| values(&gguf, "output.weight"));
        assert!(found.as_deref() == head, "{stored:?}");
    }
    // The same data under both names is one tensor.
    let write = edited(|x| {
        x.config["modules_to_save"] = json!(["embed_tokens", "lm_head"]);
        x.add(EMBEDDING, &[VOCAB, HIDDEN]);
        let tensor = x.tensors[&format!("base_model.model.{EMBEDDING}")].clone();
        x.tensors.insert(format!("base_model.model.{HEAD}"), tensor);
    });
    let (gguf, _) = merge(&Checkpoint::small(), write).expect("it merges");
    assert!(values(&gguf, "token_embd.weight") == new && gguf.tensor("output.weight").is_none());
}

#[test]
fn the_scale_multiplies_what_is_added() {
    let dir = tempfile::tempdir().expect("a directory");
    let [model, one, two] = ["model", "one", "two"].map(|name| dir.path().join(name));
    Checkpoint::small().write(&model);
    Adapter::small().write(&one);
    edited(|x| x.config["lora_alpha"] = json!(2))(&two);
    let convert = |lora: &[std::path::PathBuf], lora_scale| {
        let out = dir.path().join("out.gguf");
        let options = Options { file_type: FileType::F32, lora, lora_scale, ..Default::default() };
        convert::convert(&model, &out, &options).expect("it converts");
        values(&Gguf::open(&out).expect("it opens"), "blk.1.attn_q.weight")
    };
    let lora = [one, two];
    assert!(convert(&lora[..1], 0.0) == convert(&[], 1.0));
    assert!(convert(&lora[..1], 0.5) == convert(&lora[1..], 1.0));
    assert!(convert(&lora[..1], 1.0) != convert(&lora[1..], 1.0));
}

/// A damaged file is refused with a message fit to print, or merged.
#[test]
fn mutated_adapters_are_refused_or_merged() {
    let dir = tempfile::tempdir().expect("a directory");
    Adapter::small().write(dir.path());
    let seed = fs::read(dir.path().join("adapter_model.safetensors")).expect("it reads");
    let words: [&[u8]; 8] = [
        b"lora_A",
        b"lora_B",
        b"lora_embedding_A",
        b".weight",
        b"[2,64]",
        b"BF16",
        b"F32",
        b"18446744073709551615",
    ];
    let (mut merged, mut refused) = (0, 0);
    for case in 0..60 {
        let bytes = mutate::mutated(case, std::slice::from_ref(&seed), &words);
        let outcome = merge(&Checkpoint::small(), |dir| {
            Adapter::small().write(dir);
            fs::write(dir.join("adapter_model.safetensors"), bytes).expect("written");
        });
        match outcome {
            Ok(_) => merged += 1,
            Err(error) => {
                let text = error.to_string();
                assert!(text.len() < 1000 && !text.contains(char::is_control), "{case}: {text:?}");
                refused += 1;
            }
        }
    }
    assert!(merged > 0 && refused > 0, "{merged} merged, {refused} refused");
}

/// Rows of 160, 1000 of them: the converter cuts tensors into pieces of 2^17 elements, in the middle of a row. Against plain
/// loops in f64, with as many as three threads.
#[test]
fn pieces_of_rows_merge_as_whole_tensors_do() {
    const WIDE: usize = 160;
    const ROWS: usize = 1000;
    let mut checkpoint = Checkpoint::small()
        .set("hidden_size", json!(WIDE))
        .set("vocab_size", json!(ROWS))
        .set("num_hidden_layers", json!(1))
        .set("full_attn_idxs", json!([]))
        .set("tie_embedding", json!(false));
    checkpoint.tensors.clear();
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        checkpoint.add(name, &[ROWS, WIDE]);
    }
    checkpoint.add("model.embedding_norm.weight", &[WIDE]);
    for (name, shape) in [
        ("operator_norm", &[WIDE][..]),
        ("ffn_norm", &[WIDE]),
        ("feed_forward.w1", &[FFN, WIDE]),
        ("feed_forward.w3", &[FFN, WIDE]),
        ("feed_forward.w2", &[WIDE, FFN]),
        ("conv.in_proj", &[3 * WIDE, WIDE]),
        ("conv.conv", &[WIDE, 1, 3]),
        ("conv.out_proj", &[WIDE, WIDE]),
    ] {
        checkpoint.add(&format!("model.layers.0.{name}.weight"), shape);
    }
    let mut adapter = Adapter::small();
    adapter.tensors.clear();
    adapter.config["target_modules"] = json!(["embed_tokens", "lm_head"]);
    adapter.add("model.embed_tokens.lora_embedding_A", &[2, ROWS]);
    adapter.add("model.embed_tokens.lora_embedding_B", &[WIDE, 2]);
    adapter.add("model.embed_tokens.lora_magnitude_vector", &[WIDE]);
    adapter.add("lm_head.lora_A.weight", &[2, WIDE]);
    adapter.add("lm_head.lora_B.weight", &[ROWS, 2]);
    adapter.add("lm_head.lora_magnitude_vector", &[ROWS]);
    adapter.config["use_dora"] = json!(true);
    let part = |name: &str| {
        let mut source = checkpoint.clone();
        source.tensors = adapter.tensors.clone();
        source.values(&format!("base_model.model.{name}")).into_iter().map(f64::from).collect::<Vec<f64>>()
    };
    let weights = |name: &str, rows: &dyn Fn(usize, usize) -> f64, columns: &dyn Fn(usize, usize) -> f64| {
        let mut w: Vec<f64> = checkpoint.values(name).into_iter().map(f64::from).collect();
        for (i, w) in w.iter_mut().enumerate() {
            let (row, column) = (i / WIDE, i % WIDE);
            *w += 2.0 * (0..2).map(|k| rows(row, k) * columns(k, column)).sum::<f64>();
        }
        w
    };
    let (a, b) = (part("model.embed_tokens.lora_embedding_A"), part("model.embed_tokens.lora_embedding_B"));
    let mut embedding = weights("model.embed_tokens.weight", &|i, k| a[k * ROWS + i], &|k, j| b[j * 2 + k]);
    let magnitude = part("model.embed_tokens.lora_magnitude_vector");
    for (j, magnitude) in magnitude.iter().enumerate() {
        let length = embedding.iter().skip(j).step_by(WIDE).map(|w| w * w).sum::<f64>().sqrt();
        embedding.iter_mut().skip(j).step_by(WIDE).for_each(|w| *w *= magnitude / length);
    }
    let (a, b) = (part("lm_head.lora_A.weight"), part("lm_head.lora_B.weight"));
    let mut head = weights("lm_head.weight", &|i, k| b[i * 2 + k], &|k, j| a[k * WIDE + j]);
    for (row, magnitude) in head.chunks_mut(WIDE).zip(part("lm_head.lora_magnitude_vector")) {
        let length = row.iter().map(|w| w * w).sum::<f64>().sqrt();
        row.iter_mut().for_each(|w| *w *= magnitude / length);
    }

    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let (gguf, _) = pool.install(|| merge(&checkpoint, |dir| adapter.write(dir))).expect("it merges");
        for (name, expected) in [("token_embd.weight", &embedding), ("output.weight", &head)] {
            let largest = expected.iter().fold(0.0f64, |max, w| max.max(w.abs()));
            for (i, (ours, exact)) in values(&gguf, name).into_iter().zip(expected).enumerate() {
                // Measured: 7.3e-8 of the largest.
                assert!(
                    (f64::from(ours) - exact).abs() < 5e-7 * largest,
                    "{name} {i}: {ours} is not {exact}"
                );
            }
        }
    }
}
