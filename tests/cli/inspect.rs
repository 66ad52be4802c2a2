use crate::support::{Finished, brooklet, json, model, stdout};
use brooklet::gguf::{GgufWriter, TensorPlan, Value};
use brooklet_kernels::TensorType;
use std::path::{Path, PathBuf};

/// A valid file of another architecture, with a name that would colour the terminal.
fn foreign(dir: &Path) -> PathBuf {
    let path = dir.join("foreign.gguf");
    let mut writer = GgufWriter::new();
    writer.set("general.architecture", Value::String("other"));
    writer.set("general.name", Value::String("red\u{1b}[31m"));
    writer.set("other.block_count", Value::U32(3));
    writer.set("other.scale", Value::F32(0.15));
    writer.set_u32s("other.long", &(0..100).collect::<Vec<_>>());
    let plan = TensorPlan { name: "w".into(), ty: TensorType::Q8_0, shape: vec![32, 2] };
    let mut stream = writer.create(&path, &[plan]).unwrap();
    stream.write(&[0; 68]).unwrap();
    stream.finish().unwrap();
    path
}

#[test]
fn json_names_everything() {
    let out = json(["inspect", model(), "--json"]);
    assert_eq!(out["version"], 3);
    assert_eq!(out["size_bytes"], std::fs::metadata(model()).unwrap().len());
    assert_eq!(out["metadata"]["general.architecture"], "lfm2");
    assert_eq!(out["metadata"]["lfm2.attention.head_count_kv"], serde_json::json!([0, 0, 2, 0, 2]));
    assert_eq!(out["metadata"]["tokenizer.ggml.tokens"]["len"], 420);
    assert_eq!(out["metadata"]["tokenizer.ggml.tokens"]["first"][1], "<|startoftext|>");
    assert_eq!(out["bits_per_weight"], 32.0);
    let tensors = out["tensors"].as_array().unwrap();
    let embedding = tensors.iter().find(|t| t["name"] == "token_embd.weight").unwrap();
    assert_eq!(embedding["shape"], serde_json::json!([64, 420]));
    assert_eq!((&embedding["type"], &embedding["bytes"]), (&"F32".into(), &(64 * 420 * 4).into()));
    assert_eq!(embedding["offset"].as_u64().unwrap() % 32, 0);
    let parameters: u64 = tensors
        .iter()
        .map(|t| t["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap()).product::<u64>())
        .sum();
    assert_eq!(out["parameters"], parameters);

    let full = json(["inspect", model(), "--json", "--full"]);
    assert_eq!(full["metadata"]["tokenizer.ggml.tokens"].as_array().unwrap().len(), 420);
}

#[test]
fn people_get_a_summary_metadata_and_tensors() {
    let text = stdout(["inspect", model()]);
    for line in [
        "Architecture    lfm2",
        "Context         2048",
        "Layers          5: c c A c A (3 short convolutions, 2 attention)",
        "Heads           4 query, 2 key/value, 16 wide",
        "Conv kernel     3",
        "Vocabulary      420",
        "  lfm2.shortconv.l_cache = 3",
    ] {
        assert!(text.lines().any(|l| l == line), "'{line}' in\n{text}");
    }
    assert!(text.contains("… (420 in all)]"));
    assert!(text.contains("64 × 420"));
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn other_architectures_are_shown_as_far_as_they_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = foreign(dir.path());
    let text = stdout(["inspect", path.to_str().unwrap()]);
    assert!(text.contains("Name            red\\u{1b}[31m\n"), "{text}");
    assert!(text.contains("Layers          3\n"), "{text}");
    assert!(text.contains("other.scale = 0.15\n"), "{text}");
    assert!(text.contains("other.long = [0, 1, 2, 3, 4, 5, 6, 7, … (100 in all)]\n"), "{text}");
    let out = json(["inspect", path.to_str().unwrap(), "--json"]);
    assert_eq!(out["metadata"]["other.scale"].to_string(), "0.15");
    assert_eq!(out["bits_per_weight"], 8.5);

    // No model command takes it for one that runs.
    let run = Finished::of(&mut brooklet(["run", "-m", path.to_str().unwrap(), "-p", "x"]));
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("other") && run.stderr.contains("hint: "), "{run:?}");
}
