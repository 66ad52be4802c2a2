//! `brooklet convert`, `quantize` and `synth` as a user types them.

use crate::checkpoint::Checkpoint;
use assert_cmd::Command;
use std::fs;
use std::path::Path;

fn brooklet(dir: &Path) -> Command {
    let mut command = Command::cargo_bin("brooklet").expect("the binary is built");
    command.current_dir(dir);
    command
}

pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

pub fn run(dir: &Path, args: &[&str]) -> Output {
    let output = brooklet(dir).args(args).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Output {
        code: output.status.code().expect("no signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

pub fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("it reads")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn convert_names_the_file_and_prints_its_path() {
    let dir = tempfile::tempdir().expect("a directory");
    Checkpoint::small().write(&dir.path().join("LFM2-tiny"));
    // Q4_0 in the current directory, unless something else is said.
    let out = run(dir.path(), &["convert", "LFM2-tiny"]);
    assert_eq!((out.code, out.stdout.as_str()), (0, "LFM2-tiny-Q4_0.gguf\n"), "{}", out.stderr);
    assert!(out.stderr.contains("Q4_0") && out.stderr.contains("bits a weight"), "{}", out.stderr);
    // No progress bar where stderr is no terminal.
    assert!(!out.stderr.contains('\r') && !out.stderr.contains('\u{1b}'), "{:?}", out.stderr);

    fs::create_dir(dir.path().join("out")).expect("a directory");
    let out = run(dir.path(), &["convert", "LFM2-tiny/", "-o", "out", "--type", "q5_k_m", "-t", "1"]);
    assert_eq!((out.code, out.stdout.as_str()), (0, "out/LFM2-tiny-Q5_K_M.gguf\n"), "{}", out.stderr);
    let out = run(&dir.path().join("LFM2-tiny"), &["convert", ".", "-o", "../x.gguf", "-T", "F16"]);
    assert_eq!((out.code, out.stdout.as_str()), (0, "../x.gguf\n"), "{}", out.stderr);
    assert_eq!(files(dir.path()), ["LFM2-tiny", "LFM2-tiny-Q4_0.gguf", "out", "x.gguf"]);
}

#[test]
fn convert_merges_adapters_and_inspect_names_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let fixture = |name: &str| fixtures.join(name).to_str().expect("UTF-8").to_string();
    let (model, linear, dora) = (fixture("golden/odd"), fixture("lora/linear"), fixture("lora/dora"));
    // The file's name is the model's and the adapters', so that it does not replace the plain one.
    let out = run(dir.path(), &["convert", &model, "--lora", &linear, "--lora", &dora, "--type", "f16"]);
    assert_eq!((out.code, out.stdout.as_str()), (0, "odd-linear-dora-F16.gguf\n"), "{}", out.stderr);
    let out = run(dir.path(), &["inspect", "odd-linear-dora-F16.gguf"]);
    assert!(out.stdout.contains("LoRA            linear, dora, merged"), "{}", out.stdout);
    assert!(out.stdout.contains("brooklet.lora.1.name = \"dora\""), "{}", out.stdout);

    let scaled = ["convert", &model, "--lora", &linear, "--lora-scale", "-0.5", "-o", "x.gguf"];
    assert_eq!(run(dir.path(), &scaled).code, 0);
    for (args, code, expected) in [
        (&["convert", &model, "--lora", &linear, "--lora-scale", "nan"][..], 2, "expected a number"),
        (&["convert", &model, "--lora-scale", "2"], 2, "--lora"),
        (&["convert", &model, "--lora", &model], 1, "without adapter_config.json"),
    ] {
        let out = run(dir.path(), args);
        assert!(out.code == code && out.stderr.contains(expected), "{args:?}: {}", out.stderr);
    }
    assert_eq!(files(dir.path()), ["odd-linear-dora-F16.gguf", "x.gguf"]);
}

#[test]
fn quantize_does_the_same_from_a_float_file() {
    let dir = tempfile::tempdir().expect("a directory");
    Checkpoint::small().write(&dir.path().join("m"));
    for args in [
        &["convert", "m", "-o", "f.gguf", "--type", "bf16"][..],
        &["convert", "m", "-o", "direct.gguf", "--type", "q8_0"],
        &["quantize", "f.gguf", "q.gguf", "--type", "q8_0"],
    ] {
        let out = run(dir.path(), args);
        assert_eq!(out.code, 0, "{}", out.stderr);
    }
    let read = |name: &str| fs::read(dir.path().join(name)).expect("it reads");
    assert!(read("q.gguf") == read("direct.gguf"));

    let out = run(dir.path(), &["quantize", "f.gguf", "f.gguf"]);
    assert_eq!(out.code, 1);
    assert!(out.stderr.contains("both input and output"), "{}", out.stderr);
    let out = run(dir.path(), &["quantize", "q.gguf", "z.gguf", "--type", "q4_0"]);
    assert!(out.code == 1 && out.stderr.contains("quantized already"), "{}", out.stderr);
    assert_eq!(files(dir.path()), ["direct.gguf", "f.gguf", "m", "q.gguf"]);
}

#[test]
fn errors_have_exit_codes_and_leave_stdout_empty() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("empty")).expect("a directory");
    for (args, code, expected) in [
        (&["convert", "empty"][..], 1, "no config.json"),
        (&["convert", "nowhere"], 1, "no directory"),
        (&["convert"], 2, "DIR"),
        (&["convert", "empty", "--type", "q9"], 2, "q4_k_m"),
        (&["convert", "empty", "-t", "0"], 2, "threads"),
        (&["quantize", "a.gguf"], 2, "OUT.gguf"),
        (&["quantize", "a.gguf", "b.gguf"], 1, "a.gguf"),
        (&["synth", "--size", "3B", "-o", "x"], 2, "1.2B"),
        (&["synth", "--size", "350M", "-o", "nowhere/x"], 1, "nowhere"),
    ] {
        let out = run(dir.path(), args);
        assert_eq!(out.code, code, "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains(expected), "{args:?}: {}", out.stderr);
        assert_eq!(out.stdout, "", "{args:?}");
    }
    fs::write(dir.path().join("empty/file"), "").expect("written");
    let out = run(dir.path(), &["synth", "--size", "350M", "-o", "empty"]);
    assert!(out.code == 1 && out.stderr.contains("there already"), "{}", out.stderr);
    assert_eq!(files(dir.path()), ["empty"]);
}

/// A limit on the size of files fails writes as a full disk does.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    Checkpoint::small().write(&dir.path().join("m"));
    let binary = assert_cmd::cargo::cargo_bin("brooklet");
    for args in ["convert m -o out.gguf", "synth --size 350M -o s"] {
        // Blocks of 1 KiB.
        let script = format!("trap '' XFSZ; ulimit -f 40; exec \"$0\" {args}");
        let output = std::process::Command::new("bash")
            .args(["-c", &script])
            .arg(&binary)
            .current_dir(dir.path())
            .output()
            .expect("it runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("cannot write") && stderr.contains("too large"), "{stderr}");
        assert_eq!(files(dir.path()), ["m"], "{args}");
    }
}

#[test]
fn help_is_for_newcomers() {
    let dir = tempfile::tempdir().expect("a directory");
    let help = run(dir.path(), &["convert", "--help"]);
    assert_eq!(help.code, 0);
    for word in ["config.json", "q4_k_m", "[default: q4_0]", "LFM2-350M-Q4_0.gguf"] {
        assert!(help.stdout.contains(word), "{word} is not in: {}", help.stdout);
    }
    let help = run(dir.path(), &["synth", "--help"]).stdout;
    assert!(help.contains("350M") && help.contains("seed"), "{help}");
}
