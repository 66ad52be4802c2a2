//! A text taken through a model to see what its matrices read.

use super::windows::{DEFAULT_CONTEXT, Windows};
use crate::conversation::read_text;
use anyhow::{Context, Result};
use brooklet::model::Observer;
use brooklet::tokenizer::Special;
use brooklet::{Model, Session, Tokenizer};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where the text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The model, which writes one: [`super::own_text`].
    Model,
}

impl Source {
    /// The word for [`Source::Model`]; all else is a file's path, as `./self`.
    pub const MODEL: &str = "self";
}

impl From<OsString> for Source {
    fn from(text: OsString) -> Self {
        if text == Source::MODEL { Source::Model } else { Source::File(text.into()) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => path.display().fmt(f),
            Source::Model => f.pad(Source::MODEL),
        }
    }
}

/// Tokens of a window for a model: [`DEFAULT_CONTEXT`], or as many as it takes.
pub fn window(model: &Model) -> usize {
    DEFAULT_CONTEXT.min(model.config().context_length)
}

/// The windows of a file's text. `parse_special` takes `<|im_start|>` and its kind in the text for the tokens, else for
/// text.
///
/// # Errors
/// A file that cannot be read; see [`Windows::new`].
pub fn read(path: &Path, tokenizer: &Tokenizer, window: usize, parse_special: bool) -> Result<Vec<Vec<u32>>> {
    let text = read_text(path)?;
    let special = if parse_special { Special::Parse } else { Special::Plain };
    let windows = Windows::new(&text, tokenizer, window, None, special);
    let windows = windows.with_context(|| path.display().to_string())?;
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
