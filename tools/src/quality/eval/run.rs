//! Takes a model through the cases of a task.

use super::choice::{Choice, log_probability};
use super::report::{Given, Report};
use super::{Case, Expect, Prompt, Task};
use anyhow::{Context, Result, bail, ensure};
use brooklet::tokenizer::Special;
use brooklet::{
    ChatTemplate, Error, Generation, Limits, Sampler, SamplerConfig, Session, SessionError, Stop, Tokenizer,
    generate,
};
use std::sync::Arc;

/// Cases whose prompts are held as ids at once, sorted so that neighbours begin alike.
const GROUP: usize = 512;

/// A session that answers.
pub struct Runner {
    session: Session,
    tokenizer: Arc<Tokenizer>,
    template: Result<ChatTemplate>,
    sampler: Sampler,
    /// Ids of those that the session holds that were a prompt's: what follows was taken one by one.
    held: usize,
}

impl Runner {
    /// With an empty session.
    pub fn new(session: Session, tokenizer: Arc<Tokenizer>) -> Runner {
        let template =
            ChatTemplate::from_gguf(session.model().gguf(), &tokenizer).map_err(anyhow::Error::from);
        // Greedy: the likeliest id, whatever came before.
        let greedy = SamplerConfig {
            temperature: 0.0,
            repetition_penalty: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            seed: 0,
        };
        let sampler = Sampler::new(greedy, session.model().config().vocab_size);
        Runner { session, tokenizer, template, sampler, held: 0 }
    }

    /// The ids of a prompt.
    ///
    /// # Errors
    /// A chat template that does not compile, or not render this conversation.
    pub fn ids(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        match prompt {
            Prompt::Text { description, examples, question } => {
                Ok(self.tokenizer.encode_with_bos(&format!("{description}{examples}{question}"))?)
            }
            Prompt::Chat { messages, tools } => match &self.template {
                Ok(template) => Ok(template.encode(&self.tokenizer, messages, tools.as_ref(), true)?),
                Err(error) => bail!("{error:#}"),
            },
        }
    }

    /// Takes the model through a task; `after_each` is called with the number of cases done.
    ///
    /// # Errors
    /// A prompt or its choices do not fit the context, or cannot be made.
    pub fn run(&mut self, task: &Task, mut after_each: impl FnMut(u64)) -> Result<Report> {
        let mut report = Report::new(task);
        for (group, cases) in task.cases.chunks(GROUP).enumerate() {
            let mut given: Vec<Option<Given>> = cases.iter().map(|_| None).collect();
            let prompts = cases.iter().map(|case| self.ids(&case.prompt).with_context(|| case.place.clone()));
            let prompts = prompts.collect::<Result<Vec<_>>>()?;
            let mut order: Vec<usize> = (0..cases.len()).collect();
            order.sort_by(|a, b| prompts[*a].cmp(&prompts[*b]));
            for (done, index) in order.into_iter().enumerate() {
                let case = &cases[index];
                let answer = self.answer(task, case, &prompts[index]).with_context(|| case.place.clone())?;
                given[index] = Some(answer);
                after_each((group * GROUP + done + 1) as u64);
            }
            // In the order of the file.
            for (case, given) in cases.iter().zip(given.into_iter().flatten()) {
                report.add(case, given);
            }
        }
        Ok(report)
    }

    fn answer(&mut self, task: &Task, case: &Case, prompt: &[u32]) -> Result<Given> {
        if let Expect::Choice(choice) = &case.expect {
            let log_likelihoods = self.log_likelihoods(case, choice, prompt)?;
            let scores = choice.judge(&log_likelihoods);
            let text: Vec<String> =
                choice.choices.iter().zip(&log_likelihoods).map(|(c, ll)| format!("{c} ({ll:.3})")).collect();
            return Ok(Given { scores, text: text.join(" | "), cut: false });
        }
        let generation = self.generate(prompt, &case.stop, task.max_tokens)?;
        let cut = matches!(generation.stop, Stop::Length | Stop::Context);
        Ok(Given { scores: case.expect.judge(&generation.text), text: generation.text, cut })
    }

    /// The greedy answer.
    ///
    /// # Errors
    /// The prompt does not fit the context.
    pub fn generate(&mut self, prompt: &[u32], stop: &[String], max_tokens: usize) -> Result<Generation> {
        let kept = self.keep_start_of(prompt)?;
        let limits = Limits {
            max_tokens: Some(max_tokens),
            stop: stop.to_vec(),
            ignore_eos: false,
            // Tool calls come between special tokens.
            skip_special: false,
        };
        let rest = &prompt[kept..];
        Ok(generate(&mut self.session, &mut self.sampler, &self.tokenizer, rest, &limits, |_| true)?)
    }

    /// The log-likelihood of each choice after the prompt, in nats: the sum over its tokens.
    ///
    /// # Errors
    /// Prompt and choice together do not fit the context; the model computes what is no number.
    pub fn log_likelihoods(&mut self, case: &Case, choice: &Choice, prompt: &[u32]) -> Result<Vec<f64>> {
        let continuations = choice
            .choices
            .iter()
            .map(|text| self.continuation(&case.prompt, prompt, &choice.delimiter, text))
            .collect::<Result<Vec<_>>>()?;
        let kept = self.keep_start_of(prompt)?;
        self.session.prefill(&prompt[kept..])?;
        let after_prompt: Vec<f64> =
            continuations.iter().map(|ids| log_probability(self.session.logits(), ids[0])).collect();
        let mut sums = Vec::with_capacity(continuations.len());
        for (ids, first) in continuations.iter().zip(after_prompt) {
            let mut sum = first;
            if ids.len() > 1 {
                let (taken, next) = (&ids[..ids.len() - 1], &ids[1..]);
                self.session.rollback(prompt.len())?;
                self.session.prefill_each(taken, |at, logits| sum += log_probability(logits, next[at]))?;
            }
            ensure!(
                sum.is_finite(),
                "the log-likelihood of a choice is {sum}: the model's weights are damaged"
            );
            sums.push(sum);
        }
        Ok(sums)
    }

    /// The ids of a choice as they follow on the prompt's: text is tokenized with the prompt, since a word's first token
    /// depends on the space before it; after what a chat template renders it stands alone.
    fn continuation(&self, prompt: &Prompt, ids: &[u32], delimiter: &str, choice: &str) -> Result<Vec<u32>> {
        let continuation = match prompt.text() {
            Some(text) => {
                let whole = self.tokenizer.encode_with_bos(&format!("{text}{delimiter}{choice}"))?;
                whole.get(ids.len()..).unwrap_or_default().to_vec()
            }
            None => self.tokenizer.encode(choice, Special::Plain)?,
        };
        if continuation.is_empty() {
            bail!("the choice {choice:?} adds no token to the prompt");
        }
        Ok(continuation)
    }

    /// Makes the session hold a start of the prompt, at least one id less than it, and returns its length: as many whole passes
    /// as they have in common, so that what is computed does not depend on which prompt came before.
    fn keep_start_of(&mut self, prompt: &[u32]) -> Result<usize> {
        let context = self.session.context();
        if prompt.len() > context {
            let limit = self.session.model().config().context_length;
            return Err(
                Error::from(SessionError::ContextFull { needed: prompt.len(), context, limit }).into()
            );
        }
        let common = self.session.tokens().iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let kept = common.min(self.held).min(prompt.len().saturating_sub(1));
        let kept = kept - kept % self.session.model().pass();
        self.held = prompt.len();
        self.session.rollback(kept)?;
        Ok(kept)
    }
}
