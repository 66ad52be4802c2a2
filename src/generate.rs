//! The loop that ties session, sampler and tokenizer.

use crate::{Result, Sampler, Session, Tokenizer};
use std::sync::Arc;

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
    /// Texts at which to stop; the text itself is not printed.
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
    /// The ids, without the end-of-sequence id.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub stop: Stop,
    /// Ids of the prompt that were processed.
    pub prompt_tokens: usize,
    /// Time to process them, including the first sampled id.
    pub prompt_time: std::time::Duration,
    /// Time of the rest.
    pub decode_time: std::time::Duration,
}

/// Takes `prompt` into the session, then samples until something ends it. `on_text` gets each piece
/// of text as soon as it is whole and returns whether to go on.
#[allow(unused_variables)]
pub fn generate(
    session: &mut Session,
    sampler: &mut Sampler,
    tokenizer: &Arc<Tokenizer>,
    prompt: &[u32],
    limits: &Limits,
    on_text: impl FnMut(&str) -> bool,
) -> Result<Generation> {
    todo!()
}
