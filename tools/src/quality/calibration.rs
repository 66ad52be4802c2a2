//! A text taken through a model to see what its matrices read.

use super::windows::{DEFAULT_CONTEXT, Windows};
use crate::conversation::read_text;
use anyhow::{Context, Result};
use brooklet::model::Observer;
use brooklet::tokenizer::Special;
use brooklet::{Model, Session, SessionOptions, Tokenizer};
use std::path::Path;
use std::sync::Arc;

/// A session of the model, and the windows of a file's text for it: of [`DEFAULT_CONTEXT`] tokens, or as many as the model
/// takes.
///
/// # Errors
/// As [`read`]; a model without a tokenizer, or for which there is no memory.
pub fn prepare(
    model: Arc<Model>,
    path: &Path,
    parse_special: bool,
    threads: Option<usize>,
) -> Result<(Session, Vec<Vec<u32>>)> {
    let window = DEFAULT_CONTEXT.min(model.config().context_length);
    let tokenizer = Tokenizer::from_gguf(model.gguf())?;
    let windows = read(&tokenizer, path, window, parse_special)?;
    let options = SessionOptions { context: Some(window), threads, ..Default::default() };
    Ok((Session::new(model, options)?, windows))
}

/// The windows of a file's text. `parse_special` takes `<|im_start|>` and its kind in the text for the tokens, else for
/// text.
///
/// # Errors
/// A file that cannot be read; see [`Windows::new`].
pub fn read(
    tokenizer: &Tokenizer,
    path: &Path,
    context: usize,
    parse_special: bool,
) -> Result<Vec<Vec<u32>>> {
    let text = read_text(path)?;
    let special = if parse_special { Special::Parse } else { Special::Plain };
    let windows =
        Windows::new(&text, tokenizer, context, None, special).with_context(|| path.display().to_string())?;
    Ok((0..windows.len()).map(|i| windows.ids(i)).collect())
}

/// Takes every window through the model, showing `observer` what every matrix reads, the output head at every position
/// too. `on_window` is called with the number of windows taken; its `false` ends it. Whether all were taken.
///
/// # Errors
/// A window that the session has no room for.
pub fn observe(
    session: &mut Session,
    windows: &[Vec<u32>],
    observer: Observer,
    mut on_window: impl FnMut(usize) -> bool,
) -> brooklet::Result<bool> {
    session.observe(Some(observer));
    let mut run = || {
        for (i, window) in windows.iter().enumerate() {
            session.reset();
            session.prefill_each(window, |_, _| ())?;
            if !on_window(i + 1) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let outcome = run();
    session.observe(None);
    outcome
}
