//! The loop that ties session, sampler and tokenizer.

use crate::{Result, Sampler, Session, TokenDecoder, Tokenizer};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// An end-of-sequence id.
    Eos,
    /// A stop text.
    Text,
    /// The limit on new tokens.
    Length,
    /// The context is full.
    Context,
    /// The callback asked for it.
    Cancelled,
}

/// What a generation is allowed.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// New tokens; `None` is as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Texts at which to stop; the text itself is not part of the answer.
    pub stop: Vec<String>,
    /// Go on after an end-of-sequence id.
    pub ignore_eos: bool,
    /// Leave control tokens out of the text.
    pub skip_special: bool,
}

/// What was generated and how fast.
#[derive(Clone, Debug)]
pub struct Generation {
    /// The text.
    pub text: String,
    /// The ids, without the end-of-sequence id that ended it.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub stop: Stop,
    /// Ids of the prompt that were processed.
    pub prompt_tokens: usize,
    /// Time to process them, to the first sampled id.
    pub prompt_time: Duration,
    /// Ids taken through the model after the prompt.
    pub decode_tokens: usize,
    /// Time of those.
    pub decode_time: Duration,
}

/// Takes `prompt` into the session, then samples until something ends it. `on_text` gets each piece of
/// text as soon as it is whole and cannot be the beginning of a stop text, and returns whether to go on.
///
/// The session afterwards holds the prompt and every id generated, except a last one that was sampled
/// but not yet taken: ids it holds are `session.tokens()`.
///
/// # Errors
/// As [`Session::prefill`].
pub fn generate(
    session: &mut Session,
    sampler: &mut Sampler,
    tokenizer: &Arc<Tokenizer>,
    prompt: &[u32],
    limits: &Limits,
    on_text: impl FnMut(&str) -> bool,
) -> Result<Generation> {
    let started = Instant::now();
    session.prefill(prompt)?;
    go_on(session, sampler, tokenizer, prompt.len(), started, limits, on_text)
}

/// As [`generate`], for a session that may hold something already: it is made to hold `prompt` by [`Session::hold`],
/// whose pieces `on_piece(taken, all)` is told of, and only what is new is computed and counted.
///
/// # Errors
/// The prompt does not fit the context, holds an id outside the vocabulary, or is empty.
pub fn answer(
    session: &mut Session,
    sampler: &mut Sampler,
    tokenizer: &Arc<Tokenizer>,
    prompt: &[u32],
    limits: &Limits,
    mut on_piece: impl FnMut(usize, usize) -> bool,
    on_text: impl FnMut(&str) -> bool,
) -> Result<Generation> {
    let started = Instant::now();
    let mut seen = 0;
    let kept = session.hold(prompt, |taken, all| {
        seen = taken;
        on_piece(taken, all)
    })?;
    match kept {
        Some(kept) => go_on(session, sampler, tokenizer, prompt.len() - kept, started, limits, on_text),
        None => Ok(Generation {
            text: String::new(),
            ids: Vec::new(),
            stop: Stop::Cancelled,
            prompt_tokens: seen,
            prompt_time: started.elapsed(),
            decode_tokens: 0,
            decode_time: Duration::ZERO,
        }),
    }
}

/// Samples until something ends it; the session holds the prompt.
fn go_on(
    session: &mut Session,
    sampler: &mut Sampler,
    tokenizer: &Arc<Tokenizer>,
    prompt_tokens: usize,
    started: Instant,
    limits: &Limits,
    mut on_text: impl FnMut(&str) -> bool,
) -> Result<Generation> {
    sampler.forget();
    sampler.observe(session.tokens());
    let mut generator = Generator::new(tokenizer.clone(), limits.clone());
    let mut prompt_time = None;
    while let Some(text) = generator.step(session, sampler)? {
        prompt_time.get_or_insert_with(|| started.elapsed());
        if !on_text(text) {
            generator.stop = Some(Stop::Cancelled);
            break;
        }
    }
    let prompt_time = prompt_time.unwrap_or_else(|| started.elapsed());
    Ok(Generation {
        text: generator.held.text,
        ids: generator.ids,
        stop: generator.stop.unwrap_or(Stop::Cancelled),
        prompt_tokens,
        prompt_time,
        decode_tokens: generator.taken,
        decode_time: started.elapsed() - prompt_time,
    })
}

/// A generation taken step by step, by a caller who wants to do something else between.
pub struct Generator {
    tokenizer: Arc<Tokenizer>,
    limits: Limits,
    decoder: TokenDecoder,
    held: HeldText,
    ids: Vec<u32>,
    /// Ids of those that the session has taken.
    taken: usize,
    stop: Option<Stop>,
}

impl Generator {
    /// One that has not begun.
    pub fn new(tokenizer: Arc<Tokenizer>, limits: Limits) -> Generator {
        Generator {
            decoder: TokenDecoder::new(tokenizer.clone(), limits.skip_special),
            held: HeldText { stops: limits.stop.clone(), text: String::new(), shown: 0 },
            tokenizer,
            limits,
            ids: Vec::new(),
            taken: 0,
            stop: None,
        }
    }

    /// Takes the id drawn last into the session and draws the next. The text that is whole by that, possibly empty;
    /// `None` once the generation has ended.
    ///
    /// `session` holds the prompt and, after it, [`Generator::taken`]; `sampler` has observed both.
    ///
    /// # Errors
    /// As [`Session::decode`].
    pub fn step(&mut self, session: &mut Session, sampler: &mut Sampler) -> Result<Option<&str>> {
        if self.stop.is_some() {
            return Ok(None);
        }
        if let Some(last) = self.ids.get(self.taken) {
            if session.tokens().len() == session.context() {
                return Ok(self.end(Stop::Context));
            }
            session.decode(*last)?;
            self.taken += 1;
        }
        if self.limits.max_tokens.is_some_and(|max| self.ids.len() >= max) {
            return Ok(self.end(Stop::Length));
        }
        let id = sampler.sample(session.logits());
        if !self.limits.ignore_eos && self.tokenizer.eos_ids().contains(&id) {
            return Ok(self.end(Stop::Eos));
        }
        self.ids.push(id);
        if self.held.push(&self.decoder.push(id)?) {
            self.stop = Some(Stop::Text);
            return Ok(Some(self.held.finish()));
        }
        Ok(Some(self.held.take()))
    }

    /// Ends it; what is left of the text, if anything.
    fn end(&mut self, stop: Stop) -> Option<&str> {
        let stopped = self.held.push(&self.decoder.finish());
        self.stop = Some(if stopped { Stop::Text } else { stop });
        let rest = self.held.finish();
        (!rest.is_empty()).then_some(rest)
    }

    /// Why it ended, once it has.
    pub fn stop(&self) -> Option<Stop> {
        self.stop
    }

    /// The ids drawn, without the end-of-sequence id.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Those that the session has taken: all but the last one drawn, perhaps.
    pub fn taken(&self) -> &[u32] {
        &self.ids[..self.taken]
    }
}

/// The text so far, of which a tail that may become a stop text is not shown yet.
struct HeldText {
    stops: Vec<String>,
    text: String,
    shown: usize,
}

impl HeldText {
    /// Adds text; true if a stop text is complete, which is then cut off with all that follows.
    fn push(&mut self, piece: &str) -> bool {
        // A stop text may begin in what is held back, which is never longer than it.
        let from = self.shown;
        self.text.push_str(piece);
        let found = self.stops.iter().filter(|s| !s.is_empty());
        match found.filter_map(|s| self.text[from..].find(s.as_str())).min() {
            Some(at) => {
                self.text.truncate(from + at);
                true
            }
            None => false,
        }
    }

    /// What can be shown by now.
    fn take(&mut self) -> &str {
        let tail = &self.text[self.shown..];
        let held = |s: &String| {
            (1..s.len()).rev().find(|n| s.is_char_boundary(*n) && tail.ends_with(&s[..*n])).unwrap_or(0)
        };
        let end = self.text.len() - self.stops.iter().map(held).max().unwrap_or(0);
        let piece = &self.text[self.shown..end];
        self.shown = end;
        piece
    }

    /// What was held back.
    fn finish(&mut self) -> &str {
        let piece = &self.text[self.shown..];
        self.shown = self.text.len();
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(|s| s.to_string()).collect();
        let mut held = HeldText { stops, text: String::new(), shown: 0 };
        let mut shown = Vec::new();
        for piece in pieces {
            let stopped = held.push(piece);
            shown.push(held.take().to_string());
            if stopped {
                return (shown, true);
            }
        }
        shown.push(held.finish().to_string());
        (shown, false)
    }

    #[test]
    fn holds_back_what_may_become_a_stop_text() {
        assert_eq!(show(&["END"], &["a", "bE", "N", "x"]).0, ["a", "b", "", "ENx", ""]);
        assert_eq!(show(&["END"], &["aE", "E", "ND more"]), (vec!["a".into(), "E".into(), "".into()], true));
        assert_eq!(show(&["é!"], &["aé", "!"]), (vec!["a".into(), "".into()], true));
        assert_eq!(show(&[], &["a", "b"]).0, ["a", "b", ""]);
        assert_eq!(show(&["x", "ab"], &["cabx"]), (vec!["c".into()], true));
        assert_eq!(show(&["E"], &["aE"]), (vec!["a".into()], true));
        assert_eq!(show(&["END"], &["E"]).0, ["", "E"]);
    }
}
