//! The binary, a model to run it on, and what the checkpoint says of itself.

use assert_cmd::Command;
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// `brooklet ARGS…`, not yet started.
pub fn brooklet<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brooklet"));
    command.args(args).timeout(std::time::Duration::from_secs(120));
    command
}

/// What a finished command left.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs a command that must succeed; gives its standard output.
#[track_caller]
pub fn stdout<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    stdout_of(&mut brooklet(args))
}

/// As [`stdout`], of a prepared command.
#[track_caller]
pub fn stdout_of(command: &mut Command) -> String {
    let finished = Finished::of(command);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.stdout
}

/// Runs a command that must succeed and print JSON.
#[track_caller]
pub fn json<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Value {
    serde_json::from_str(&stdout(args)).unwrap()
}

/// Runs a command that must fail with this code and say these things on standard error, nothing on
/// standard output.
#[track_caller]
pub fn fails<S: AsRef<std::ffi::OsStr>>(code: i32, args: impl IntoIterator<Item = S>, says: &[&str]) {
    fails_of(code, &mut brooklet(args), says);
}

/// As [`fails`], of a prepared command.
#[track_caller]
pub fn fails_of(code: i32, command: &mut Command, says: &[&str]) {
    let finished = Finished::of(command);
    assert_eq!(finished.code, Some(code), "{finished:?}");
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.starts_with("error: "), "{finished:?}");
    for words in says {
        assert!(finished.stderr.contains(words), "expected '{words}' in {finished:?}");
    }
}

/// A checkpoint under tests/fixtures/golden.
pub fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/golden/official")
}

/// The checkpoint as an F32 GGUF file, converted once a test run.
pub fn model() -> &'static str {
    static MODEL: OnceLock<String> = OnceLock::new();
    MODEL.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli-official-f32.gguf");
        let path = path.to_str().unwrap().to_string();
        let _ = std::fs::remove_file(&path);
        convert(&checkpoint(), &path);
        path
    })
}

/// `brooklet convert CHECKPOINT -o GGUF --type f32`.
pub fn convert(checkpoint: &Path, gguf: &str) {
    stdout(["convert", checkpoint.to_str().unwrap(), "-o", gguf, "--type", "f32"]);
}

/// A copy of the checkpoint to change.
pub fn copy_checkpoint(into: &Path) {
    for entry in std::fs::read_dir(checkpoint()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), into.join(entry.file_name())).unwrap();
    }
}

/// transformers' figures for the checkpoint: a sequence of ids and the logits after each, row by row.
pub struct Golden {
    pub ids: Vec<u32>,
    pub logits: Vec<Vec<f32>>,
}

pub fn golden() -> Golden {
    let bytes = std::fs::read(checkpoint().join("golden.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (ids, logits) = (file.tensor("ids").unwrap(), file.tensor("logits").unwrap());
    let width = ids.data().len() / ids.shape()[0];
    let ids = ids.data().chunks(width).map(|b| u32::from_le_bytes(b[..4].try_into().unwrap())).collect();
    let values: Vec<f32> =
        logits.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let logits = values.chunks(logits.shape()[1]).map(<[f32]>::to_vec).collect();
    Golden { ids, logits }
}

/// Ids as the command line takes them.
pub fn join(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// A JSON array of numbers, read as f32 from its text.
pub fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.to_string().parse().unwrap()).collect()
}

/// A JSON array of ids.
pub fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| u32::try_from(v.as_u64().unwrap()).unwrap()).collect()
}

/// The index of the largest.
pub fn argmax(row: &[f32]) -> u32 {
    row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32
}
