//! Tokenizer metadata that lies: each is an error that names the key, never a panic.

#[path = "common/hf_tokenizer.rs"]
mod hf_tokenizer;

use brooklet::Tokenizer;
use brooklet::gguf::{GgufWriter, Value};
use brooklet::tokenizer::Special;
use hf_tokenizer::{fixture_dir, metadata, open};

/// A byte-level vocabulary of the printable ASCII characters, `ab`, a control token and a hole.
fn small() -> GgufWriter {
    let mut tokens: Vec<String> = ('!'..='~').map(String::from).collect();
    tokens.extend(["ab".into(), "<|end|>".into(), "[PAD96]".into()]);
    let mut types = vec![1; tokens.len()];
    (types[95], types[96]) = (3, 5);
    let mut writer = GgufWriter::new();
    writer.set("tokenizer.ggml.model", Value::String("gpt2"));
    writer.set("tokenizer.ggml.pre", Value::String("lfm2"));
    writer.set_strings("tokenizer.ggml.tokens", &tokens);
    writer.set_i32s("tokenizer.ggml.token_type", &types);
    writer.set_strings("tokenizer.ggml.merges", ["a b"]);
    writer.set("tokenizer.ggml.eos_token_id", Value::U32(95));
    writer
}

fn load(change: impl FnOnce(&mut GgufWriter)) -> brooklet::Result<Tokenizer> {
    let mut writer = small();
    change(&mut writer);
    Tokenizer::from_gguf(&open(writer))
}

#[test]
fn the_small_vocabulary_works() {
    let tokenizer = load(|_| ()).unwrap();
    assert_eq!(tokenizer.encode("abc<|end|>", Special::Parse).unwrap(), [94, 66, 95]);
    assert_eq!((tokenizer.bos(), tokenizer.eos_ids()), (None, &[95][..]));
    assert_eq!(tokenizer.encode_with_bos("é ab").unwrap(), [94], "no BOS, no token for é and the space");
}

#[test]
fn an_empty_token_is_never_made() {
    for ignore_merges in [false, true] {
        let tokenizer = load(|w| {
            let mut tokens: Vec<String> = ('!'..='~').map(String::from).collect();
            tokens.extend(["ab".into(), "<|end|>".into(), String::new()]);
            w.set_strings("tokenizer.ggml.tokens", &tokens);
            w.set_i32s("tokenizer.ggml.token_type", &[vec![1; 95], vec![3, 1]].concat());
            w.set("brooklet.tokenizer.ignore_merges", Value::Bool(ignore_merges));
        });
        assert_eq!(tokenizer.unwrap().encode("ab c", Special::Parse).unwrap(), [94, 66], "{ignore_merges}");
    }
}

#[test]
fn each_lie_is_an_error_that_names_it() {
    let tokens = |writer: &mut GgufWriter, texts: &[&str]| {
        writer.set_strings("tokenizer.ggml.tokens", texts);
        writer.set_i32s("tokenizer.ggml.token_type", &vec![1; texts.len()]);
        writer.set_strings("tokenizer.ggml.merges", [""; 0]);
        writer.remove("tokenizer.ggml.eos_token_id");
    };
    type Lie<'a> = (&'a str, Box<dyn FnOnce(&mut GgufWriter) + 'a>);
    let lies: Vec<Lie> = vec![
        (
            "tokenizer.ggml.model: expected gpt2 (byte-level BPE), found llama",
            Box::new(|w| w.set("tokenizer.ggml.model", Value::String("llama"))),
        ),
        (
            "tokenizer.ggml.model: expected gpt2 (byte-level BPE), found none",
            Box::new(|w| w.remove("tokenizer.ggml.model")),
        ),
        ("'tokenizer.ggml.model': expected", Box::new(|w| w.set("tokenizer.ggml.model", Value::U32(1)))),
        (
            "tokenizer.ggml.pre: expected lfm2",
            Box::new(|w| w.set("tokenizer.ggml.pre", Value::String("llama-bpe"))),
        ),
        ("tokenizer.ggml.pre: expected lfm2", Box::new(|w| w.remove("tokenizer.ggml.pre"))),
        ("pre-tokenizer regex: ", Box::new(|w| w.set("brooklet.tokenizer.pre_regex", Value::String("(")))),
        (
            "tokenizer.ggml.tokens: expected an array, found none",
            Box::new(|w| w.remove("tokenizer.ggml.tokens")),
        ),
        (
            "tokenizer.ggml.tokens: expected an array of strings, found one of U32",
            Box::new(|w| w.set_u32s("tokenizer.ggml.tokens", &[1])),
        ),
        ("tokenizer.ggml.tokens: expected 1 to 16777216 entries, found 0", Box::new(|w| tokens(w, &[]))),
        (
            "tokenizer.ggml.tokens: expected every token once, found 'a' twice",
            Box::new(|w| tokens(w, &["a", "b", "a"])),
        ),
        (
            "tokenizer.ggml.tokens: expected every token once, found 'a' twice",
            Box::new(|w| {
                tokens(w, &["a", "b", "a"]);
                w.set_i32s("tokenizer.ggml.token_type", &[1, 1, 3]);
            }),
        ),
        ("tokenizer.ggml.token_type: expected an array", Box::new(|w| w.remove("tokenizer.ggml.token_type"))),
        (
            "tokenizer.ggml.token_type: expected 97 entries, one a token, found 3",
            Box::new(|w| w.set_i32s("tokenizer.ggml.token_type", &[1, 1, 1])),
        ),
        (
            "tokenizer.ggml.token_type: expected a token type from 1 to 6, found I32(7) for id 0",
            Box::new(|w| w.set_i32s("tokenizer.ggml.token_type", &[7; 97])),
        ),
        (
            "tokenizer.ggml.token_type: expected a token type from 1 to 6, found I32(-1) for id 0",
            Box::new(|w| w.set_i32s("tokenizer.ggml.token_type", &[-1; 97])),
        ),
        ("tokenizer.ggml.merges: expected an array", Box::new(|w| w.remove("tokenizer.ggml.merges"))),
        (
            "tokenizer.ggml.merges: expected two tokens with one space between, found 'ab' at index 0",
            Box::new(|w| w.set_strings("tokenizer.ggml.merges", ["ab"])),
        ),
        (
            "tokenizer.ggml.merges: expected two tokens with one space between, found 'a b c' at index 0",
            Box::new(|w| w.set_strings("tokenizer.ggml.merges", ["a b c"])),
        ),
        (
            "tokenizer.ggml.merges: expected tokens of the vocabulary, found 'a é' at index 1, where 'é' is none",
            Box::new(|w| w.set_strings("tokenizer.ggml.merges", ["a b", "a é"])),
        ),
        (
            "tokenizer.ggml.merges: expected tokens of the vocabulary, found 'b a' at index 0, where 'ba' is none",
            Box::new(|w| w.set_strings("tokenizer.ggml.merges", ["b a"])),
        ),
        (
            "tokenizer.ggml.merges: expected tokens of the vocabulary, found ' a' at index 0, where '' is none",
            Box::new(|w| w.set_strings("tokenizer.ggml.merges", [" a"])),
        ),
        (
            "tokenizer.ggml.eos_token_id: expected token ids below 97, found 97",
            Box::new(|w| w.set("tokenizer.ggml.eos_token_id", Value::U32(97))),
        ),
        (
            "tokenizer.ggml.bos_token_id: expected token ids below 97, found 4294967295",
            Box::new(|w| w.set("tokenizer.ggml.bos_token_id", Value::U32(u32::MAX))),
        ),
        (
            "'tokenizer.ggml.bos_token_id': expected",
            Box::new(|w| w.set("tokenizer.ggml.bos_token_id", Value::I32(-1))),
        ),
        (
            "brooklet.eos_token_ids: expected token ids below 97, found 97",
            Box::new(|w| w.set_u32s("brooklet.eos_token_ids", &[95, 97])),
        ),
        (
            "brooklet.eos_token_ids: expected token ids below 97, found no id",
            Box::new(|w| w.set_strings("brooklet.eos_token_ids", ["x"])),
        ),
        (
            "tokenizer.ggml.add_eos_token: expected false, found true",
            Box::new(|w| w.set("tokenizer.ggml.add_eos_token", Value::Bool(true))),
        ),
        (
            "brooklet.tokenizer.added_tokens: expected the added_tokens of a tokenizer.json",
            Box::new(|w| w.set("brooklet.tokenizer.added_tokens", Value::String("{"))),
        ),
        (
            "brooklet.tokenizer.added_tokens: expected ids below 97, found 97 ('x')",
            Box::new(|w| {
                w.set("brooklet.tokenizer.added_tokens", Value::String(r#"[{"id":97,"content":"x"}]"#))
            }),
        ),
        (
            "brooklet.tokenizer.added_tokens: expected 'ab' for id 94, as in tokenizer.ggml.tokens, found 'x'",
            Box::new(|w| {
                w.set("brooklet.tokenizer.added_tokens", Value::String(r#"[{"id":94,"content":"x"}]"#))
            }),
        ),
    ];
    for (expected, change) in lies {
        let error = load(change).map(|_| ()).expect_err(expected).to_string();
        assert!(error.contains(expected), "expected {expected}\n   found {error}");
    }
}

#[test]
fn plain_text_never_makes_a_control_token() {
    // A merge that makes one, and a word that is one where merges are ignored.
    let tokenizer = load(|w| {
        w.set_i32s(
            "tokenizer.ggml.token_type",
            &(0..97).map(|id| if id >= 94 { 3 } else { 1 }).collect::<Vec<_>>(),
        );
        w.set("brooklet.tokenizer.ignore_merges", Value::Bool(true));
        w.set("brooklet.tokenizer.pre_regex", Value::String(r"\S+"));
    })
    .unwrap();
    assert_eq!(tokenizer.encode("ab", Special::Parse).unwrap(), [94]);
    assert_eq!(tokenizer.encode("ab", Special::Plain).unwrap(), [64, 65]);
    assert_eq!(tokenizer.encode("<|end|>", Special::Plain).unwrap().len(), 7);
}

#[test]
fn what_brooklet_stores_beside_ggml_counts() {
    let added = r#"[{"id":94,"content":"ab","special":false,"normalized":false,"single_word":true},
                    {"id":95,"content":"<|end|>","special":true,"lstrip":true,"rstrip":true,"single_word":false}]"#;
    let tokenizer = load(|w| {
        w.set("tokenizer.ggml.pre", Value::String("other"));
        w.set("brooklet.tokenizer.pre_regex", Value::String("[a-z]|."));
        w.set("brooklet.tokenizer.added_tokens", Value::String(added));
        w.set_u32s("brooklet.eos_token_ids", &[95, 3]);
        w.set("tokenizer.ggml.eot_token_id", Value::U32(4));
    })
    .unwrap();
    assert_eq!(tokenizer.eos_ids(), [95, 3, 4]);
    let ids = |text| tokenizer.encode(text, Special::Parse).unwrap();
    assert_eq!(ids("ab!abc"), [94, 0, 64, 65, 66], "a single word only; the regex keeps a and b apart");
    assert_eq!(ids("!  <|end|>\n!"), [0, 95, 0]);
    assert!(!tokenizer.is_special(94) && tokenizer.is_special(95));
}

#[test]
fn text_on_which_the_regex_gives_up_is_an_error() {
    // More white space in a row than the regex engine's stack holds.
    let error = load(|_| ()).unwrap().encode(&" ".repeat(1_100_000), Special::Plain).unwrap_err().to_string();
    assert!(error.starts_with("tokenizer: the pre-tokenizer regex gives up on this text: "), "{error}");
}

#[test]
fn any_damage_to_a_real_vocabulary_is_an_error_or_a_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.gguf");
    metadata(&fixture_dir().join("hf"), 1400).create(&path, &[]).unwrap().finish().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut seed = 1u64;
    let mut loaded = 0;
    for _ in 0..300 {
        let mut bytes = bytes.clone();
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let at = (seed >> 33) as usize % bytes.len();
        bytes[at] ^= 1 << ((seed >> 20) & 7);
        if let Ok(tokenizer) = brooklet::Gguf::from_bytes(bytes).and_then(|gguf| Tokenizer::from_gguf(&gguf))
        {
            let ids = tokenizer.encode_with_bos("The brook <|im_end|> 水 ran.\n\n").unwrap();
            tokenizer.decode(&ids, false).unwrap();
            loaded += 1;
        }
    }
    assert!(loaded > 0 && loaded < 300, "{loaded} of 300 load");
}
