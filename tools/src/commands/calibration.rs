//! What `convert` and `quantize` measure a model on.

use crate::convert::{self, FileType, Options, Types};
use crate::error::ConvertError;
use crate::model_args::open_model;
use crate::quality::calibration::{self, Source};
use crate::quality::own_text;
use crate::ui;
use anyhow::{Context, Result};
use brooklet::{Session, SessionOptions, Tokenizer};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// A text, and what to take it through: a copy of the model in Q8_0, which is several times as fast as a float one and
/// reads next to the same.
pub(super) struct Calibration {
    pub session: Session,
    pub windows: Vec<Vec<u32>>,
    /// The copy.
    pub file: PathBuf,
    /// Where it lies, which goes with this.
    pub directory: TempDir,
}

impl Calibration {
    /// The text for the model of the float file `float`, until Ctrl-C.
    pub fn prepare(
        float: &Path,
        text: &Source,
        parse_special: bool,
        threads: Option<usize>,
        cancel: &AtomicBool,
    ) -> Result<Calibration> {
        let model = open_model(float)?;
        let tokenizer = Tokenizer::from_gguf(model.gguf())?;
        let window = calibration::window(&model);
        // Before anything that takes long.
        let read = match text {
            Source::File(path) => Some(calibration::read(path, &tokenizer, window, parse_special)?),
            Source::Model => None,
        };

        let directory = tempfile::tempdir().context("no directory for temporary files")?;
        let file = directory.path().join("q8_0.gguf");
        let quantized = model.gguf().tensors().iter().filter(|t| t.ty.is_quantized());
        let types: Types = quantized.map(|t| (t.name.clone(), t.ty)).collect();
        let options = Options {
            file_type: FileType::Q8_0,
            types: Some(&types),
            cancel: Some(cancel),
            ..Options::default()
        };
        convert::quantize(float, &file, &options)?;
        let options = SessionOptions { context: Some(window), threads, ..Default::default() };
        let session = Session::new(open_model(&file)?, options)?;
        let windows = match read {
            Some(windows) => windows,
            None => write(&session, &tokenizer, own_text::WINDOWS, cancel)?,
        };
        Ok(Calibration { session, windows, file, directory })
    }
}

/// [`own_text::write`] with a progress bar, until Ctrl-C.
pub(super) fn write(
    session: &Session,
    tokenizer: &Tokenizer,
    count: usize,
    cancel: &AtomicBool,
) -> Result<Vec<Vec<u32>>> {
    let bar = ui::step_bar((count * session.context()) as u64, "writing a text");
    let windows = own_text::write(session, tokenizer, count, |tokens| {
        bar.set_position(tokens as u64);
        !cancel.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    Ok(windows?.ok_or(ConvertError::Cancelled)?)
}
