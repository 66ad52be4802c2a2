//! `--receipt` of `convert` and `quantize`: measures the new file beside the float weights and writes the figures into it.

use super::base::Base;
use crate::conversation::{read_text, without_last_newline};
use crate::convert::{Report, check_output};
use crate::model_args::open_model;
use crate::quality::divergence::compare;
use crate::quality::receipt::{Receipt, SelfTest, stamp};
use crate::quality::windows::{Options, Progress};
use crate::terminal::note;
use crate::ui;
use anyhow::{Context, Result};
use brooklet::SessionOptions;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// What is measured, and beside what.
pub(super) struct Measurement<'a> {
    /// The text's file.
    pub text: &'a Path,
    /// Where the file goes when it has its receipt.
    pub output: &'a Path,
    /// What must not be written over.
    pub inputs: &'a [PathBuf],
    /// Threads, where a number is asked for.
    pub threads: Option<usize>,
}

/// Has a file made in a directory for temporary files beside the output, measures it, and writes it with its receipt.
/// Nothing is left when any of that fails.
pub(super) fn with_receipt(
    measurement: &Measurement,
    make: impl FnOnce(&Path) -> Result<Report>,
    base: impl FnOnce(&AtomicBool) -> Result<Base>,
) -> Result<Report> {
    let &Measurement { text: path, output, inputs, threads } = measurement;
    let text = without_last_newline(read_text(path)?);
    check_output(output, inputs.iter().map(PathBuf::as_path))?;
    let folder = match output.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let directory = tempfile::Builder::new()
        .prefix(".brooklet-")
        .tempdir_in(folder)
        .with_context(|| format!("no directory for temporary files in {}", folder.display()))?;
    let unmeasured = directory.path().join("unmeasured.gguf");
    let mut report = make(&unmeasured)?;

    let model = open_model(&unmeasured)?;
    let self_test = SelfTest::of(model.gguf())?;
    let cancel = ui::interrupted();
    let (_directory, base) = base(&cancel)?;
    let bar = ui::step_bar(0, "measuring");
    let progress = |p: Progress| {
        bar.set_length(p.total as u64);
        bar.set_position(p.done as u64);
    };
    let options = Options {
        session: SessionOptions { threads, ..SessionOptions::default() },
        progress: Some(&progress),
        cancel: Some(&cancel),
        ..Options::default()
    };
    let comparison = compare(&model, &base, &text, &options);
    bar.finish_and_clear();
    let comparison = comparison.with_context(|| path.display().to_string())?;

    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let receipt = Receipt::new(&name, &text, &comparison);
    stamp(model.gguf(), output, &receipt, &self_test)?;
    note(format_args!("{}\n{}", receipt.extent(), ui::table(&receipt.rows()).trim_end()));
    report.path = output.to_path_buf();
    Ok(report)
}
