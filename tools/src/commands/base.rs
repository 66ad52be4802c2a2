//! The float model that a quantized one is measured beside.

use crate::convert::{self, Checkpoint, FileType};
use crate::model_args::open_model;
use crate::terminal::note;
use crate::ui;
use anyhow::{Context, Result};
use brooklet::Model;
use brooklet_kernels::TensorType;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// A float file, and the directory that it lies in if that is to go when it is no longer used.
pub(super) type Float = (Option<TempDir>, PathBuf);

/// A float model, and the directory that it lies in if that is to go when it is no longer used.
pub(super) type Base = (Option<TempDir>, Arc<Model>);

/// Adapters to merge.
#[derive(Debug, clap::Args)]
pub(super) struct LoraArgs {
    /// Merge this LoRA adapter (a directory that PEFT wrote) into the weights; may be given more than once
    #[arg(long, value_name = "DIR")]
    pub lora: Vec<PathBuf>,

    /// How strongly adapters count
    #[arg(long, value_name = "X", default_value_t = 1.0, requires = "lora", value_parser = parse_scale,
          allow_negative_numbers = true)]
    pub lora_scale: f32,
}

impl Default for LoraArgs {
    /// None.
    fn default() -> Self {
        LoraArgs { lora: Vec::new(), lora_scale: 1.0 }
    }
}

fn parse_scale(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|x: &f32| x.is_finite()).ok_or_else(|| "expected a number, as 0.5".into())
}

/// Opens a base, as [`float_file`] finds or makes it.
pub(super) fn open_base(path: &Path, adapters: &LoraArgs, cancel: &AtomicBool) -> Result<Base> {
    let (directory, file) = float_file(path, adapters, cancel)?;
    Ok((directory, open_model(&file)?))
}

/// A GGUF file itself; of a checkpoint directory, with adapters perhaps, it makes one, which goes with the directory that
/// is returned.
pub(super) fn float_file(path: &Path, adapters: &LoraArgs, cancel: &AtomicBool) -> Result<Float> {
    if !path.is_dir() {
        return Ok((None, path.to_path_buf()));
    }
    let checkpoint = Checkpoint::open(path)?;
    let exact = |ty| checkpoint.names().filter_map(|n| checkpoint.get(n)).all(|t| t.ty == Ok(ty));
    let as_it_is = adapters.lora.is_empty() && exact(TensorType::BF16);
    let file_type = if as_it_is { FileType::BF16 } else { FileType::F32 };
    let directory = tempfile::tempdir().context("no directory for temporary files")?;
    let file = directory.path().join("base.gguf");
    note(format_args!(
        "converting {} to {file_type}, for this measurement, in {}",
        path.display(),
        file.display()
    ));
    let bar = ui::byte_bar(0, "converting");
    let progress = |p: convert::Progress| {
        bar.set_length(p.total);
        bar.set_position(p.done);
    };
    let options = convert::Options {
        file_type,
        lora: &adapters.lora,
        lora_scale: adapters.lora_scale,
        progress: Some(&progress),
        cancel: Some(cancel),
        ..Default::default()
    };
    let report = convert::convert(path, &file, &options);
    bar.finish_and_clear();
    for warning in report?.warnings {
        note(format_args!("warning: {warning}"));
    }
    Ok((Some(directory), file))
}
