//! Models from the hub that the cache holds already: no download, and no feature for it, is needed.

use crate::support::{Finished, brooklet, fails_of, model, stdout, stdout_of};
use assert_cmd::Command;
use std::fs;
use std::path::Path;

/// A command with this cache, which asks nobody.
fn offline(cache: &Path, args: &[&str]) -> Command {
    let mut command = brooklet(args);
    command.env("BROOKLET_CACHE", cache).env("HF_HUB_OFFLINE", "1").env_remove("HF_TOKEN").env("HOME", cache);
    command
}

/// A cache as docs/hub.md describes it, with the model as `o/r:F32`.
fn cache() -> tempfile::TempDir {
    let cache = tempfile::tempdir().unwrap();
    let repo = cache.path().join("hub/o/r");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    fs::create_dir_all(repo.join("revisions")).unwrap();
    fs::create_dir_all(repo.join(commit).join("r")).unwrap();
    fs::write(repo.join("revisions/main"), format!("{commit}\n")).unwrap();
    let size = fs::copy(model(), repo.join(commit).join("r/tiny-F32.gguf")).unwrap();
    let digest = serde_json::json!({"sha256": "0".repeat(64)});
    let files = [serde_json::json!({"name": "tiny-F32.gguf", "size": size, "digest": digest})];
    let list = serde_json::json!({"commit": commit, "files": files, "others": []});
    fs::write(repo.join(commit).join("files.json"), list.to_string()).unwrap();
    cache
}

#[test]
fn what_the_cache_holds_runs() {
    let cache = cache();
    let expected = stdout(["tokenize", "-m", model(), "Hello"]);
    for name in ["hf:o/r", "hf:o/r:f32", "hf:o/r@main:F32"] {
        assert_eq!(stdout_of(&mut offline(cache.path(), &["tokenize", "-m", name, "Hello"])), expected);
    }
    let finished = Finished::of(&mut offline(cache.path(), &["pull", "o/r:f32"]));
    assert!(finished.stdout.ends_with("tiny-F32.gguf\n"), "{finished:?}");
    assert!(finished.stderr.contains("taking what the cache holds"), "{finished:?}");
}

#[test]
fn what_it_lacks_is_an_error_that_says_what_to_do() {
    let cache = cache();
    let hint = if cfg!(feature = "pull") {
        "unset HF_HUB_OFFLINE"
    } else {
        "cargo install --path tools --features pull"
    };
    for args in
        [&["pull", "o/other"][..], &["run", "-m", "hf:o/other:q4_0", "-p", "a"], &["inspect", "hf:o/other"]]
    {
        fails_of(1, &mut offline(cache.path(), args), &["hf:o/other", "is not in the cache", hint]);
    }
    // A part of a file is none.
    let file = cache.path().join("hub/o/r/0123456789abcdef0123456789abcdef01234567/r/tiny-F32.gguf");
    fs::write(file, "cut").unwrap();
    fails_of(1, &mut offline(cache.path(), &["inspect", "hf:o/r"]), &["is not in the cache", hint]);
}

#[test]
fn a_damaged_list_is_named() {
    let cache = cache();
    let list = cache.path().join("hub/o/r/0123456789abcdef0123456789abcdef01234567/files.json");
    for damaged in ["{", "{\"commit\":\"../..\",\"files\":[],\"others\":[]}"] {
        fs::write(&list, damaged).unwrap();
        fails_of(1, &mut offline(cache.path(), &["inspect", "hf:o/r"]), &["files.json is damaged"]);
    }
}
