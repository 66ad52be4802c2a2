//! `convert --lora` against what PEFT merges, and adapters that do not fit.
//!
//! The fixtures come from tests/fixtures/lora/make.py, which says what is what.

use crate::checkpoints::{different_keys, values};
use brooklet::Gguf;
use brooklet::model::Config;
use brooklet::model::tensors::specs;
use brooklet_tools::convert::{self, FileType, Options, Report};
use safetensors::SafeTensors;
use std::fs;
use std::path::{Path, PathBuf};

/// make.py keeps each so many-eth element.
const STRIDE: usize = 61;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn base(name: &str) -> PathBuf {
    fixtures().join("golden").join(name)
}

fn adapter(name: &str) -> PathBuf {
    fixtures().join("lora").join(name)
}

struct Merged {
    gguf: Gguf,
    report: Report,
    bytes: Vec<u8>,
}

fn merge(base: &Path, lora: &[PathBuf], options: &Options) -> convert::Result<Merged> {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out.gguf");
    let report = convert::convert(base, &out, &Options { lora, ..*options })?;
    Ok(Merged { gguf: Gguf::open(&out).expect("it opens"), report, bytes: fs::read(&out).expect("it reads") })
}

/// PEFT may sum in another order and fuse products: it differs by at most this part of a tensor's largest
/// magnitude. Measured: 0 without, 3.1e-7 with DoRA, whose lengths torch sums in f32.
const BOUND: f32 = 5e-7;

/// Compares a merge with make.py's result: names of the tensors that it changed, and the largest error.
fn compare(result: &str, model: &str, lora: &[&str]) -> f32 {
    let lora: Vec<PathBuf> = lora.iter().map(|name| adapter(name)).collect();
    let options = Options { file_type: FileType::F32, ..Default::default() };
    let plain = merge(&base(model), &[], &options).expect("it converts").gguf;
    let merged = merge(&base(model), &lora, &options).expect("it merges").gguf;
    let expected = fs::read(fixtures().join(format!("lora/{result}.merged.safetensors"))).expect("it reads");
    let expected = SafeTensors::deserialize(&expected).expect("safetensors");
    let mut worst = 0.0f32;
    let mut checked = 0;
    for spec in specs(&Config::from_gguf(&merged).expect("a config")) {
        if merged.tensor(&spec.gguf).is_none() {
            // PEFT's head equals the embedding then.
            assert!(spec.optional, "{}", spec.gguf);
            continue;
        }
        let ours = values(&merged, &spec.gguf);
        let Ok(theirs) = expected.tensor(&spec.hf) else {
            let source = if plain.tensor(&spec.gguf).is_some() { &spec.gguf } else { "token_embd.weight" };
            assert!(ours == values(&plain, source), "{result}: {} changes", spec.gguf);
            continue;
        };
        let theirs: Vec<f32> = theirs.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let ours: Vec<f32> = ours.into_iter().step_by(STRIDE).collect();
        assert_eq!(ours.len(), theirs.len(), "{result}: {}", spec.gguf);
        let largest = theirs.iter().fold(0.0f32, |max, v| max.max(v.abs()));
        for (a, b) in ours.iter().zip(&theirs) {
            worst = worst.max((a - b).abs() / largest);
            assert!((a - b).abs() <= BOUND * largest, "{result}: {}: {a} is not {b}", spec.gguf);
        }
        checked += 1;
    }
    assert_eq!(checked, expected.len(), "{result}");
    println!("{result}: {checked} tensors, {worst:e}");
    worst
}

#[test]
fn merges_are_those_of_peft() {
    for name in ["linear", "patterns", "layers", "linear-layers", "dora", "saved"] {
        compare(name, "odd", &[name]);
    }
    compare("two", "odd", &["linear", "dora"]);
}

#[test]
fn a_tied_head_stays_tied_only_if_it_changes_as_the_embedding_does() {
    for name in ["embedding", "head", "tied"] {
        compare(name, "official", &[name]);
        let options = Options { file_type: FileType::F16, ..Default::default() };
        let merged = merge(&base("official"), &[adapter(name)], &options).expect("it merges");
        let warned = merged.report.warnings.iter().any(|w| w.contains("the file has both"));
        let untied = name != "tied";
        assert_eq!((merged.gguf.tensor("output.weight").is_some(), warned), (untied, untied), "{name}");
    }
}

#[test]
fn a_merge_quantizes_as_its_float_file_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let (float, out) = (dir.path().join("float.gguf"), dir.path().join("out.gguf"));
    let lora = [adapter("embedding")];
    let direct = |file_type| {
        let options = Options { file_type, ..Default::default() };
        merge(&base("official"), &lora, &options).expect("it merges")
    };
    fs::write(&float, direct(FileType::F32).bytes).expect("written");
    for file_type in FileType::ALL {
        convert::quantize(&float, &out, &Options { file_type, ..Default::default() }).expect("it quantizes");
        let quantized = Gguf::open(&out).expect("it opens");
        let direct = direct(file_type);
        assert!(different_keys(&quantized, &direct.gguf).is_empty(), "{file_type}");
        assert!(fs::read(&out).expect("it reads") == direct.bytes, "{file_type}");
    }
}
