use crate::support::{Finished, brooklet, checkpoint, fails, fails_of, model};
use std::io::Read;
use std::process::{Command, Stdio};

const MODEL_COMMANDS: [&[&str]; 5] =
    [&["tokenize", "x"], &["logits", "-p", "x"], &["run", "-p", "x"], &["template", "-p", "x"], &["bench"]];

fn with_model<'a>(command: &[&'a str], model: &'a str) -> Vec<&'a str> {
    [command, &["-m", model]].concat()
}

#[test]
fn every_command_has_help_and_an_example() {
    let commands = [
        "demo",
        "convert",
        "quantize",
        "chat",
        "run",
        "inspect",
        "bench",
        "tokenize",
        "template",
        "logits",
        "perplexity",
        "synth",
    ];
    let overview = Finished::of(&mut brooklet(["--help"])).stdout;
    for command in commands {
        assert!(overview.contains(&format!("\n  {command} ")), "{command} in\n{overview}");
        let help = Finished::of(&mut brooklet([command, "--help"]));
        assert_eq!(help.code, Some(0));
        assert!(help.stdout.contains(&format!("Usage: brooklet {command}")), "{}", help.stdout);
        assert!(help.stdout.contains(&format!("\n  brooklet {command} ")), "{}", help.stdout);
    }
}

#[test]
fn usage_errors_exit_with_2() {
    let m = model();
    for args in [
        &[][..],
        &["frobnicate"],
        &["run", "-p", "x"],
        &["run", "-m", m, "-p", "x", "-f", "y"],
        &["run", "-m", m, "-p", "x", "--temp", "-1"],
        &["run", "-m", m, "-p", "x", "--top-p", "0"],
        &["run", "-m", m, "-p", "x", "--min-p", "2"],
        &["run", "-m", m, "-p", "x", "--repeat-penalty", "0"],
        &["run", "-m", m, "-p", "x", "-n", "-2"],
        &["run", "-m", m, "-p", "x", "-t", "0"],
        &["run", "-m", m, "-p", "x", "-c", "0"],
        &["run", "-m", m, "-p", "x", "--stop", ""],
        &["run", "-m", m, "-p", "x", "--raw", "--system", "y"],
        &["run", "-m", m, "-p", "x", "--kv-type", "q4_0"],
        &["logits", "-m", m],
        &["logits", "-m", m, "--ids", "1,-2"],
        &["logits", "-m", m, "--ids", "1", "-p", "x"],
        &["bench", "-m", m, "-p", "0", "-n", "0"],
        &["bench", "-m", m, "-r", "0"],
        &["inspect"],
    ] {
        let finished = Finished::of(&mut brooklet(args));
        assert_eq!(finished.code, Some(2), "{args:?}: {finished:?}");
        assert_eq!(finished.stdout, "", "{args:?}");
        assert!(!finished.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn usage_errors_say_what_is_expected() {
    let finished = Finished::of(&mut brooklet(["run", "-m", model(), "-p", "x", "--temp", "-1"]));
    assert!(finished.stderr.contains("'--temp <T>': expected a number of at least 0"), "{finished:?}");
    let finished = Finished::of(&mut brooklet(["run", "-m", model(), "-p", "x", "-n", "-2"]));
    assert!(finished.stderr.contains("expected a number of tokens, or -1 for no limit"), "{finished:?}");
}

#[test]
fn a_missing_model_is_named() {
    for command in MODEL_COMMANDS {
        fails(
            1,
            with_model(command, "/no/such.gguf"),
            &["/no/such.gguf", "No such file", "\nhint: ", "brooklet convert"],
        );
    }
    fails(1, ["inspect", "/no/such.gguf"], &["/no/such.gguf"]);
    fails(1, ["chat", "-m", "/no/such.gguf"], &["/no/such.gguf"]);
}

#[test]
fn what_is_no_gguf_is_told_to_be_converted() {
    let directory = checkpoint();
    let weights = directory.join("model.safetensors");
    for path in [directory.to_str().unwrap(), weights.to_str().unwrap()] {
        for command in MODEL_COMMANDS {
            fails(1, with_model(command, path), &[path, "hint: ", "brooklet convert"]);
        }
        fails(1, ["inspect", path], &[path, "hint: ", "brooklet convert"]);
    }
}

#[test]
fn damaged_files_are_errors_not_panics() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.gguf");
    let path = path.to_str().unwrap();
    let whole = std::fs::read(model()).unwrap();
    for keep in [0, 3, 4, 20, 100, 5000, whole.len() / 2, whole.len() - 1] {
        std::fs::write(path, &whole[..keep]).unwrap();
        for command in [&["inspect"][..], &["run", "-p", "x", "-m"], &["tokenize", "x", "-m"]] {
            fails(1, [command, &[path]].concat(), &[path]);
        }
    }
}

#[test]
fn ids_and_contexts_out_of_range_are_named() {
    let m = model();
    fails(1, ["logits", "-m", m, "--ids", "1,420"], &["420", "vocabulary"]);
    fails(1, ["logits", "-m", m, "--ids", "1,2,3", "-c", "2"], &["3 tokens do not fit a context of 2", "-c"]);
    fails(1, ["run", "-m", m, "-p", "Hello", "-c", "3"], &["do not fit a context of 3"]);
    fails(1, ["run", "-m", m, "-p", "x", "-c", "2049"], &["2049", "2048"]);
    fails(1, ["bench", "-m", m, "-p", "2049", "-n", "0"], &["2049", "2048"]);
    fails_of(1, brooklet(["run", "-m", m, "-p", "x"]).env("BROOKLET_ISA", "abacus"), &["abacus", "scalar"]);
}

#[test]
fn empty_prompts_are_refused() {
    let m = model();
    fails(1, ["run", "-m", m, "-p", ""], &["prompt is empty", "hint: "]);
    fails(1, ["run", "-m", m, "--raw", "-p", ""], &["prompt is empty"]);
    fails_of(1, brooklet(["run", "-m", m]).write_stdin("\n"), &["prompt is empty"]);
    fails_of(1, brooklet(["run", "-m", m]).write_stdin(b"\xff\xfe".to_vec()), &["not UTF-8"]);
    fails(1, ["run", "-m", m, "-f", "/no/prompt.txt"], &["/no/prompt.txt"]);
}

#[test]
fn bad_json_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.json");
    let path = path.to_str().unwrap();
    let m = model();
    for (text, says) in
        [("[", "EOF"), ("{\"a\": 1}", "expected a JSON array of function schemas"), ("[\"f\"]", "tool 1")]
    {
        std::fs::write(path, text).unwrap();
        fails(1, ["run", "-m", m, "-p", "x", "--tools", path], &[path, says]);
    }
    for (text, says) in [
        ("nonsense", "line 1"),
        ("[{\"content\": \"x\"}]", "role"),
        ("[{\"role\": \"robot\", \"content\": \"x\"}]", "'robot'"),
        ("[{\"role\": \"assistant\", \"content\": \"x\"}]", "do not end with a turn to answer"),
        ("[]", "do not end with a turn to answer"),
    ] {
        std::fs::write(path, text).unwrap();
        fails(1, ["run", "-m", m, "--messages", path], &[says]);
    }
    std::fs::write(path, "[{\"role\": \"system\", \"content\": \"x\"}]").unwrap();
    fails(1, ["run", "-m", m, "--messages", path, "--system", "y", "-p", "z"], &["--system", path]);
}

/// `brooklet … | head -c 1`: the reader leaves, and that is all right.
#[test]
fn a_closed_pipe_is_no_error() {
    let list = crate::support::join(&crate::support::golden().ids);
    for args in [
        &["run", "-m", model(), "-p", "Hello", "--ignore-eos", "--temp", "0", "-n", "500"][..],
        &["logits", "-m", model(), "--all", "--ids", &list],
        &["inspect", model(), "--full", "--json"],
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_brooklet"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 1]).unwrap();
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}
