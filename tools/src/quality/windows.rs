//! A text in windows, and models taken through them, as llama.cpp's perplexity tool does it: the text's tokens, BOS in
//! front, are cut into windows of equal length without overlap; in each, BOS takes the place of the first token, and
//! tokens of the second half are predicted, so that none is without context.

use brooklet::tokenizer::Special;
use brooklet::{Error, Model, Session, SessionError, SessionOptions, Tokenizer};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tokens a window where nobody says otherwise.
pub const DEFAULT_CONTEXT: usize = 512;
/// The smallest window: half of a smaller one is too little to be called a context.
pub const MIN_CONTEXT: usize = 16;
/// Positions whose logits are held at once, at most.
const MOST_ROWS: usize = 128;
/// The fewest: more than a few, which other kernels compute.
const FEWEST_ROWS: usize = 32;
/// Bytes of a model's logits that are held at once, unless [`FEWEST_ROWS`] take more.
const ROWS_BYTES: usize = 32 << 20;

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QualityError {
    /// Not one window of text.
    #[error(
        "the text has {tokens} tokens, a window takes {context}: give a longer text, or smaller windows (-c)"
    )]
    ShortText {
        /// Tokens there are, BOS included.
        tokens: usize,
        /// Tokens of a window.
        context: usize,
    },
    /// Windows of next to nothing.
    #[error("windows of {context} tokens were asked for: expected {MIN_CONTEXT} at least")]
    SmallWindow {
        /// Tokens of a window.
        context: usize,
    },
    /// Two models whose logits do not mean the same.
    #[error(
        "the models have different vocabularies: {difference}; compare a model with the one that it was made of"
    )]
    OtherVocabulary {
        /// The first difference.
        difference: String,
    },
    /// Logits that are not numbers.
    #[error("window {window}: logits are not finite: the weights of the model (or of its base) are damaged")]
    NotFinite {
        /// The window, counted from 1.
        window: usize,
    },
    /// Interrupted by the user.
    #[error("interrupted")]
    Cancelled,
    /// The system has no threads.
    #[error("cannot start threads to compute figures on: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A model or tokenizer that cannot be used so.
    #[error(transparent)]
    Model(#[from] Error),
}

/// A measurement's result.
pub type Result<T, E = QualityError> = std::result::Result<T, E>;

/// How to measure.
pub struct Options<'a> {
    /// Tokens a window.
    pub context: usize,
    /// At most so many windows, from the start of the text; `None` is all.
    pub most_windows: Option<usize>,
    /// How sessions are set up; their context is that of a window, whatever this says.
    pub session: SessionOptions,
    /// Called after each window.
    pub progress: Option<&'a dyn Fn(Progress)>,
    /// When this turns true the measurement ends with [`QualityError::Cancelled`].
    pub cancel: Option<&'a AtomicBool>,
}

impl Default for Options<'_> {
    /// All windows of 512 tokens, without a word.
    fn default() -> Self {
        Options {
            context: DEFAULT_CONTEXT,
            most_windows: None,
            session: SessionOptions::default(),
            progress: None,
            cancel: None,
        }
    }
}

/// How far a measurement is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Windows through which the models were taken.
    pub done: usize,
    /// Windows in all.
    pub total: usize,
    /// The model's perplexity over these.
    pub perplexity: f64,
    /// The mean divergence over these, where there is a base.
    pub kl_divergence: Option<f64>,
}

/// A text's tokens in windows.
pub struct Windows {
    ids: Vec<u32>,
    bos: Option<u32>,
    context: usize,
    count: usize,
}

/// What was measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Extent {
    /// Tokens of the text, BOS included.
    pub tokens: usize,
    /// Tokens of a window.
    pub context: usize,
    /// Windows taken.
    pub windows: usize,
    /// Tokens predicted in them.
    pub scored: usize,
}

impl Windows {
    /// Cuts a text. `special` says whether what spells a special token in it is one, or text.
    ///
    /// # Errors
    /// Windows of fewer than [`MIN_CONTEXT`] tokens; a text of less than one; a text that the tokenizer gives up on.
    pub fn new(
        text: &str,
        tokenizer: &Tokenizer,
        context: usize,
        most: Option<usize>,
        special: Special,
    ) -> Result<Windows> {
        if context < MIN_CONTEXT {
            return Err(QualityError::SmallWindow { context });
        }
        let mut start = Vec::new();
        tokenizer.ensure_bos(&mut start);
        let mut ids = tokenizer.encode(text, special)?;
        tokenizer.ensure_bos(&mut ids);
        let count = ids.len() / context;
        if count == 0 {
            return Err(QualityError::ShortText { tokens: ids.len(), context });
        }
        let count = most.map_or(count, |most| count.min(most.max(1)));
        Ok(Windows { ids, bos: start.first().copied(), context, count })
    }

    /// Windows there are, one at least.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.count
    }

    /// The tokens of a window, counted from 0, with BOS in the place of the first where the model wants it.
    pub fn ids(&self, window: usize) -> Vec<u32> {
        let mut ids = self.ids[window * self.context..][..self.context].to_vec();
        if let Some(bos) = self.bos {
            ids[0] = bos;
        }
        ids
    }

    /// The positions of a window whose logits count; each predicts the token after it.
    pub fn scored(&self) -> Range<usize> {
        self.context / 2..self.context - 1
    }

    /// What there is to measure on.
    pub fn extent(&self) -> Extent {
        Extent {
            tokens: self.ids.len(),
            context: self.context,
            windows: self.count,
            scored: self.count * self.scored().len(),
        }
    }
}

/// Sessions of models of one vocabulary, taken through windows side by side.
pub(super) struct Walk<const N: usize> {
    readers: [Reader; N],
    pool: ThreadPool,
}

impl<const N: usize> Walk<N> {
    /// # Errors
    /// A model was made for smaller windows; no memory, no threads.
    pub fn new(models: [&Arc<Model>; N], options: &Options) -> Result<Walk<N>> {
        let session = SessionOptions { context: Some(options.context), ..options.session.clone() };
        let mut readers = Vec::new();
        for model in models {
            readers
                .push(Reader { session: Session::new(model.clone(), session.clone())?, logits: Vec::new() });
        }
        let readers: [Reader; N] = readers.try_into().unwrap_or_else(|_| unreachable!("a reader a model"));
        let pool = ThreadPoolBuilder::new().num_threads(readers[0].session.threads()).build()?;
        Ok(Walk { readers, pool })
    }

    /// Takes the models through all windows and gives, in order, what `score` makes of every token that is predicted:
    /// of each model's logits before it and its id. `None` of `score` says that they are not finite. After each window,
    /// `after` is given the number of windows done and what there is by then.
    ///
    /// # Errors
    /// Cancelled; logits that are not finite; a token outside of the models' vocabulary.
    pub fn scores<T: Send>(
        &mut self,
        windows: &Windows,
        cancel: Option<&AtomicBool>,
        score: impl Fn([&[f32]; N], u32) -> Option<T> + Sync,
        mut after: impl FnMut(usize, &[T]),
    ) -> Result<Vec<T>> {
        let vocab_size = self.readers[0].session.logits().len();
        let row_bytes = size_of_val(self.readers[0].session.logits());
        let rows = (ROWS_BYTES / row_bytes).clamp(FEWEST_ROWS, MOST_ROWS);
        let mut scores = Vec::with_capacity(windows.extent().scored);
        for window in 0..windows.len() {
            let ids = windows.ids(window);
            if let Some(&id) = ids.iter().find(|id| **id as usize >= vocab_size) {
                return Err(Error::from(SessionError::TokenOutOfRange { id, vocab_size }).into());
            }
            let scored = windows.scored();
            for Reader { session, .. } in &mut self.readers {
                session.reset();
                session.prefill(&ids[..scored.start])?;
            }
            for start in scored.clone().step_by(rows) {
                if cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
                    return Err(QualityError::Cancelled);
                }
                let part = start..scored.end.min(start + rows);
                for reader in &mut self.readers {
                    reader.read(&ids[part.clone()])?;
                }
                let readers = &self.readers;
                let of = |i: usize| {
                    let row = (i - start) * vocab_size;
                    score(readers.each_ref().map(|r| &r.logits[row..row + vocab_size]), ids[i + 1])
                };
                let some: Option<Vec<T>> = self.pool.install(|| part.into_par_iter().map(of).collect());
                scores.extend(some.ok_or(QualityError::NotFinite { window: window + 1 })?);
            }
            after(window + 1, &scores);
        }
        Ok(scores)
    }
}

/// A model's session, and its logits after the last tokens taken, row by row.
struct Reader {
    session: Session,
    logits: Vec<f32>,
}

impl Reader {
    /// Takes ids and keeps the logits after each.
    fn read(&mut self, ids: &[u32]) -> Result<()> {
        let Reader { session, logits } = self;
        logits.clear();
        session.prefill_each(ids, |_, row| logits.extend_from_slice(row))?;
        Ok(())
    }
}
