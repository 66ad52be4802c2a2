//! `--receipt`: the figures in a file are those that `perplexity --base` measures, and its tokenizer can be checked.

use crate::commands::{Output, files, run};
use brooklet::Gguf;
use brooklet::gguf::{GgufWriter, TensorPlan, Value};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

/// The demo model's checkpoint, and a text of two windows.
fn inputs() -> [String; 2] {
    static DIR: LazyLock<TempDir> = LazyLock::new(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let licence = fs::read_to_string(format!("{}/../LICENSE-APACHE", env!("CARGO_MANIFEST_DIR")));
        fs::write(dir.path().join("licence.txt"), &licence.expect("it is there")[..3000]).expect("a text");
        dir
    });
    let text = DIR.path().join("licence.txt");
    [format!("{}/../models/demo", env!("CARGO_MANIFEST_DIR")), text.to_str().expect("UTF-8").to_string()]
}

fn ok(output: Output) -> Output {
    assert_eq!(output.code, 0, "{}", output.stderr);
    output
}

fn number(gguf: &Gguf, key: &str) -> f64 {
    match gguf.get(&format!("brooklet.receipt.{key}")) {
        Some(Value::F64(x)) => x,
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn a_receipt_says_what_was_measured_and_changes_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let [model, text] = inputs();
    ok(run(dir.path(), &["convert", &model, "-T", "q4_0", "-o", "plain.gguf"]));
    let out = ok(run(dir.path(), &["convert", &model, "-T", "q4_0", "-o", "with.gguf", "--receipt", &text]));
    assert_eq!(out.stdout, "with.gguf\n");
    assert_eq!(files(dir.path()), ["plain.gguf", "with.gguf"]);

    let [plain, with] =
        ["plain.gguf", "with.gguf"].map(|f| Gguf::open(&dir.path().join(f)).expect("it opens"));
    assert_eq!(plain.tensors().len(), with.tensors().len());
    for (a, b) in plain.tensors().iter().zip(with.tensors()) {
        assert_eq!((&a.name, a.ty, &a.shape), (&b.name, b.ty, &b.shape));
        assert!(plain.data(a) == with.data(b), "{}", a.name);
    }
    let keys = |gguf: &Gguf| gguf.metadata().map(|(key, _)| key.to_string()).collect::<Vec<_>>();
    let kept: Vec<_> = keys(&with).into_iter().filter(|key| !key.starts_with("brooklet.")).collect();
    assert_eq!(kept, keys(&plain));

    // The same measurement by hand, to the bit.
    let by_hand = ["perplexity", "-m", "plain.gguf", "-f", &text, "--base", &model, "--json"];
    let measured: serde_json::Value =
        serde_json::from_str(&ok(run(dir.path(), &by_hand)).stdout).expect("JSON");
    for (key, pointer) in [
        ("perplexity", "/perplexity/value"),
        ("perplexity.error", "/perplexity/error"),
        ("base_perplexity", "/base_perplexity/value"),
        ("perplexity_ratio", "/ratio/value"),
        ("kl_divergence", "/kl_divergence/mean/value"),
        ("kl_divergence.error", "/kl_divergence/mean/error"),
        ("kl_divergence.median", "/kl_divergence/median"),
        ("kl_divergence.p99", "/kl_divergence/p99"),
        ("same_top", "/same_top/value"),
    ] {
        let expected = measured.pointer(pointer).and_then(serde_json::Value::as_f64);
        assert_eq!(Some(number(&with, key)), expected, "{key}");
    }

    let shown = ok(run(dir.path(), &["inspect", "with.gguf"])).stdout;
    assert!(shown.contains("Receipt\n") && shown.contains("of licence.txt (SHA-256 "), "{shown}");
    let kl = format!("{:.6} ± ", number(&with, "kl_divergence"));
    assert!(shown.lines().any(|line| line.contains("KL divergence, mean") && line.contains(&kl)), "{shown}");
    assert!(!ok(run(dir.path(), &["inspect", "plain.gguf"])).stdout.contains("Receipt\n"));
}

#[test]
fn a_quantized_gguf_gets_a_receipt_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let [model, text] = inputs();
    ok(run(dir.path(), &["convert", &model, "-T", "bf16", "-o", "base.gguf"]));
    ok(run(dir.path(), &["quantize", "base.gguf", "q.gguf", "-T", "q4_0", "--receipt", &text]));
    ok(run(dir.path(), &["convert", &model, "-T", "q4_0", "-o", "with.gguf", "--receipt", &text]));
    let [quantized, converted] =
        ["q.gguf", "with.gguf"].map(|f| Gguf::open(&dir.path().join(f)).expect("it opens"));
    for key in ["perplexity", "base_perplexity", "kl_divergence", "same_top"] {
        assert_eq!(number(&quantized, key), number(&converted, key), "{key}");
    }
    for key in ["brooklet.self_test.texts", "brooklet.self_test.ids"] {
        assert_eq!(quantized.get(key), converted.get(key));
    }
    let over = run(dir.path(), &["quantize", "base.gguf", "base.gguf", "-T", "q4_0", "--receipt", &text]);
    assert!(over.code == 1 && over.stderr.contains("base.gguf"), "{}", over.stderr);
}

fn strings(gguf: &Gguf, key: &str) -> Vec<String> {
    let Some(Value::Array(array)) = gguf.get(key) else { panic!("{key} is no array") };
    let text = |value| match value {
        Value::String(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    array.iter().map(text).collect()
}

/// Writes the file anew with these ids for the first text.
fn change_ids(from: &Path, to: &Path, ids: &str) {
    let gguf = Gguf::open(from).expect("it opens");
    let mut all = strings(&gguf, "brooklet.self_test.ids");
    all[0] = ids.to_string();
    let mut writer = GgufWriter::new();
    writer.copy_metadata(&gguf);
    writer.set_strings("brooklet.self_test.ids", all);
    let plan = |t: &brooklet::gguf::TensorInfo| TensorPlan {
        name: t.name.clone(),
        ty: t.ty,
        shape: t.shape.clone(),
    };
    let plans: Vec<_> = gguf.tensors().iter().map(plan).collect();
    let mut stream = writer.create(to, &plans).expect("a file");
    gguf.tensors().iter().for_each(|t| stream.write(gguf.data(t)).expect("it writes"));
    stream.finish().expect("it ends");
}

#[test]
fn the_self_test_finds_another_tokenizer() {
    let dir = tempfile::tempdir().expect("a directory");
    let [model, text] = inputs();
    ok(run(dir.path(), &["convert", &model, "-T", "q8_0", "-o", "m.gguf", "--receipt", &text]));
    // The ids are those of the reference.
    let reference = tokenizers::Tokenizer::from_file(format!("{model}/tokenizer.json")).expect("a tokenizer");
    let gguf = Gguf::open(&dir.path().join("m.gguf")).expect("it opens");
    let texts = strings(&gguf, "brooklet.self_test.texts");
    assert_eq!(texts.len(), 8);
    for (text, ids) in texts.iter().zip(strings(&gguf, "brooklet.self_test.ids")) {
        let encoding = reference.encode(text.as_str(), false).expect("ids");
        let expected: Vec<String> = encoding.get_ids().iter().map(u32::to_string).collect();
        assert_eq!(ids, expected.join(" "), "{text:?}");
    }
    let verify = |file: &str| run(dir.path(), &["run", "-m", file, "--verify", "-n", "1", "-p", "Hello"]);
    let out = ok(verify("m.gguf"));
    assert!(out.stderr.contains("in 8 of 8 texts"), "{}", out.stderr);
    let change = |ids| change_ids(&dir.path().join("m.gguf"), &dir.path().join("x.gguf"), ids);
    for (ids, expected) in [
        ("1 2 3", "\"Hello, world!\" should be tokens [1, 2, 3], but is ["),
        ("1 two", "brooklet.self_test.ids: expected ids, found String(\"two\")"),
    ] {
        change(ids);
        let out = verify("x.gguf");
        assert!(out.code == 1 && out.stderr.contains(expected), "{}", out.stderr);
    }
    ok(run(dir.path(), &["convert", &model, "-T", "q8_0", "-o", "plain.gguf"]));
    let out = verify("plain.gguf");
    assert!(out.code == 1 && out.stderr.contains("no self-test"), "{}", out.stderr);
}

#[test]
fn without_a_measurement_there_is_no_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let [model, _] = inputs();
    fs::write(dir.path().join("short.txt"), "Too short.").expect("a text");
    fs::write(dir.path().join("bad.txt"), [0xff, 0xfe]).expect("a text");
    for (text, expected) in
        [("short.txt", "a window takes 512"), ("bad.txt", "UTF-8"), ("none.txt", "none.txt")]
    {
        let out = run(dir.path(), &["convert", &model, "-o", "m.gguf", "--receipt", text]);
        assert!(out.code == 1 && out.stderr.contains(expected), "{text}: {}", out.stderr);
        assert_eq!(files(dir.path()), ["bad.txt", "short.txt"]);
    }
}
