//! A type for each matrix, measured, at the size of Q4_K_M. docs/quality.md has figures of trained models; these are small.

use super::models::{checkpoint, gguf};
use assert_cmd::Command;
use brooklet::{Gguf, Model, Tokenizer};
use brooklet_kernels::TensorType;
use brooklet_tools::convert::FileType;
use brooklet_tools::quality::{divergence, windows};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs brooklet; stderr of a command that should fail.
fn brooklet(args: &[&str], dir: &Path, succeeds: bool) -> String {
    let output = Command::cargo_bin("brooklet").expect("it is built").current_dir(dir).args(args).output();
    let output = output.expect("it runs");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.success(), succeeds, "{args:?}: {stderr}");
    stderr
}

fn divergence(file: &Path) -> f64 {
    let open = |path: &Path| Arc::new(Model::open(path).expect("it opens"));
    let text = fs::read_to_string(root().join("tests/fixtures/perplexity/text.txt")).expect("it reads");
    let base = open(&gguf("layers", FileType::F32));
    let options = windows::Options { context: CONTEXT, ..Default::default() };
    let measured = divergence::compare(&open(file), &base, &text, &options);
    measured.expect("it measures").kl_divergence.mean.value
}

/// A copy of the checkpoint, made for CONTEXT tokens: what is tried on every matrix is then short.
fn short(shape: &str, dir: &Path) -> String {
    let (from, to) = (checkpoint(shape), dir.join(shape));
    fs::create_dir(&to).expect("it is new");
    for entry in fs::read_dir(from).expect("it is there").map(|entry| entry.expect("it is there")) {
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("it copies");
        }
    }
    let config = fs::read(to.join("config.json")).expect("it reads");
    let mut config: Value = serde_json::from_slice(&config).expect("it parses");
    config["max_position_embeddings"] = CONTEXT.into();
    fs::write(to.join("config.json"), config.to_string()).expect("it writes");
    to.to_str().expect("UTF-8").to_string()
}

const CONTEXT: usize = 64;

/// Writes some windows of the licence.
fn write_text(dir: &Path) {
    let licence = fs::read_to_string(root().join("LICENSE-APACHE")).expect("it reads");
    fs::write(dir.join("text.txt"), &licence[..1000]).expect("it writes");
}

/// Calibrated on a text of another kind than the one that is measured on, both with the importance matrix of it.
#[test]
fn at_the_size_of_q4_k_m_it_is_nearer_to_the_float_model() {
    let dir = tempfile::tempdir().expect("a directory");
    let float = "float.gguf";
    brooklet(&["convert", &short("layers", dir.path()), "-T", "f32", "-o", float], dir.path(), true);
    write_text(dir.path());
    brooklet(&["imatrix", "-m", float, "-f", "text.txt", "-o", "imatrix.gguf"], dir.path(), true);
    brooklet(&["quantize", float, "k.gguf", "-T", "q4_k_m", "--imatrix", "imatrix.gguf"], dir.path(), true);
    let k = dir.path().join("k.gguf");
    let size = fs::metadata(&k).expect("it is there").len();
    let in_kib = format!("{}KiB", size as f64 / 1024.0);
    let auto = ["-T", "auto", "--size", &in_kib, "--calibrate", "text.txt"];
    brooklet(&[&["quantize", float, "auto.gguf"], &auto[..]].concat(), dir.path(), true);
    let auto_file = dir.path().join("auto.gguf");
    let found = fs::metadata(&auto_file).expect("it is there").len();
    assert!(found <= size && found >= size - size / 100, "{found} bytes of {size}");
    let ratio = divergence(&auto_file) / divergence(&k);
    println!("divergence at {found} bytes: {ratio:.3} of Q4_K_M's");
    // Measured: 0.16.
    assert!(ratio <= 0.25, "{ratio:.3}");
}

#[test]
fn sizes_that_cannot_be_met_and_options_that_do_not_go_together() {
    let dir = tempfile::tempdir().expect("a directory");
    let float = gguf("layers", FileType::BF16);
    let (float, text) = (float.to_str().expect("UTF-8"), "text.txt");
    write_text(dir.path());
    let fails = |args: &[&str], expected: &str| {
        let stderr = brooklet(&[&["quantize", float, "out.gguf"], args].concat(), dir.path(), false);
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
        assert!(!dir.path().join("out.gguf").exists());
    };
    fails(&["-T", "auto", "--size", "700KB", "--calibrate", text], "the smallest file that there is takes");
    fails(&["-T", "auto", "--size", "2.4bpw", "--calibrate", text], "the smallest file that there is takes");
    fails(&["-T", "auto", "--calibrate", text], "--size");
    fails(&["--size", "4MB"], "--type auto");
    fails(&["-T", "auto", "--size", "4", "--calibrate", text], "expected a size with its unit");
    fails(&["-T", "auto", "--size", "99bpw", "--calibrate", text], "32 bits at most");
    fails(&["-T", "aut"], "q4_k_m");
    let short = dir.path().join("short.txt");
    fs::write(&short, "too short").expect("it writes");
    fails(&["-T", "auto", "--size", "4MB", "--calibrate", "short.txt"], "short.txt");
}

/// Bits a weight bound what tensors take, and few bits need small types.
#[test]
fn bits_a_weight_are_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let directory = short("layers", dir.path());
    // By a text that the model writes.
    let auto = ["-T", "auto", "--size", "3bpw"];
    brooklet(&[&["convert", &directory, "-o", "out.gguf"], &auto[..]].concat(), dir.path(), true);
    let gguf = Gguf::open(&dir.path().join("out.gguf")).expect("it opens");
    let bytes: usize = gguf.tensors().iter().map(|t| t.len).sum();
    let params: usize = gguf.tensors().iter().map(|t| t.shape.iter().product::<usize>()).sum();
    let found = bytes as f64 * 8.0 / params as f64;
    assert!(found <= 3.0 && found > 2.95, "{found}");
    let types: BTreeSet<TensorType> = gguf.tensors().iter().map(|t| t.ty).collect();
    assert!(types.contains(&TensorType::Q2_K) && !types.contains(&TensorType::Q8_0), "{types:?}");
    Tokenizer::from_gguf(&gguf).expect("it is whole");
}

/// The same weights, the same text that the model writes: the same types and bytes.
#[test]
fn a_checkpoint_becomes_what_its_float_file_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let directory = short("official", dir.path());
    let auto = ["-T", "auto", "--size", "5.5bpw"];
    brooklet(&["convert", &directory, "-T", "f32", "-o", "float.gguf"], dir.path(), true);
    brooklet(&[&["quantize", "float.gguf", "out.gguf"], &auto[..]].concat(), dir.path(), true);
    brooklet(&[&["convert", &directory, "-o", "checkpoint.gguf"], &auto[..]].concat(), dir.path(), true);
    let open = |name: &str| Gguf::open(&dir.path().join(name)).expect("it opens");
    let (from_file, from_checkpoint) = (open("out.gguf"), open("checkpoint.gguf"));
    let types: BTreeSet<TensorType> = from_file.tensors().iter().map(|t| t.ty).collect();
    assert!(types.len() > 2 && types.contains(&TensorType::IQ4_NL), "{types:?}");
    assert_eq!(from_checkpoint.tensors().len(), from_file.tensors().len());
    for (a, b) in from_checkpoint.tensors().iter().zip(from_file.tensors()) {
        assert_eq!((&a.name, a.ty, &a.shape), (&b.name, b.ty, &b.shape));
        assert!(from_checkpoint.data(a) == from_file.data(b), "{}", a.name);
    }
}
