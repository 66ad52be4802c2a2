//! Run `cargo test --test gguf_oracle` in the workspace first: it writes the files.

use std::path::PathBuf;

#[test]
fn gguf_rs_reads_what_brooklet_wrote() {
    let dir = match std::env::var_os("BROOKLET_GGUF_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/oracle")),
    };
    let hint = "run `cargo test --test gguf_oracle` in the workspace first";
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}; {hint}", dir.display()));
    let mut files = 0;
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "gguf") {
            brooklet_oracle::compare(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            files += 1;
        }
    }
    assert!(files >= 3, "{files} files in {}; {hint}", dir.display());
    println!("{files} files agree");
}
