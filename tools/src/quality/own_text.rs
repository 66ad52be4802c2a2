//! A text that a model writes itself, to calibrate on where nobody gives one: it is of the kinds that the model was trained
//! on, each as often as it was met (self-calibration, arXiv:2410.17170).

use anyhow::{Result, bail};
use brooklet::{Batch, Session, Take, Tokenizer};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

/// Windows that are enough. With half as many, models/demo diverged 3 % farther at Q4_0, with twice as many 1 % less far.
pub const WINDOWS: usize = 64;
/// Windows that are written side by side, so that each weight is read once for all.
const TOGETHER: usize = 32;

/// `count` windows of the length of the session's context. Each is drawn from the model's own probabilities, begin-of-text first,
/// through what would end an answer, by random numbers of its own: the same text at every call with the same kernels.
/// `on_tokens` is called with the number of tokens written; its `false` ends it, with nothing.
///
/// # Errors
/// A model without a begin-of-text token, or with logits that are no numbers; no memory for 32 sessions.
pub fn write(
    session: &Session,
    tokenizer: &Tokenizer,
    count: usize,
    mut on_tokens: impl FnMut(usize) -> bool,
) -> Result<Option<Vec<Vec<u32>>>> {
    let mut start = Vec::new();
    tokenizer.ensure_bos(&mut start);
    if start.is_empty() {
        bail!("the model has no token that begins a text, so it cannot write one itself: give a text");
    }
    let window = session.context();
    let mut batch = Batch::new(session.model().clone());
    let mut sessions: Vec<Session> =
        (0..TOGETHER.min(count)).map(|_| session.fork()).collect::<Result<_, _>>()?;
    let mut windows: Vec<Vec<u32>> = Vec::new();
    while windows.len() < count {
        let first = windows.len();
        sessions.truncate(count - first);
        let seeds = first as u64..(first + sessions.len()) as u64;
        let mut random: Vec<Pcg64Mcg> = seeds.map(Pcg64Mcg::seed_from_u64).collect();
        let mut next = vec![start.clone(); sessions.len()];
        sessions.iter_mut().for_each(Session::reset);
        while sessions[0].tokens().len() < window {
            let takes = sessions.iter_mut().zip(&next).map(|(session, ids)| Take { session, ids });
            batch.step(&mut takes.collect::<Vec<_>>())?;
            let drawn = sessions.par_iter().zip(&mut random).map(|(s, random)| draw(s.logits(), random));
            let drawn: Option<Vec<u32>> = drawn.collect();
            let Some(drawn) = drawn else { bail!("its logits are no numbers: the weights are damaged") };
            next = drawn.into_iter().map(|id| vec![id]).collect();
            if !on_tokens(first * window + sessions.len() * sessions[0].tokens().len()) {
                return Ok(None);
            }
        }
        windows.extend(sessions.iter().map(|session| session.tokens().to_vec()));
    }
    Ok(Some(windows))
}

/// An id, each as often as its logit says; `None` where these are no numbers.
fn draw(logits: &[f32], random: &mut Pcg64Mcg) -> Option<u32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: &f32| f64::from((logit - largest).exp());
    let total: f64 = logits.iter().map(weight).sum();
    if !total.is_finite() {
        return None;
    }
    let mut left = total * (random.next_u64() as f64 / 2f64.powi(64));
    let id = logits.iter().position(|logit| {
        left -= weight(logit);
        left < 0.0
    });
    // Rounding may leave something.
    Some(id.unwrap_or(0) as u32)
}
