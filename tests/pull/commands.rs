//! The command line as a user types it.

use crate::server::sha256;
use crate::{Setup, bytes};
use assert_cmd::Command;
use brooklet_tools::convert::{FileType, Options, convert};
use std::fs;
use std::path::{Path, PathBuf};

const GREEDY: [&str; 6] = ["-p", "Hello", "-n", "6", "--temp", "0"];

/// `brooklet ARGS…` with the test's hub and cache, and nothing else from the environment.
fn brooklet(setup: &Setup, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brooklet"));
    for name in [
        "HF_HUB_OFFLINE",
        "HF_TOKEN_PATH",
        "HF_HOME",
        "XDG_CACHE_HOME",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    command
        .args(args)
        .env("BROOKLET_CACHE", &setup.settings.cache)
        .env("HF_ENDPOINT", &setup.settings.endpoint)
        .env("HF_TOKEN", "hf_secret")
        .env("HOME", setup.cache.path());
    command
}

/// Standard output of a command that succeeds.
#[track_caller]
fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/golden/official")
}

/// The checkpoint's files, as a repository would hold them.
fn checkpoint_files() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(checkpoint()).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|p| (p.file_name().unwrap().to_str().unwrap().to_string(), fs::read(&p).unwrap()))
        .collect();
    files.sort();
    files
}

fn setup(files: &[(String, Vec<u8>)]) -> Setup {
    Setup::new(&files.iter().map(|(n, c)| (&**n, &**c)).collect::<Vec<_>>())
}

/// The checkpoint as a GGUF file of this type, made without any hub.
fn gguf(folder: &Path, file_type: FileType) -> PathBuf {
    let path = folder.join("expected.gguf");
    convert(&checkpoint(), &path, &Options { file_type, ..Options::default() }).unwrap();
    path
}

#[test]
fn a_gguf_file_is_pulled_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = gguf(folder.path(), FileType::Q8_0);
    let setup = setup(&[("LFM2-tiny-Q8_0.gguf".into(), fs::read(&file).unwrap())]);
    let expected =
        stdout(&mut brooklet(&setup, &[&["run", "-m", file.to_str().unwrap()], &GREEDY[..]].concat()));

    assert_eq!(
        stdout(&mut brooklet(&setup, &[&["run", "-m", "hf:o/r:q8_0"], &GREEDY[..]].concat())),
        expected
    );
    let path = stdout(&mut brooklet(&setup, &["pull", "o/r:Q8_0"]));
    assert_eq!(fs::read(path.trim_end()).unwrap(), fs::read(&file).unwrap());

    // From here on nobody is asked.
    let asked = setup.hub.requests().len();
    let chat = stdout(brooklet(&setup, &["chat", "-m", "hf:o/r"]).env("HF_HUB_OFFLINE", "1").write_stdin(""));
    assert_eq!(chat, "");
    let ids = |model| stdout(&mut brooklet(&setup, &["tokenize", "-m", model, "Hello"]));
    assert_eq!(ids("hf:o/r:Q8_0"), ids(file.to_str().unwrap()));
    let inspected = stdout(&mut brooklet(&setup, &["inspect", "hf:o/r:Q8_0"]));
    assert!(inspected.contains("Q8_0"), "{inspected}");
    let bench =
        ["bench", "-m", "hf:o/r:Q8_0", "-p", "4", "-n", "0", "-r", "1", "-t", "1", "--no-limits", "--json"];
    assert!(stdout(&mut brooklet(&setup, &bench)).contains("LFM2-tiny-Q8_0.gguf"));
    assert_eq!(setup.hub.requests().len(), asked);
}

#[test]
fn a_checkpoint_is_pulled_converted_once_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = gguf(folder.path(), FileType::Q8_0);
    let setup = setup(&checkpoint_files());
    let run = |model: &str| stdout(&mut brooklet(&setup, &[&["run", "-m", model], &GREEDY[..]].concat()));
    assert_eq!(run("hf:o/r:Q8_0"), run(file.to_str().unwrap()));
    assert_eq!(setup.network.count("/model.safetensors?signature=1"), 1);
    assert_eq!(setup.hub.count("golden.safetensors"), 0);

    let converted = stdout(&mut brooklet(&setup, &["pull", "o/r:q8_0"]));
    assert!(converted.ends_with("converted/r-Q8_0.gguf\n"), "{converted}");
    let written = fs::metadata(converted.trim_end()).unwrap().modified().unwrap();
    // Not converted again; another type needs no download.
    let asked = setup.hub.requests().len();
    run("hf:o/r:Q8_0");
    assert_eq!(fs::metadata(converted.trim_end()).unwrap().modified().unwrap(), written);
    run("hf:o/r");
    assert_eq!(setup.hub.requests().len(), asked);
    assert_eq!(setup.models().len(), 2, "{:?}", setup.models());

    // Without the checkpoint what was converted still runs.
    for file in setup.files().iter().filter(|f| f.ends_with(".safetensors")) {
        fs::remove_file(setup.cache.path().join(file)).unwrap();
    }
    run("hf:o/r:Q8_0");
    assert_eq!(setup.hub.requests().len(), asked);
}

#[test]
fn convert_takes_a_checkpoint_from_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(&checkpoint_files());
    let out = stdout(brooklet(&setup, &["convert", "hf:o/r", "--type", "f32"]).current_dir(folder.path()));
    assert_eq!(out, "r-F32.gguf\n");
    let shown = stdout(brooklet(&setup, &["inspect", "r-F32.gguf"]).current_dir(folder.path()));
    assert!(shown.contains("F32"));
    let refused = brooklet(&setup, &["convert", "hf:o/r:q4_0"]).output().unwrap();
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && stderr.contains("--type q4_0"), "{stderr}");
}

#[test]
fn another_kind_of_model_is_refused_before_its_weights_come() {
    let mut files = checkpoint_files();
    files.iter_mut().find(|(n, _)| n == "config.json").unwrap().1 = br#"{"model_type": "gpt2"}"#.to_vec();
    let setup = setup(&files);
    let output = brooklet(&setup, &["pull", "o/r"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && stderr.contains("gpt2"), "{stderr}");
    assert_eq!(setup.network.requests().len(), 0);
}

#[test]
fn names_that_are_none_are_usage_errors() {
    let setup = Setup::new(&[]);
    for args in
        [&["pull", "x"][..], &["pull", "../..:q4_0"], &["run", "-m", "hf:x", "-p", "a"], &["inspect", "hf:"]]
    {
        let output = brooklet(&setup, args).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && stderr.contains("ORG/REPO:TYPE"), "{stderr}");
    }
    assert_eq!(setup.hub.requests().len(), 0);
}

#[test]
fn the_default_type_is_said() {
    let setup = Setup::new(&[("M-Q4_0.gguf", b"x"), ("M-Q4_K_M.gguf", b"y")]);
    let output = brooklet(&setup, &["pull", "o/r"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("no type asked for, taking M-Q4_K_M.gguf"), "{stderr}");
}

#[test]
fn two_at_once_download_once() {
    let content = bytes(3_000_000, 1);
    let setup = Setup::new(&[("M-Q4_0.gguf", &content)]);
    let paths: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> =
            (0..3).map(|_| scope.spawn(|| stdout(&mut brooklet(&setup, &["pull", "o/r"])))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(paths.iter().all(|p| *p == paths[0]), "{paths:?}");
    assert_eq!(fs::read(paths[0].trim_end()).unwrap(), content);
    assert_eq!(setup.network.requests().len(), 1);
}

/// A limit on the size of files fails writes as a full disk does.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said_and_the_rest_comes_later() {
    let content = bytes(300_000, 2);
    let setup = Setup::new(&[("M-Q4_0.gguf", &content)]);
    // Blocks of 1 KiB.
    let script = format!("trap '' XFSZ; ulimit -f 100; exec '{}' pull o/r", env!("CARGO_BIN_EXE_brooklet"));
    let mut command = Command::new("bash");
    command
        .args(["-c", &script])
        .env("BROOKLET_CACHE", &setup.settings.cache)
        .env("HF_ENDPOINT", &setup.hub.address);
    let output = command.env("HOME", setup.cache.path()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for words in ["cannot write", &sha256(&content), "free some space", "BROOKLET_CACHE"] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
    assert_eq!(setup.models(), [""; 0]);
    let path = stdout(&mut brooklet(&setup, &["pull", "o/r"]));
    assert_eq!(fs::read(path.trim_end()).unwrap(), content);
    assert_eq!(setup.network.requests()[1].from(), Some(100 << 10));
}

#[test]
fn a_token_file_counts_and_a_bad_token_is_named_and_not_shown() {
    let setup = Setup::new(&[("M-Q4_0.gguf", b"x")]);
    let hub = setup.cache.path().join(".cache/huggingface");
    fs::create_dir_all(&hub).unwrap();
    fs::write(hub.join("token"), "hf_file\n").unwrap();
    stdout(brooklet(&setup, &["pull", "o/r"]).env_remove("HF_TOKEN"));
    assert_eq!(setup.hub.requests()[0].headers["authorization"], "Bearer hf_file");
    let output = brooklet(&setup, &["pull", "o/r"]).env("HF_TOKEN", "se cret").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && stderr.contains("HF_TOKEN") && !stderr.contains("se cret"),
        "{stderr}"
    );
}
