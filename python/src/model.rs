//! A model and what it generates.

use crate::convert::refuse_directory;
use crate::{BrookletError, to_py};
use brooklet::tokenizer::Special;
use brooklet::tool_calls::ReplySplitter;
use brooklet::{ChatTemplate, Generator, Limits, Sampler, Session, Setting, Stop, Tokenizer};
use brooklet_tools::conversation::{parse_messages, parse_tools};
use brooklet_tools::model_args::{KvType, MemoryArgs, ModelArgs, SamplingArgs, parse_threads};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Ctrl-C is looked for between tokens and pieces of a prompt, at least so long after the last time: to attach to an
/// interpreter that other threads keep busy takes longer than a token of a small model.
const SIGNALS: Duration = Duration::from_millis(50);

/// A model, its tokenizer and one session. What changes is behind a lock, which is only waited for while detached
/// from the interpreter.
#[pyclass(frozen, module = "brooklet._brooklet")]
pub struct Model {
    model: Arc<brooklet::Model>,
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    session: Arc<Mutex<Session>>,
    context: usize,
    seed: u64,
    /// Generations begun: each has another seed.
    begun: AtomicU64,
}

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (path, n_ctx=None, n_threads=None, kv_type=None, low_memory=false, seed=None))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        n_ctx: Option<usize>,
        n_threads: Option<usize>,
        kv_type: Option<&str>,
        low_memory: bool,
        seed: Option<u64>,
    ) -> PyResult<Model> {
        refuse_directory(&path)?;
        let kv_type = match kv_type {
            None => None,
            Some("f16") => Some(KvType::F16),
            Some("f32") => Some(KvType::F32),
            Some("q8_0") => Some(KvType::Q8_0),
            Some(other) => {
                let words = format!("kv_type: expected 'f16', 'f32' or 'q8_0', found '{other}'");
                return Err(PyValueError::new_err(words));
            }
        };
        if let Some(n) = n_threads {
            parse_threads(&n.to_string()).map_err(|e| PyValueError::new_err(format!("n_threads: {e}")))?;
        }
        let memory = MemoryArgs { kv_type, low_memory };
        let args = ModelArgs { model: path, threads: n_threads, ctx: n_ctx, seed, memory };
        py.detach(|| {
            let model = args.open()?;
            let tokenizer = args.tokenizer(model.gguf())?;
            let template = ChatTemplate::from_gguf(model.gguf(), &tokenizer)?;
            let session = args.session(&model)?;
            let context = session.context();
            let (session, seed) = (Arc::new(Mutex::new(session)), args.seed());
            Ok(Model { model, tokenizer, template, session, context, seed, begun: AtomicU64::new(0) })
        })
        .map_err(|e: anyhow::Error| to_py(e))
    }

    /// Tokens that prompt and answer may take together.
    #[getter]
    fn n_ctx(&self) -> usize {
        self.context
    }

    /// Entries of the vocabulary.
    #[getter]
    fn n_vocab(&self) -> usize {
        self.model.config().vocab_size
    }

    /// Tokens that the session holds.
    #[getter]
    fn n_tokens(&self, py: Python<'_>) -> PyResult<usize> {
        py.detach(|| Ok(lock(&self.session)?.tokens().len()))
    }

    /// Ids of a text, as `special` and `add_bos` say.
    fn tokenize(&self, py: Python<'_>, text: &str, add_bos: bool, special: bool) -> PyResult<Vec<u32>> {
        py.detach(|| {
            let special = if special { Special::Parse } else { Special::Plain };
            let mut ids = self.tokenizer.encode(text, special)?;
            if add_bos {
                self.tokenizer.ensure_bos(&mut ids);
            }
            Ok::<_, brooklet::Error>(ids)
        })
        .map_err(to_py)
    }

    /// The text of ids.
    fn detokenize(&self, ids: Vec<u32>, skip_special: bool) -> PyResult<String> {
        self.tokenizer.decode(&ids, skip_special).map_err(to_py)
    }

    /// A conversation and tools, both as JSON, as the text that the model sees.
    fn render(&self, messages: &str, tools: Option<&str>, add_generation_prompt: bool) -> PyResult<String> {
        let (messages, tools) = conversation(messages, tools)?;
        self.template.render(&messages, tools.as_ref(), add_generation_prompt).map_err(to_py)
    }

    /// As [`Model::render`], as ids.
    fn encode(&self, messages: &str, tools: Option<&str>, add_generation_prompt: bool) -> PyResult<Vec<u32>> {
        let (messages, tools) = conversation(messages, tools)?;
        self.template.encode(&self.tokenizer, &messages, tools.as_ref(), add_generation_prompt).map_err(to_py)
    }

    /// The logits after the last of `ids`, or after each, as the machine's float32s.
    fn logits<'py>(&self, py: Python<'py>, ids: Vec<u32>, all: bool) -> PyResult<Bound<'py, PyBytes>> {
        let row = self.n_vocab() * size_of::<f32>();
        // More ids than the context holds are refused before they count.
        let rows = if all { ids.len().min(self.context) } else { 1 };
        PyBytes::new_with(py, rows * row, |bytes| {
            py.detach(|| {
                let mut session = lock(&self.session)?;
                session.reset();
                if all {
                    return session
                        .prefill_each(&ids, |i, logits| {
                            bytes[i * row..][..row].copy_from_slice(bytemuck::cast_slice(logits))
                        })
                        .map_err(to_py);
                }
                hold(&mut session, &ids, &mut Signals::default())?;
                bytes.copy_from_slice(bytemuck::cast_slice(session.logits()));
                Ok(())
            })
        })
    }

    /// Begins to generate after `ids`; `chat` takes tool calls out of the text.
    #[pyo3(signature = (ids, chat, *, max_tokens, temperature, top_k, top_p, min_p, repeat_penalty, seed, stop, ignore_eos))]
    #[allow(clippy::too_many_arguments)]
    fn start(
        &self,
        ids: Vec<u32>,
        chat: bool,
        max_tokens: Option<usize>,
        temperature: Option<f32>,
        top_k: Option<u32>,
        top_p: Option<f32>,
        min_p: Option<f32>,
        repeat_penalty: Option<f32>,
        seed: Option<u64>,
        stop: Vec<String>,
        ignore_eos: bool,
    ) -> PyResult<Generation> {
        let checks = [
            ("temperature", temperature, Setting::TEMPERATURE),
            ("top_p", top_p, Setting::TOP_P),
            ("min_p", min_p, Setting::MIN_P),
            ("repeat_penalty", repeat_penalty, Setting::REPETITION_PENALTY),
        ];
        for (name, value, setting) in checks {
            if let Some(value) = value.filter(|&value| !setting.allows(value)) {
                let expected = setting.expected;
                return Err(PyValueError::new_err(format!("{name}: expected {expected}, found {value}")));
            }
        }
        if stop.iter().any(String::is_empty) {
            return Err(PyValueError::new_err("stop: expected texts, found an empty one"));
        }
        let args = SamplingArgs { temp: temperature, top_k, top_p, min_p, repeat_penalty };
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        let seed = seed.unwrap_or_else(|| self.seed.wrapping_add(begun));
        let config = args.config(self.model.gguf(), seed).map_err(to_py)?;
        // Tool calls come between control tokens, which whoever reads them needs to see.
        let limits = Limits { max_tokens, stop, ignore_eos, skip_special: false };
        Ok(Generation {
            session: self.session.clone(),
            state: Mutex::new(Progress {
                sampler: Sampler::new(config, self.n_vocab()),
                generator: Generator::new(self.tokenizer.clone(), limits),
                splitter: chat.then(ReplySplitter::default),
                error: None,
                cached: None,
                prompt: ids,
            }),
        })
    }
}

/// One generation. As an iterator it gives pieces of text and lets go of the model between them; what another use of
/// the model put in place of its tokens is computed again.
#[pyclass(frozen, module = "brooklet._brooklet")]
pub struct Generation {
    session: Arc<Mutex<Session>>,
    state: Mutex<Progress>,
}

struct Progress {
    prompt: Vec<u32>,
    sampler: Sampler,
    generator: Generator,
    splitter: Option<ReplySplitter>,
    /// Why a list of calls does not parse.
    error: Option<String>,
    /// Ids of the prompt that the session held already; `None` before the first step.
    cached: Option<usize>,
}

#[pymethods]
impl Generation {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<String>> {
        py.detach(|| {
            let (mut state, mut signals) = (lock(&self.state)?, Signals::default());
            let mut session = lock(&self.session)?;
            while let Some(text) = state.step(&mut session, &mut signals)? {
                if !text.is_empty() {
                    return Ok(Some(text));
                }
            }
            Ok(None)
        })
    }

    /// All text that is left, without letting go of the model.
    fn run(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| {
            let (mut state, mut signals) = (lock(&self.state)?, Signals::default());
            let mut session = lock(&self.session)?;
            let mut all = String::new();
            while let Some(text) = state.step(&mut session, &mut signals)? {
                all.push_str(&text);
            }
            Ok(all)
        })
    }

    /// Why it ended, in OpenAI's words; None while it has not.
    #[getter]
    fn finish_reason(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        self.read(py, |state| {
            let called = state.splitter.as_ref().is_some_and(|s| !s.calls().is_empty());
            state.generator.stop().map(|stop| match stop {
                Stop::Length | Stop::Context => "length",
                _ if called => "tool_calls",
                _ => "stop",
            })
        })
    }

    /// The calls made, as JSON; and why a list of calls does not parse, where one does not.
    #[getter]
    fn tool_calls(&self, py: Python<'_>) -> PyResult<(String, Option<String>)> {
        self.read(py, |state| {
            let calls = state.splitter.iter().flat_map(|s| s.calls());
            let calls: serde_json::Value = calls.map(|call| call.to_json()).collect();
            (calls.to_string(), state.error.clone())
        })
    }

    /// Tokens: of the prompt, of the answer, and those of the prompt that the session held already.
    #[getter]
    fn counts(&self, py: Python<'_>) -> PyResult<(usize, usize, usize)> {
        self.read(py, |s| (s.prompt.len(), s.generator.ids().len(), s.cached.unwrap_or(0)))
    }
}

impl Generation {
    fn read<T: Send>(&self, py: Python<'_>, read: impl FnOnce(&Progress) -> T + Send) -> PyResult<T> {
        py.detach(|| Ok(read(&*lock(&self.state)?)))
    }
}

impl Progress {
    /// The next token's text outside of tool calls; `None` at the end.
    fn step(&mut self, session: &mut Session, signals: &mut Signals) -> PyResult<Option<String>> {
        if self.generator.stop().is_none() {
            let taken = self.generator.taken();
            if session.tokens().len() != self.prompt.len() + taken.len()
                || !session.tokens().starts_with(&self.prompt)
                || !session.tokens().ends_with(taken)
                || self.cached.is_none()
            {
                let ids = [&self.prompt, taken].concat();
                let kept = hold(session, &ids, signals)?;
                if self.cached.is_none() {
                    self.cached = Some(kept);
                    self.sampler.observe(&self.prompt);
                }
            }
        }
        signals.check()?;
        let piece = self.generator.step(session, &mut self.sampler).map_err(to_py)?;
        let Some(splitter) = &mut self.splitter else { return Ok(piece.map(String::from)) };
        if let Some(piece) = piece {
            return Ok(Some(splitter.push(piece)));
        }
        let mut rest = String::new();
        self.error = splitter.finish(&mut rest).map(|error| error.to_string());
        Ok((!rest.is_empty()).then_some(rest))
    }
}

/// When Ctrl-C was last looked for.
struct Signals(Instant);

impl Default for Signals {
    fn default() -> Self {
        Signals(Instant::now())
    }
}

impl Signals {
    /// Python's exception where a signal came that raises one.
    fn check(&mut self) -> PyResult<()> {
        if self.0.elapsed() < SIGNALS {
            return Ok(());
        }
        self.0 = Instant::now();
        Python::attach(|py| py.check_signals())
    }
}

/// Makes the session hold `ids`; returns how many it held already.
fn hold(session: &mut Session, ids: &[u32], signals: &mut Signals) -> PyResult<usize> {
    let mut outcome = Ok(());
    let kept = session.hold(ids, |_, _| {
        outcome = signals.check();
        outcome.is_ok()
    });
    outcome?;
    Ok(kept.map_err(to_py)?.unwrap_or(0))
}

/// Waits for what is behind a lock; call it detached, for who holds it may want to attach.
fn lock<T>(mutex: &Mutex<T>) -> PyResult<MutexGuard<'_, T>> {
    mutex.lock().map_err(|_: PoisonError<_>| {
        BrookletError::new_err("the model was lost in a failure before this call: open it again")
    })
}

/// Messages and tools out of their JSON.
fn conversation(
    messages: &str,
    tools: Option<&str>,
) -> PyResult<(Vec<brooklet::tokenizer::Message>, Option<serde_json::Value>)> {
    let value_error = |e: anyhow::Error| PyValueError::new_err(brooklet_tools::hint::message(&e));
    let messages = parse_messages(messages).map_err(value_error)?;
    Ok((messages, tools.map(parse_tools).transpose().map_err(value_error)?))
}
