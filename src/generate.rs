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
    mut on_text: impl FnMut(&str) -> bool,
) -> Result<Generation> {
    let started = Instant::now();
    session.prefill(prompt)?;
    sampler.forget();
    sampler.observe(session.tokens());
    let mut decoder = TokenDecoder::new(tokenizer.clone(), limits.skip_special);
    let mut held = HeldText { stops: &limits.stop, text: String::new(), shown: 0 };
    let mut ids = Vec::new();
    let (mut prompt_time, mut decode_tokens) = (None, 0);
    let stop = loop {
        if limits.max_tokens.is_some_and(|max| ids.len() >= max) {
            break Stop::Length;
        }
        let id = sampler.sample(session.logits());
        prompt_time.get_or_insert_with(|| started.elapsed());
        if !limits.ignore_eos && tokenizer.eos_ids().contains(&id) {
            break Stop::Eos;
        }
        ids.push(id);
        let stopped = held.push(&decoder.push(id)?);
        if !on_text(held.take()) {
            break Stop::Cancelled;
        }
        if stopped {
            break Stop::Text;
        }
        if session.tokens().len() == session.context() {
            break Stop::Context;
        }
        session.decode(id)?;
        decode_tokens += 1;
    };
    let stopped = stop == Stop::Text || held.push(&decoder.finish());
    let rest = held.finish();
    if !rest.is_empty() && stop != Stop::Cancelled {
        on_text(rest);
    }
    let prompt_time = prompt_time.unwrap_or_else(|| started.elapsed());
    Ok(Generation {
        text: held.text,
        ids,
        stop: if stopped { Stop::Text } else { stop },
        prompt_tokens: prompt.len(),
        prompt_time,
        decode_tokens,
        decode_time: started.elapsed() - prompt_time,
    })
}

/// The text so far, of which a tail that may become a stop text is not shown yet.
struct HeldText<'a> {
    stops: &'a [String],
    text: String,
    shown: usize,
}

impl HeldText<'_> {
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
        let mut held = HeldText { stops: &stops, text: String::new(), shown: 0 };
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
