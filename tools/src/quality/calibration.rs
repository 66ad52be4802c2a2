//! A text taken through a model to see what its matrices read.

use anyhow::{Context, Result, bail};
use brooklet::model::Observer;
use brooklet::tokenizer::Special;
use brooklet::{Session, Tokenizer};
use std::fs;
use std::path::Path;

/// Tokens of a window where nothing else is asked for, as of llama.cpp's imatrix tool.
pub const WINDOW: usize = 512;

/// The [`windows`] of a file.
///
/// # Errors
/// As [`windows`], and a file that cannot be read.
pub fn read(
    tokenizer: &Tokenizer,
    path: &Path,
    context: usize,
    parse_special: bool,
) -> Result<Vec<Vec<u32>>> {
    let name = || path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", name()))?;
    windows(tokenizer, &text, context, parse_special).with_context(name)
}

/// The text's ids in windows of `context`, as llama.cpp's imatrix tool cuts them: begin-of-text in front of the text,
/// and in the place of each window's first id; what fills no window is left out. `parse_special` takes `<|im_start|>`
/// and its kind in the text for the tokens, else for text.
///
/// # Errors
/// A text that fills no window, or one that the tokenizer gives up on.
pub fn windows(
    tokenizer: &Tokenizer,
    text: &str,
    context: usize,
    parse_special: bool,
) -> Result<Vec<Vec<u32>>> {
    let special = if parse_special { Special::Parse } else { Special::Plain };
    let mut ids = Vec::new();
    tokenizer.ensure_bos(&mut ids);
    let bos = ids.first().copied();
    ids.extend(tokenizer.encode(text, special)?);
    let mut windows: Vec<Vec<u32>> = ids.chunks_exact(context).map(Vec::from).collect();
    if windows.is_empty() {
        bail!(
            "the text has {} tokens: expected at least {context}, one window; give a longer one, or smaller windows (-c)",
            ids.len()
        );
    }
    for window in &mut windows {
        if let Some(bos) = bos {
            window[0] = bos;
        }
    }
    Ok(windows)
}

/// Takes every window through the model, showing `observer` what every matrix reads, the output head at every position
/// too. `on_window` is called with the number of windows taken; its `false` ends it.
///
/// # Errors
/// A window that the session has no room for.
pub fn observe(
    session: &mut Session,
    windows: &[Vec<u32>],
    observer: Observer,
    mut on_window: impl FnMut(usize) -> bool,
) -> Result<()> {
    session.observe(Some(observer));
    let mut run = || -> Result<()> {
        for (i, window) in windows.iter().enumerate() {
            session.reset();
            session.prefill_each(window, |_, _| ())?;
            if !on_window(i + 1) {
                bail!("cancelled; nothing was written");
            }
        }
        Ok(())
    };
    let outcome = run();
    session.observe(None);
    outcome
}
