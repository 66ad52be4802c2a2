//! Measuring ourselves, in this process.

use super::test::Test;
use anyhow::Result;
use brooklet::{Batch, Model, Session, SessionOptions, Take};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;
use std::sync::Arc;
use std::time::Instant;

/// Sessions set up for one test: filled to its depth.
pub struct Own {
    /// As many as there are sequences.
    sessions: Vec<Session>,
    batch: Batch,
    test: Test,
    rng: Pcg32,
}

impl Own {
    /// Sets up.
    ///
    /// # Errors
    /// A context beyond the model's, or too little memory.
    pub fn new(model: &Arc<Model>, options: SessionOptions, test: Test, seed: u64) -> Result<Own> {
        let mut session = Session::new(model.clone(), options)?;
        let mut rng = Pcg32::seed_from_u64(seed);
        if test.n_depth > 0 {
            session.prefill(&random(&mut rng, &session, test.n_depth))?;
        }
        let mut sessions = vec![session];
        for _ in 1..test.n_parallel {
            sessions.push(sessions[0].fork()?);
        }
        Ok(Own { sessions, batch: Batch::new(model.clone()), test, rng })
    }

    /// Threads it computes on.
    pub fn threads(&self) -> usize {
        self.sessions[0].threads()
    }

    /// Nanoseconds of one repetition. Only the prompt or the generation itself is timed, not going back to the
    /// depth, and not what llama-bench too does before it measures: taking the whole prompt, or one token.
    ///
    /// # Errors
    /// The test does not fit the context.
    pub fn sample(&mut self) -> Result<u64> {
        self.rewind()?;
        self.run(self.test.n_prompt.max(1))?;
        self.rewind()?;
        self.run(self.test.n_prompt + self.test.n_gen)
    }

    /// Takes so many tokens a sequence, and returns the nanoseconds.
    fn run(&mut self, n: usize) -> Result<u64> {
        let ids = random(&mut self.rng, &self.sessions[0], n * self.sessions.len());
        let started = Instant::now();
        match &mut *self.sessions {
            [session] if self.test.n_prompt > 0 => {
                session.prefill(&ids)?;
            }
            [session] => {
                for id in ids {
                    session.decode(id)?;
                }
            }
            sessions => {
                for ids in ids.chunks_exact(sessions.len()) {
                    let takes = sessions.iter_mut().zip(ids.chunks_exact(1));
                    let mut takes: Vec<_> = takes.map(|(session, ids)| Take { session, ids }).collect();
                    self.batch.step(&mut takes)?;
                }
            }
        }
        Ok(u64::try_from(started.elapsed().as_nanos())?)
    }

    fn rewind(&mut self) -> Result<()> {
        for session in &mut self.sessions {
            match self.test.n_depth {
                0 => session.reset(),
                depth => session.rollback(depth)?,
            }
        }
        Ok(())
    }
}

fn random(rng: &mut Pcg32, session: &Session, n: usize) -> Vec<u32> {
    let vocab_size = session.model().config().vocab_size as u64;
    (0..n).map(|_| ((u64::from(rng.next_u32()) * vocab_size) >> 32) as u32).collect()
}
