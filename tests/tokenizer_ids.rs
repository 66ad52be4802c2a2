//! Ids and texts against Hugging Face's `tokenizers`: recorded from its Python package (whose regexes are
//! Oniguruma's), and live from the crate on generated text.

#[path = "common/hf_tokenizer.rs"]
mod hf_tokenizer;

use brooklet::gguf::{GgufWriter, Value};
use brooklet::tokenizer::Special;
use brooklet::{TokenDecoder, Tokenizer};
use hf_tokenizer::{fixture_dir, metadata, open, read_json};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use tokenizers::Model;
use tokenizers::models::bpe::BPE;

const VOCAB_SIZE: usize = 1400;

static OURS: LazyLock<Arc<Tokenizer>> = LazyLock::new(|| {
    Arc::new(Tokenizer::from_gguf(&open(metadata(&fixture_dir().join("hf"), VOCAB_SIZE))).unwrap())
});
static THEIRS: LazyLock<tokenizers::Tokenizer> =
    LazyLock::new(|| tokenizers::Tokenizer::from_file(fixture_dir().join("hf/tokenizer.json")).unwrap());
static THEIRS_PLAIN: LazyLock<tokenizers::Tokenizer> = LazyLock::new(|| {
    let mut tokenizer = THEIRS.clone();
    tokenizer.set_encode_special_tokens(true);
    tokenizer
});

fn ids(value: &serde_json::Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn recorded_texts_have_their_ids() {
    let expected = read_json(&fixture_dir().join("expected.json"));
    let mut count = 0;
    for (name, cases) in expected["encode"].as_object().unwrap() {
        for case in cases.as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let parsed = ids(&case["ids"]);
            let plain = case.get("plain").map_or_else(|| parsed.clone(), ids);
            assert_eq!(OURS.encode(text, Special::Parse).unwrap(), parsed, "{name}: {text:?}");
            assert_eq!(OURS.encode(text, Special::Plain).unwrap(), plain, "{name}, plain: {text:?}");
            assert_eq!(OURS.decode(&parsed, false).unwrap(), text, "{name}");
            let with_bos = OURS.encode_with_bos(text).unwrap();
            assert_eq!(with_bos.iter().filter(|&&id| id == 1).count(), 1, "{name}: {text:?}");
            assert!(with_bos.ends_with(&parsed), "{name}: {text:?}");
            count += 1;
        }
    }
    assert!(count > 250, "{count} cases");
}

#[test]
fn recorded_ids_have_their_texts() {
    let expected = read_json(&fixture_dir().join("expected.json"));
    for case in expected["decode"].as_array().unwrap() {
        let ids = ids(&case["ids"]);
        for (key, skip) in [("text", false), ("skip_special", true)] {
            assert_eq!(OURS.decode(&ids, skip).unwrap(), case[key].as_str().unwrap(), "{ids:?}");
        }
    }
}

#[test]
fn facts_of_the_vocabulary() {
    let tokenizer = &*OURS;
    assert_eq!(tokenizer.vocab_size(), VOCAB_SIZE);
    assert_eq!(tokenizer.bos(), Some(1));
    assert_eq!(tokenizer.eos_ids(), [7, 2], "the eos of the file, then <|endoftext|>");
    assert!(tokenizer.is_special(7) && !tokenizer.is_special(1398) && !tokenizer.is_special(9999));
    assert_eq!((tokenizer.token(7), tokenizer.id_of("<|im_end|>")), (Some("<|im_end|>"), Some(7)));
    assert_eq!((tokenizer.token(1398), tokenizer.id_of("python")), (Some("python"), Some(1398)));
    assert_eq!((tokenizer.token(1396), tokenizer.id_of("[PAD1396]")), (None, None), "a hole");
    assert_eq!((tokenizer.token(1400), tokenizer.token(u32::MAX)), (None, None));
    for id in 0..VOCAB_SIZE as u32 {
        assert_eq!(tokenizer.token(id).map(String::from), THEIRS.id_to_token(id));
        if let Some(text) = tokenizer.token(id) {
            assert_eq!(tokenizer.id_of(text), Some(id));
        }
    }
}

/// Merges of the letters a to c, of a space and of what merges before made, the same pair twice and the same token of several pairs
/// among them; and the vocabulary.
fn merges() -> impl Strategy<Value = (Vec<String>, Vec<(String, String)>)> {
    let places = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..40);
    places.prop_map(|places| {
        let mut vocab: Vec<String> = ["a", "b", "c", "Ġ"].map(String::from).to_vec();
        let mut merges = Vec::new();
        for (left, right) in places {
            let (left, right) = (left.get(&vocab).clone(), right.get(&vocab).clone());
            let merged = left.clone() + &right;
            if merged.chars().count() <= 6 {
                merges.push((left, right));
                if !vocab.contains(&merged) {
                    vocab.push(merged);
                }
            }
        }
        (vocab, merges)
    })
}

/// Text in which everything that matters to the tokenizer is likely.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<|im_end|>"),
        Just("<|startoftext|>"),
        Just("<|"),
        Just("|>"),
        Just("im_end"),
        Just("python"),
        Just("Mathias"),
        Just(" "),
        Just("\n"),
        Just("\r"),
        Just("\t"),
        Just("\u{3000}"),
        Just("'s"),
        Just("'LL"),
        Just("123"),
        Just("٣"),
        Just("brook"),
        Just("Wasser"),
        Just("ß"),
        Just("é"),
        Just("水"),
        Just("ひ"),
        Just("물"),
        Just("كان"),
        Just("🌊"),
        Just("\u{200d}"),
        Just("!"),
        Just("..."),
        Just("_"),
    ]
    .prop_map(String::from);
    prop::collection::vec(prop_oneof![3 => piece, 1 => any::<char>().prop_map(String::from)], 0..40)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_text_has_the_ids_of_tokenizers(text in text()) {
        let theirs = THEIRS.encode_fast(text.as_str(), false).unwrap();
        prop_assert_eq!(OURS.encode(&text, Special::Parse).unwrap(), theirs.get_ids());
        let theirs = THEIRS_PLAIN.encode_fast(text.as_str(), false).unwrap();
        let plain = OURS.encode(&text, Special::Plain).unwrap();
        prop_assert_eq!(&plain, theirs.get_ids());
        prop_assert!(plain.iter().all(|&id| !OURS.is_special(id)));
        prop_assert_eq!(OURS.decode(&plain, true).unwrap(), text);
    }

    #[test]
    fn any_merges_give_the_ids_of_tokenizers(
        (vocab, merges) in merges(),
        ignore_merges in any::<bool>(),
        // Of which d has no token.
        words in prop::collection::vec(" ?[abc]{0,12}d?[abc]{1,12}", 1..8),
    ) {
        let mut writer = GgufWriter::new();
        writer.set("tokenizer.ggml.model", Value::String("gpt2"));
        writer.set("tokenizer.ggml.pre", Value::String("lfm2"));
        writer.set_strings("tokenizer.ggml.tokens", &vocab);
        writer.set_i32s("tokenizer.ggml.token_type", &vec![1; vocab.len()]);
        let lines: Vec<String> = merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
        writer.set_strings("tokenizer.ggml.merges", &lines);
        writer.set("brooklet.tokenizer.ignore_merges", Value::Bool(ignore_merges));
        let ours = Tokenizer::from_gguf(&open(writer)).unwrap();
        let ids: tokenizers::models::bpe::Vocab = vocab.into_iter().zip(0..).collect();
        let theirs = BPE::builder().vocab_and_merges(ids, merges).ignore_merges(ignore_merges).build().unwrap();
        for word in words {
            let tokens: Vec<u32> = theirs.tokenize(&word.replace(' ', "Ġ")).unwrap().iter().map(|token| token.id).collect();
            prop_assert_eq!(ours.encode(&word, Special::Plain).unwrap(), tokens, "{}", word);
        }
    }

    #[test]
    fn any_ids_stream_to_what_they_decode_to(ids in prop::collection::vec(0u32..1500, 0..60), skip in any::<bool>()) {
        let mut decoder = TokenDecoder::new(Arc::clone(&OURS), skip);
        let mut streamed = String::new();
        for &id in &ids {
            streamed += &decoder.push(id).unwrap();
        }
        streamed += &decoder.finish();
        prop_assert_eq!(&streamed, &OURS.decode(&ids, skip).unwrap());
        prop_assert_eq!(streamed, THEIRS.decode(&ids, skip).unwrap());
    }
}

#[test]
fn characters_come_whole_and_as_soon_as_they_are() {
    let mut decoder = TokenDecoder::new(Arc::clone(&OURS), true);
    let ids = OURS.encode("\u{10ffff}x", Special::Plain).unwrap();
    assert_eq!(ids.len(), 5, "a character that no merge makes: {ids:?}");
    let pieces: Vec<String> = ids.iter().map(|&id| decoder.push(id).unwrap()).collect();
    assert_eq!(pieces, ["", "", "", "\u{10ffff}", "x"]);
    assert_eq!(decoder.push(ids[0]).unwrap(), "");
    assert_eq!(decoder.push(7).unwrap(), "", "a control token is skipped");
    assert_eq!(decoder.finish(), "\u{fffd}");
    assert_eq!(decoder.finish(), "");
}

#[test]
fn long_inputs_have_the_ids_of_tokenizers() {
    let corpus = read_json(&fixture_dir().join("expected.json"));
    let once: String = corpus["encode"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|cases| cases.as_array().unwrap())
        .map(|case| case["text"].as_str().unwrap())
        .collect();
    let text = once.repeat(300_000 / once.len());
    let theirs = THEIRS.encode_fast(text.as_str(), false).unwrap();
    assert!(OURS.encode(&text, Special::Parse).unwrap() == theirs.get_ids());
    for run in [" ", "\n", "a", "-", "1", "\u{3000}"] {
        let text = format!("{}x", run.repeat(20_000));
        let theirs = THEIRS.encode_fast(text.as_str(), false).unwrap();
        assert!(OURS.encode(&text, Special::Parse).unwrap() == theirs.get_ids(), "{run:?}");
    }
}
