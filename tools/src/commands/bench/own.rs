//! Measuring ourselves, in this process.

use super::test::Test;
use anyhow::Result;
use brooklet::{Model, Session, SessionOptions};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;
use std::sync::Arc;
use std::time::Instant;

/// A session set up for one test: filled to its depth.
pub struct Own {
    session: Session,
    test: Test,
    rng: Pcg32,
}

impl Own {
    /// Sets up.
    ///
    /// # Errors
    /// A context beyond the model's, or too little memory.
    pub fn new(model: &Arc<Model>, options: SessionOptions, test: Test, seed: u64) -> Result<Own> {
        let session = Session::new(model.clone(), options)?;
        let mut own = Own { session, test, rng: Pcg32::seed_from_u64(seed) };
        if test.n_depth > 0 {
            let ids = own.random(test.n_depth);
            own.session.prefill(&ids)?;
        }
        Ok(own)
    }

    /// Threads it computes on.
    pub fn threads(&self) -> usize {
        self.session.threads()
    }

    /// Nanoseconds of one repetition. Only the prompt or the generation itself is timed, not going back to the
    /// depth, and not what llama-bench too does before it measures: taking the whole prompt, or one token.
    ///
    /// # Errors
    /// The test does not fit the context.
    pub fn sample(&mut self) -> Result<u64> {
        self.rewind()?;
        let warm_up = self.random(self.test.n_prompt.max(1));
        self.session.prefill(&warm_up)?;
        self.rewind()?;
        let ids = self.random(self.test.tokens());
        let started = Instant::now();
        if self.test.n_prompt > 0 {
            self.session.prefill(&ids)?;
        } else {
            for id in ids {
                self.session.decode(id)?;
            }
        }
        Ok(u64::try_from(started.elapsed().as_nanos())?)
    }

    fn rewind(&mut self) -> Result<()> {
        match self.test.n_depth {
            0 => self.session.reset(),
            depth => self.session.rollback(depth)?,
        }
        Ok(())
    }

    fn random(&mut self, n: usize) -> Vec<u32> {
        let vocab_size = self.session.model().config().vocab_size as u64;
        (0..n).map(|_| ((u64::from(self.rng.next_u32()) * vocab_size) >> 32) as u32).collect()
    }
}
