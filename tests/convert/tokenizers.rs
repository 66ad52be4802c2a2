//! tokenizer.json and its companions to `tokenizer.*`.

use crate::checkpoint::{Checkpoint, TOKENS, VOCAB};
use crate::checkpoints::{Converted, convert, convert_with, different_keys};
use brooklet::Gguf;
use brooklet_tools::convert::FileType;
use serde_json::{Value, json};
use std::fs;

fn strings(gguf: &Gguf, key: &str) -> Vec<String> {
    let array = gguf.get_array(key).expect("an array").expect("it is there");
    array.iter().map(|v| v.as_str().expect("a string").to_string()).collect()
}

fn integers(gguf: &Gguf, key: &str) -> Vec<usize> {
    let array = gguf.get_array(key).expect("an array").expect("it is there");
    array.iter().map(|v| v.as_usize().expect("an integer")).collect()
}

/// The checkpoint with its tokenizer.json changed.
fn with(edit: impl FnOnce(&mut Value)) -> Checkpoint {
    let mut checkpoint = Checkpoint::small();
    edit(&mut checkpoint.tokenizer);
    checkpoint
}

#[test]
fn tokens_types_and_merges() {
    let gguf = convert(&Checkpoint::small(), FileType::BF16).gguf;
    assert_eq!(gguf.get_str("tokenizer.ggml.model").unwrap(), Some("gpt2"));
    assert_eq!(gguf.get_str("tokenizer.ggml.pre").unwrap(), Some("lfm2"));
    let tokens = strings(&gguf, "tokenizer.ggml.tokens");
    let types = integers(&gguf, "tokenizer.ggml.token_type");
    assert_eq!((tokens.len(), types.len()), (VOCAB, VOCAB));
    for (id, token, ty) in [
        (0, "<|pad|>", 3),
        (7, "<|im_end|>", 3),
        (10, "!", 1),
        (TOKENS - 3, "in", 1),
        (TOKENS - 2, "python", 4),
        (TOKENS - 1, "Mathias", 4),
        (TOKENS, "[PAD274]", 5),
        (VOCAB - 1, "[PAD299]", 5),
    ] {
        assert_eq!((tokens[id].as_str(), types[id]), (token, ty), "{id}");
    }
    let merges = strings(&gguf, "tokenizer.ggml.merges");
    assert_eq!(merges, ["h e", "Ġ he", "l l", "ll o", "Ġ a", "i n"]);
    assert_eq!(gguf.get_bool("tokenizer.ggml.add_bos_token").unwrap(), Some(true));
    assert_eq!(gguf.get_bool("tokenizer.ggml.add_eos_token").unwrap(), Some(false));
    let template = gguf.get_str("tokenizer.chat_template").unwrap();
    assert_eq!(template, Some("{{ bos_token }}{{ messages }}"));
    for absent in [
        "brooklet.eos_token_ids",
        "brooklet.tokenizer.pre_regex",
        "brooklet.tokenizer.added_tokens",
        "brooklet.tokenizer.ignore_merges",
    ] {
        assert!(gguf.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn merges_may_be_strings() {
    let pairs = convert(&Checkpoint::small(), FileType::BF16);
    let strings = convert(
        &with(|t| {
            let merges = t["model"]["merges"].as_array().unwrap();
            let joined = merges
                .iter()
                .map(|m| json!(format!("{} {}", m[0].as_str().unwrap(), m[1].as_str().unwrap())));
            t["model"]["merges"] = joined.collect();
        }),
        FileType::BF16,
    );
    assert!(strings.bytes == pairs.bytes);
}

/// Another regex is kept, and named so that llama.cpp refuses it instead of splitting text another way.
#[test]
fn another_regex_is_kept() {
    let gguf = convert(
        &with(|t| t["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = json!(r"\p{L}+|\s")),
        FileType::BF16,
    )
    .gguf;
    assert_eq!(gguf.get_str("tokenizer.ggml.pre").unwrap(), Some("brooklet"));
    assert_eq!(gguf.get_str("brooklet.tokenizer.pre_regex").unwrap(), Some(r"\p{L}+|\s"));

    // ByteLevel alone splits as GPT-2 does.
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true});
    let gguf = convert(&with(|t| t["pre_tokenizer"] = bytes), FileType::BF16).gguf;
    let regex = gguf.get_str("brooklet.tokenizer.pre_regex").unwrap().unwrap();
    assert!(regex.starts_with("'s|'t|") && regex.ends_with(r"\s+(?!\S)|\s+"), "{regex}");
}

#[test]
fn what_the_types_do_not_say_is_kept() {
    let flags = |edit: fn(&mut Value)| {
        let gguf = convert(&with(edit), FileType::BF16).gguf;
        let json = gguf.get_str("brooklet.tokenizer.added_tokens").unwrap().expect("it is kept");
        serde_json::from_str::<Value>(json).expect("it is JSON")
    };
    let kept = flags(|t| t["added_tokens"][10]["lstrip"] = json!(true));
    assert_eq!(kept.as_array().unwrap().len(), 12);
    assert_eq!(kept[10]["lstrip"], json!(true));
    flags(|t| t["added_tokens"][10]["normalized"] = json!(false));
    flags(|t| t["added_tokens"][11]["single_word"] = json!(true));
    // A control token by its looks, though not by its flag.
    let kept = flags(|t| {
        t["added_tokens"][9]["special"] = json!(false);
        t["added_tokens"][9]["normalized"] = json!(true);
    });
    assert_eq!(kept[9]["special"], json!(false));

    let gguf = convert(&with(|t| t["model"]["ignore_merges"] = json!(true)), FileType::BF16).gguf;
    assert_eq!(gguf.get_bool("brooklet.tokenizer.ignore_merges").unwrap(), Some(true));
}

#[test]
fn special_tokens_come_from_the_first_place_that_names_them() {
    // tokenizer_config.json names none: special_tokens_map.json, then config.json's ids.
    let mut checkpoint = Checkpoint::small().set("eos_token_id", json!([2, 7]));
    for name in ["bos_token", "eos_token", "pad_token"] {
        checkpoint.tokenizer_config.as_object_mut().unwrap().remove(name);
    }
    let converted = convert_with(FileType::BF16, |dir| {
        checkpoint.write(dir);
        let map = json!({"pad_token": {"content": "<|fim_pre|>"}});
        fs::write(dir.join("special_tokens_map.json"), map.to_string()).expect("written");
    });
    let id = |key: &str| converted.gguf.get_usize(&format!("tokenizer.ggml.{key}_token_id")).unwrap();
    assert_eq!(id("padding"), Some(3));
    // The post-processor's template names it.
    assert_eq!(id("bos"), Some(1));
    assert_eq!(id("eos"), Some(2));
    assert_eq!(integers(&converted.gguf, "brooklet.eos_token_ids"), [2, 7]);

    let mut checkpoint = Checkpoint::small();
    checkpoint.generation = Some(json!({"eos_token_id": [7, 100_000]}));
    let converted = convert(&checkpoint, FileType::BF16);
    assert!(converted.gguf.get("brooklet.eos_token_ids").is_none());
    assert!(converted.report.warnings[0].contains("100000"), "{:?}", converted.report.warnings);
}

#[test]
fn chat_templates_come_from_where_transformers_finds_them() {
    let plain = convert(&Checkpoint::small(), FileType::BF16);
    let write = |name: &'static str, text: &'static str| {
        convert_with(FileType::BF16, move |dir| {
            Checkpoint::small().write(dir);
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).expect("a directory");
            fs::write(path, text).expect("written");
        })
    };
    let template = |c: &Converted| c.gguf.get_str("tokenizer.chat_template").unwrap().map(String::from);

    let jinja = write("chat_template.jinja", "{{ other }}");
    assert_eq!(template(&jinja).as_deref(), Some("{{ other }}"));
    assert!(jinja.report.warnings[0].contains("chat_template.jinja"));
    assert_eq!(different_keys(&jinja.gguf, &plain.gguf), ["tokenizer.chat_template"]);
    // The field in tokenizer_config.json counts more than this older file.
    assert_eq!(template(&write("chat_template.json", r#"{"chat_template": "x"}"#)), template(&plain));

    let mut checkpoint = Checkpoint::small();
    checkpoint.tokenizer_config["chat_template"] =
        json!([{"name": "default", "template": "a"}, {"name": "tool use", "template": "b"}]);
    let named = convert(&checkpoint, FileType::BF16);
    assert_eq!(template(&named).as_deref(), Some("a"));
    assert_eq!(named.gguf.get_str("tokenizer.chat_template.tool_use").unwrap(), Some("b"));
    assert_eq!(strings(&named.gguf, "tokenizer.chat_templates"), ["tool_use"]);

    checkpoint.tokenizer_config.as_object_mut().unwrap().remove("chat_template");
    assert_eq!(template(&convert(&checkpoint, FileType::BF16)), None);
}
