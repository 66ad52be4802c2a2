//! One answer: what the session already holds is kept, the rest of the prompt is taken in pieces that
//! can be watched and stopped, then the model generates.

use crate::ui;
use anyhow::Result;
use brooklet::{Generation, Limits, Sampler, SamplerConfig, Session, Stop, Tokenizer, generate};
use indicatif::ProgressBar;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Ids a piece: as many as a session computes at once, so that pieces cost nothing, and few enough that
/// Ctrl-C is answered soon on a slow machine. Fixed, so that the same prompt is always split alike.
const PIECE: usize = 128;

/// A prompt that takes longer than this shows a progress bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// Makes `session` hold `prompt`, then generates. Only the ids after the longest common start of
/// `prompt` and [`Session::tokens`] are computed; the figures of the returned [`Generation`] count
/// those. `on_text` gets each piece of the text and returns whether to go on; setting `cancelled`
/// stops as well.
///
/// # Errors
/// The prompt does not fit the context, holds an id outside the vocabulary, or is empty.
pub fn answer(
    session: &mut Session,
    config: &SamplerConfig,
    tokenizer: &Arc<Tokenizer>,
    prompt: &[u32],
    limits: &Limits,
    cancelled: &AtomicBool,
    mut on_text: impl FnMut(&str) -> bool,
) -> Result<Generation> {
    let kept = session.rollback_to_start_of(prompt)?;
    let mut sampler = Sampler::new(config.clone(), session.model().config().vocab_size);
    let started = Instant::now();
    let mut rest = &prompt[kept..];
    let mut bar = PromptBar::new(rest.len() as u64);
    while rest.len() > PIECE {
        let piece = rest.split_off(..PIECE).unwrap_or_default();
        session.prefill(piece)?;
        bar.advance(piece.len() as u64);
        if cancelled.load(Ordering::Relaxed) {
            return Ok(stopped(piece.len(), started.elapsed()));
        }
    }
    drop(bar);
    let before = started.elapsed();
    let mut generation = generate(session, &mut sampler, tokenizer, rest, limits, |text| {
        on_text(text) && !cancelled.load(Ordering::Relaxed)
    })?;
    generation.prompt_tokens = prompt.len() - kept;
    generation.prompt_time += before;
    Ok(generation)
}

/// What was generated when the prompt itself was stopped: nothing.
fn stopped(prompt_tokens: usize, prompt_time: Duration) -> Generation {
    Generation {
        text: String::new(),
        ids: Vec::new(),
        stop: Stop::Cancelled,
        prompt_tokens,
        prompt_time,
        decode_tokens: 0,
        decode_time: Duration::ZERO,
    }
}

/// A progress bar that appears only where somebody looks and only once it takes long.
struct PromptBar {
    started: Instant,
    done: u64,
    total: u64,
    bar: Option<ProgressBar>,
}

impl PromptBar {
    fn new(total: u64) -> Self {
        PromptBar { started: Instant::now(), done: 0, total, bar: None }
    }

    fn advance(&mut self, tokens: u64) {
        self.done += tokens;
        if self.bar.is_none() && self.started.elapsed() > PATIENCE {
            self.bar = Some(ui::step_bar(self.total, "Reading the prompt"));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }
}

impl Drop for PromptBar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The speed of an answer, for people: `prompt 12 tokens at 340.1 tokens/s, answer 128 tokens at 32.4 tokens/s`.
pub fn speed(generation: &Generation) -> String {
    let rate = |tokens: usize, time: Duration| match time.as_secs_f64() {
        t if t > 0.0 && tokens > 0 => format!(" at {:.1} tokens/s", tokens as f64 / t),
        _ => String::new(),
    };
    let Generation { ids, prompt_tokens, prompt_time, decode_tokens, decode_time, .. } = generation;
    format!(
        "prompt {prompt_tokens} tokens{}, answer {} tokens{}",
        rate(*prompt_tokens, *prompt_time),
        ids.len(),
        rate(*decode_tokens, *decode_time)
    )
}

/// The reason for the end, as JSON output names it.
pub fn stop_name(stop: Stop) -> &'static str {
    match stop {
        Stop::Eos => "eos",
        Stop::Text => "stop",
        Stop::Length => "length",
        Stop::Context => "context",
        Stop::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_leave_out_what_was_not_measured() {
        let mut generation = stopped(10, Duration::from_millis(100));
        assert_eq!(speed(&generation), "prompt 10 tokens at 100.0 tokens/s, answer 0 tokens");
        generation.ids = vec![1, 2, 3];
        generation.decode_tokens = 2;
        generation.decode_time = Duration::from_millis(50);
        assert_eq!(
            speed(&generation),
            "prompt 10 tokens at 100.0 tokens/s, answer 3 tokens at 40.0 tokens/s"
        );
    }
}
