//! Several sessions taken forward together.

use super::{Session, SessionError, Threads};
use crate::model::{Scratch, Segment};
use crate::{Model, Result};
use std::sync::Arc;

/// What a session takes in a step of a [`Batch`].
pub struct Take<'a> {
    /// The session, of the batch's model.
    pub session: &'a mut Session,
    /// The ids that it takes, one at least.
    pub ids: &'a [u32],
}

/// Working memory of passes over several sessions at once, which read every weight once for all of them: several
/// requests cost far less together than one after the other.
pub struct Batch {
    model: Arc<Model>,
    scratch: Scratch,
    logits: Vec<f32>,
}

impl Batch {
    /// Working memory for sessions of a model; it grows at first use.
    pub fn new(model: Arc<Model>) -> Batch {
        Batch { scratch: Scratch::new(model.config(), 0), model, logits: Vec::new() }
    }

    /// Takes every session's ids; [`Session::logits`] are then those after its last. The first session's threads
    /// compute, in passes of as many tokens in all as one session takes at once.
    ///
    /// Results are those of [`Session::prefill`]: bit for bit, where the tokens of a pass are at most
    /// [`Model::few`] here and there, or more here and there; else to within rounding.
    ///
    /// # Errors
    /// As [`Session::prefill`] for any session; a session of another [`Model`] than the batch's, even one of the same
    /// file. All are unchanged.
    pub fn step(&mut self, takes: &mut [Take<'_>]) -> Result<()> {
        let Some(Take { session, .. }) = takes.first() else { return Ok(()) };
        let threads = session.threads.clone();
        let (mut context, mut most) = (0, usize::MAX);
        for (index, Take { session, ids }) in takes.iter().enumerate() {
            if !Arc::ptr_eq(&session.model, &self.model) {
                return Err(SessionError::OtherModel { index }.into());
            }
            session.check(ids)?;
            context = context.max(session.context);
            most = most.min(session.chunk());
        }
        self.scratch.reserve_context(self.model.config(), context);
        let mut left: Vec<&[u32]> = takes.iter().map(|take| take.ids).collect();
        while left.iter().any(|ids| !ids.is_empty()) {
            self.pass(takes, &mut left, most, &threads);
        }
        Ok(())
    }

    /// Takes up to `most` of the ids that are left, those of the first sessions first, and computes the logits of the
    /// sessions that then have none left.
    fn pass(&mut self, takes: &mut [Take<'_>], left: &mut [&[u32]], most: usize, threads: &Threads) {
        let Batch { model, scratch, logits } = self;
        let (mut segments, mut finished, mut n) = (Vec::new(), Vec::new(), 0);
        for (i, (take, left)) in takes.iter_mut().zip(left).enumerate() {
            let count = left.len().min(most - n);
            let (ids, rest) = left.split_at(count);
            if ids.is_empty() {
                continue;
            }
            *left = rest;
            n += count;
            if rest.is_empty() {
                finished.push(i);
            }
            let first = take.session.tokens.len();
            take.session.tokens.extend_from_slice(ids);
            let wanted = usize::from(rest.is_empty());
            segments.push(Segment { ids, first, state: &mut take.session.state, replay: false, wanted });
        }
        threads.run(n, |workers| model.forward(&mut segments, scratch, workers));
        let vocab_size = model.config().vocab_size;
        for (c, finished) in finished.chunks(threads.few).enumerate() {
            logits.resize(finished.len() * vocab_size, 0.0);
            let tokens = c * threads.few..c * threads.few + finished.len();
            threads.run(finished.len(), |workers| model.logits(tokens, scratch, logits, workers));
            for (i, logits) in finished.iter().zip(logits.chunks_exact(vocab_size)) {
                takes[*i].session.logits.copy_from_slice(logits);
            }
        }
    }
}
