//! One answer of the command line: progress where it takes long, Ctrl-C, and its speed in words.

use crate::ui;
use anyhow::Result;
use brooklet::{Generation, Limits, Sampler, SamplerConfig, Session, Stop, Tokenizer};
use indicatif::ProgressBar;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A prompt that takes longer than this shows a progress bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// [`brooklet::answer`] with a progress bar for a long prompt; setting `cancelled` stops as well.
///
/// # Errors
/// As [`brooklet::answer`].
pub fn answer(
    session: &mut Session,
    config: &SamplerConfig,
    tokenizer: &Arc<Tokenizer>,
    prompt: &[u32],
    limits: &Limits,
    cancelled: &AtomicBool,
    mut on_text: impl FnMut(&str) -> bool,
) -> Result<Generation> {
    let mut sampler = Sampler::new(config.clone(), session.model().config().vocab_size);
    let go_on = || !cancelled.load(Ordering::Relaxed);
    // Gone before the first text.
    let bar = RefCell::new(PromptBar { started: Instant::now(), bar: None });
    let on_piece = |taken: usize, all: usize| {
        bar.borrow_mut().advance(taken as u64, all as u64);
        go_on()
    };
    let on_text = |text: &str| {
        bar.borrow_mut().clear();
        on_text(text) && go_on()
    };
    Ok(brooklet::answer(session, &mut sampler, tokenizer, prompt, limits, on_piece, on_text)?)
}

/// A progress bar that appears only where somebody looks and only once it takes long.
struct PromptBar {
    started: Instant,
    bar: Option<ProgressBar>,
}

impl PromptBar {
    fn advance(&mut self, taken: u64, all: u64) {
        if self.bar.is_none() && self.started.elapsed() > PATIENCE {
            self.bar = Some(ui::step_bar(all, "Reading the prompt"));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(taken);
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for PromptBar {
    fn drop(&mut self) {
        self.clear();
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
        let mut generation = Generation {
            text: String::new(),
            ids: Vec::new(),
            stop: Stop::Length,
            prompt_tokens: 10,
            prompt_time: Duration::from_millis(100),
            decode_tokens: 0,
            decode_time: Duration::ZERO,
        };
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
