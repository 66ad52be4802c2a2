//! Several sessions taken forward together.

use super::{Session, SessionError};
use crate::{Model, Result};
use crate::model::{Scratch, Segment};
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
///
/// Memory grows with the number of tokens of the largest step, all sessions together.
pub struct Batch {
    model: Arc<Model>,
    scratch: Scratch,
    logits: Vec<f32>,
}

impl Batch {
    /// Working memory for sessions of a model; it grows at first use.
    pub fn new(model: Arc<Model>) -> Batch {
        Batch { scratch: Scratch::new(model.config()), model, logits: Vec::new() }
    }

    /// Takes every session's ids; [`Session::logits`] are then those after its last. Results are to within rounding
    /// those of [`Session::prefill`]; what they are does not depend on the other sessions, as long as there are any.
    /// The first session's threads compute.
    ///
    /// # Errors
    /// As [`Session::prefill`] for any session; a session of another model. All are unchanged.
    pub fn step(&mut self, takes: &mut [Take<'_>]) -> Result<()> {
        let Some(Take { session, .. }) = takes.first() else { return Ok(()) };
        let threads = session.threads.clone();
        let Batch { model, scratch, logits } = self;
        let mut context = 0;
        for Take { session, ids } in &*takes {
            if !Arc::ptr_eq(&session.model, model) {
                return Err(SessionError::OtherModel.into());
            }
            session.check(ids)?;
            context = context.max(session.context);
        }
        scratch.reserve_context(model.config(), context);
        let n: usize = takes.iter().map(|take| take.ids.len()).sum();
        let mut segments: Vec<_> = takes
            .iter_mut()
            .map(|Take { session, ids }| {
                let first = session.tokens.len();
                session.tokens.extend_from_slice(ids);
                Segment { ids, first, state: &mut session.state, replay: false }
            })
            .collect();
        threads.run(n, |team| model.forward(&mut segments, scratch, team));
        let lasts = takes.iter().scan(0, |end, take| {
            *end += take.ids.len();
            Some(*end - 1)
        });
        let vocab_size = model.config().vocab_size;
        logits.resize(takes.len() * vocab_size, 0.0);
        threads.run(takes.len(), |team| model.logits(lasts, scratch, logits, team));
        for (take, logits) in takes.iter_mut().zip(logits.chunks_exact(vocab_size)) {
            take.session.logits.copy_from_slice(logits);
        }
        Ok(())
    }
}
