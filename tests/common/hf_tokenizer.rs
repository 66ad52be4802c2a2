//! The GGUF metadata of a Hugging Face tokenizer directory, for tests of the library alone.

use brooklet::Gguf;
use brooklet::gguf::{GgufWriter, Value};
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// The fixture that tests/fixtures/tokenizer/make.py writes.
pub fn fixture_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizer")
}

/// A JSON file.
pub fn read_json(path: &Path) -> Json {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// `tokenizer.ggml.*` and the chat template of `dir`, for a vocabulary of `vocab_size` ids.
pub fn metadata(dir: &Path, vocab_size: usize) -> GgufWriter {
    let tokenizer = read_json(&dir.join("tokenizer.json"));
    let config = read_json(&dir.join("tokenizer_config.json"));
    let mut tokens: Vec<String> = (0..vocab_size).map(|id| format!("[PAD{id}]")).collect();
    let mut types = vec![5; vocab_size];
    for (text, id) in tokenizer["model"]["vocab"].as_object().unwrap() {
        let id = id.as_u64().unwrap() as usize;
        (tokens[id], types[id]) = (text.clone(), 1);
    }
    let added = tokenizer["added_tokens"].as_array().unwrap();
    for token in added {
        types[token["id"].as_u64().unwrap() as usize] = if token["special"] == true { 3 } else { 4 };
    }
    let merges = tokenizer["model"]["merges"].as_array().unwrap();
    let merges =
        merges.iter().map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));

    let mut writer = GgufWriter::new();
    writer.set("general.architecture", Value::String("lfm2"));
    writer.set("tokenizer.ggml.model", Value::String("gpt2"));
    writer.set("tokenizer.ggml.pre", Value::String("lfm2"));
    writer.set_strings("tokenizer.ggml.tokens", &tokens);
    writer.set_i32s("tokenizer.ggml.token_type", &types);
    writer.set_strings("tokenizer.ggml.merges", merges);
    for (name, key) in [("bos_token", "bos"), ("eos_token", "eos"), ("pad_token", "padding")] {
        let id = added.iter().find(|token| token["content"] == config[name]).unwrap()["id"].as_u64().unwrap();
        writer.set(&format!("tokenizer.ggml.{key}_token_id"), Value::U32(id as u32));
    }
    writer.set("tokenizer.ggml.add_bos_token", Value::Bool(config["add_bos_token"] == true));
    let template = std::fs::read_to_string(dir.join("chat_template.jinja")).unwrap();
    writer.set("tokenizer.chat_template", Value::String(&template));
    writer
}

/// Writes and opens a file without tensors.
pub fn open(writer: GgufWriter) -> Gguf {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.gguf");
    writer.create(&path, &[]).unwrap().finish().unwrap();
    Gguf::from_bytes(std::fs::read(&path).unwrap()).unwrap()
}
