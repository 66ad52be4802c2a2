//! Static, stripped binaries, the demo's model, their checksums and a manifest.

use anyhow::{Context, Result, bail, ensure};
use brooklet_tools::convert::{self, FileType, Options};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The targets of a release. Those but the host's own are built with tools/cross.
pub const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// The target of this name.
///
/// # Errors
/// There is none.
pub fn target(name: &str) -> Result<&'static str> {
    let found = TARGETS.into_iter().find(|target| *target == name);
    found.with_context(|| format!("no target '{name}' in a release: expected one of {}", TARGETS.join(", ")))
}

/// Builds for `targets` and writes target/dist anew.
///
/// # Errors
/// A build fails, or a file cannot be written.
pub fn dist(targets: &[&str]) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a workspace around xtask")?;
    let out = root.join("target/dist");
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("clearing {}", out.display()))?;
    }
    std::fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;

    let version = env!("CARGO_PKG_VERSION");
    let mut files = Vec::new();
    for target in targets {
        let name = format!("brooklet-{version}-{target}");
        let (built, rustc) = build(root, target)?;
        std::fs::copy(&built, out.join(&name)).with_context(|| format!("copying {}", built.display()))?;
        let more = json!({ "target": target, "profile": "dist", "features": [], "rustc": rustc });
        files.push(entry(&out, &name, more)?);
    }
    let name = format!("brooklet-{version}-demo-q4_0.gguf");
    let options = Options { file_type: FileType::Q4_0, ..Options::default() };
    convert::convert(&root.join("models/demo"), &out.join(&name), &options)
        .context("converting models/demo")?;
    files.push(entry(&out, &name, json!({}))?);

    let sums: String =
        files.iter().map(|f| format!("{}  {}\n", text(f, "sha256"), text(f, "name"))).collect();
    write(&out.join("SHA256SUMS"), &sums)?;
    let commit = output(
        Command::new("git")
            .args(["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"])
            .current_dir(root),
    )?;
    let manifest = json!({ "version": version, "commit": commit, "files": files });
    write(&out.join("manifest.json"), &format!("{manifest:#}\n"))?;
    files.iter().for_each(|f| println!("target/dist/{} {} bytes", text(f, "name"), f["size"]));
    Ok(())
}

/// The binary for `target`, and the version of the compiler that made it.
fn build(root: &Path, target: &str) -> Result<(PathBuf, String)> {
    let native = target.starts_with(std::env::consts::ARCH);
    let mut command = Command::new(if native { "cargo".into() } else { root.join("tools/cross") });
    command.arg("rustc").current_dir(root);
    command.args([
        "--locked",
        "--profile",
        "dist",
        "--package",
        "brooklet-tools",
        "--bin",
        "brooklet",
        "--target",
        target,
    ]);
    // The folders of this machine are no part of a release: not those that panics name, nor where `demo` looks.
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_string(),
        format!("--remap-path-prefix={}=cargo", cargo_home.display()),
        format!("--remap-path-prefix={}=brooklet", root.display()),
    ];
    if native {
        // A static binary that can lie anywhere has 30,000 addresses to adjust; packed, they take a twentieth. Functions of
        // the same instructions are there once. The linker for the other target knows neither.
        flags.push("-Clink-arg=-Wl,--pack-dyn-relocs=relr,--icf=all".to_string());
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).env("BROOKLET_DEMO", "models/demo");
    // What is linked together is optimized once more as the program's own source says, which is made small; loops in kernels
    // without intrinsics would lose three quarters of their speed.
    command.args(["--", "-Copt-level=3"]);
    // What `cargo run` tells this program is of no use to another cargo, and would build it all anew.
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_TARGET_DIR").env_remove("RUSTUP_TOOLCHAIN");
    let status = command.status().with_context(|| format!("starting {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    let (folder, rustc) = if native { ("target", "rustc") } else { ("target/arm", "/usr/bin/rustc") };
    let rustc = output(Command::new(rustc).arg("--version").current_dir(root))?;
    Ok((root.join(folder).join(target).join("dist/brooklet"), rustc))
}

/// What the manifest says of a file: its name, size in bytes and sha256, and `more`.
fn entry(folder: &Path, name: &str, more: Value) -> Result<Value> {
    let path = folder.join(name);
    let size = path.metadata().with_context(|| format!("reading {}", path.display()))?.len();
    let sum = output(Command::new("sha256sum").arg(&path))?;
    let sum = sum.split_whitespace().next().context("sha256sum printed nothing")?;
    let mut entry = json!({ "name": name, "size": size, "sha256": sum });
    if let (Value::Object(entry), Value::Object(more)) = (&mut entry, more) {
        entry.extend(more);
    }
    Ok(entry)
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_default()
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_string())
}

fn write(path: &Path, content: &str) -> Result<()> {
    std::fs::write(path, content).with_context(|| format!("writing {}", path.display()))
}
