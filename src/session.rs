//! A session owns everything that changes: KV cache, convolution state, position, scratch.

mod batch;
mod save;

pub use batch::{Batch, Take};

use crate::model::{Observer, Scratch, Segment, State, Workers};
use crate::system::THREADS;
use crate::{Model, Result};
use brooklet_kernels::{KvLayout, Team, TensorType};
use rayon::ThreadPool;
use std::iter::once;
use std::sync::Arc;

/// Tokens of a prompt that are taken through the layers at once where memory is short: more than a few, so that a weight is not
/// laid open for them alone.
const SMALL_CHUNK: usize = 32;
/// The context where neither the user nor a smaller model says otherwise.
const DEFAULT_CONTEXT: usize = 4096;

/// The most threads that it makes sense to ask for: beyond any machine brooklet is made for, and few enough to start.
pub const MAX_THREADS: usize = 512;

/// What a session cannot do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The tokens do not fit.
    #[error(
        "{needed} tokens do not fit a context of {context}: shorten the prompt, or ask for a longer context, \
         up to the {limit} that the model was made for"
    )]
    ContextFull {
        /// Positions needed in all.
        needed: usize,
        /// Positions there are.
        context: usize,
        /// Positions the model was made for.
        limit: usize,
    },
    /// The context asked for is none that the model has.
    #[error("a context of {context} was asked for: expected 1 to {limit}, what the model was made for")]
    Context {
        /// Positions asked for.
        context: usize,
        /// Positions the model was made for.
        limit: usize,
    },
    /// An id outside the vocabulary.
    #[error("token id {id} is out of range: the vocabulary has {vocab_size} entries")]
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// One past the largest.
        vocab_size: usize,
    },
    /// There is nothing to compute from.
    #[error("no tokens: a prompt needs at least one")]
    NoTokens,
    /// A rollback to a position that was not reached.
    #[error("cannot go back to {len} tokens: the session holds {held}")]
    Rollback {
        /// Asked for.
        len: usize,
        /// There are.
        held: usize,
    },
    /// Keys and values cannot be stored so.
    #[error("keys and values cannot be stored as {0}: expected F32, F16 or Q8_0")]
    KvType(TensorType),
    /// The system has no room or no threads.
    #[error("cannot set up a session with a context of {context}: {reason}; try a smaller context")]
    Resources {
        /// Positions asked for.
        context: usize,
        /// What the system says.
        reason: String,
    },
    /// A session of another model than the batch that it is to be taken forward in.
    #[error(
        "session {index} of a batch is of another model than the batch: open the model once and share it"
    )]
    OtherModel {
        /// Which of the sessions, counted from 0.
        index: usize,
    },
    /// A saved session that does not fit.
    #[error("saved session {path}: expected {expected}, found {found}")]
    Saved {
        /// The file.
        path: String,
        /// What would do.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// How a session is set up.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Positions; `None` is the smaller of the model's own and 4,096. Memory grows as it is used.
    pub context: Option<usize>,
    /// How keys and values are stored: F16 (default), F32 or Q8_0.
    pub kv_type: TensorType,
    /// Threads; `None` is one a physical core.
    pub threads: Option<usize>,
    /// Threads for one token or a few at a time, which memory keeps waiting; `None` is as many as `threads`.
    pub decode_threads: Option<usize>,
    /// Less memory for less speed: prompts go in parts of 32 tokens, not 128 or more, and keys and values are not on large
    /// pages. Results differ by rounding where what is left of a prompt in the one case is a few tokens, in the other
    /// not.
    pub low_memory: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            context: None,
            kv_type: TensorType::F16,
            threads: None,
            decode_threads: None,
            low_memory: false,
        }
    }
}

/// One conversation's state over a shared [`Model`].
pub struct Session {
    model: Arc<Model>,
    threads: Arc<Threads>,
    kv_layout: KvLayout,
    low_memory: bool,
    context: usize,
    tokens: Vec<u32>,
    state: State,
    scratch: Scratch,
    /// `vocab_size` logits after the last token.
    logits: Vec<f32>,
}

impl Session {
    /// An empty session.
    ///
    /// # Errors
    /// A context of 0 or beyond the model's, a KV type other than F32, F16 and Q8_0, too little memory.
    pub fn new(model: Arc<Model>, options: SessionOptions) -> Result<Session> {
        let config = model.config();
        let limit = config.context_length;
        let context = options.context.unwrap_or(limit.min(DEFAULT_CONTEXT));
        if context == 0 || context > limit {
            return Err(SessionError::Context { context, limit }.into());
        }
        let kv_layout =
            KvLayout::new(options.kv_type, config.head_dim).ok_or(SessionError::KvType(options.kv_type))?;
        let resources = |reason: String| SessionError::Resources { context, reason };
        let threads = options.threads.unwrap_or_else(num_cpus::get_physical).max(1);
        let threads = Threads::new(threads, options.decode_threads.unwrap_or(threads).max(1), model.few())
            .map_err(|e| resources(e.to_string()))?;
        let low_memory = options.low_memory;
        let state =
            State::new(config, kv_layout, context, !low_memory).map_err(|e| resources(e.to_string()))?;
        Ok(Session {
            threads: Arc::new(threads),
            kv_layout,
            low_memory,
            context,
            tokens: Vec::with_capacity(context),
            state,
            scratch: Scratch::new(config, context),
            logits: vec![0.0; config.vocab_size],
            model,
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Positions there are.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Threads it computes many tokens on.
    pub fn threads(&self) -> usize {
        self.threads.pool.as_ref().map_or(1, ThreadPool::current_num_threads)
    }

    /// Threads it computes one token on, or a few.
    pub fn decode_threads(&self) -> usize {
        self.threads.team.threads()
    }

    /// The ids taken so far; its length is the position.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The logits after the last token taken; zeros before the first.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Takes `ids` and returns the logits after the last, `vocab_size` of them.
    ///
    /// # Errors
    /// No ids, an id outside the vocabulary, or more than the context holds; the session is unchanged.
    pub fn prefill(&mut self, ids: &[u32]) -> Result<&[f32]> {
        self.prefill_while(ids, |_| true)?;
        Ok(&self.logits)
    }

    /// As [`Session::prefill`], asking `go_on(position)` after each part of the prompt but the last whether to go on:
    /// parts are what the session computes at once, [`Model::pass`] tokens, or 32 where it is
    /// set to take little memory. Returns how many of the ids it took; the logits are those after the last of them.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn prefill_while(&mut self, ids: &[u32], mut go_on: impl FnMut(usize) -> bool) -> Result<usize> {
        self.check(ids)?;
        let mut taken = 0;
        for chunk in ids.chunks(self.chunk()) {
            self.forward(chunk, 1);
            taken += chunk.len();
            if taken < ids.len() && !go_on(self.tokens.len()) {
                break;
            }
        }
        let Session { model, threads, scratch, logits, .. } = self;
        threads.run(1, |workers| model.logits(once(0), scratch, logits, workers));
        Ok(taken)
    }

    /// As [`Session::prefill`], calling `each(index, logits)` at every position in order.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn prefill_each(&mut self, ids: &[u32], mut each: impl FnMut(usize, &[f32])) -> Result<()> {
        self.check(ids)?;
        let vocab_size = self.logits.len();
        // Few positions at once, so that their logits are computed alike.
        let few = self.threads.few;
        let mut rows = vec![0.0; few.min(ids.len()) * vocab_size];
        let size = self.chunk();
        for (c, chunk) in ids.chunks(size).enumerate() {
            self.forward(chunk, chunk.len());
            for start in (0..chunk.len()).step_by(few) {
                let count = few.min(chunk.len() - start);
                let rows = &mut rows[..count * vocab_size];
                let Session { model, threads, scratch, .. } = self;
                threads.run(count, |workers| model.logits(start..start + count, scratch, rows, workers));
                for (i, row) in rows.chunks_exact(vocab_size).enumerate() {
                    each(c * size + start + i, row);
                }
                self.logits.copy_from_slice(&rows[(count - 1) * vocab_size..]);
            }
        }
        Ok(())
    }

    /// Takes one id and returns the logits after it.
    ///
    /// # Errors
    /// As [`Session::prefill`].
    pub fn decode(&mut self, id: u32) -> Result<&[f32]> {
        self.prefill(&[id])
    }

    /// Makes the session hold exactly `ids`: keeps the longest common start, forgets what it holds after that, and
    /// takes the rest in the parts of [`Session::prefill_while`], so that the same ids are always split alike. After each
    /// part but the last, `on_piece(taken, all)` says whether to go on. Returns how many ids were kept, or `None` where it
    /// was not to go on.
    ///
    /// # Errors
    /// As [`Session::prefill`] where nothing was held; the session is unchanged.
    pub fn hold(
        &mut self,
        ids: &[u32],
        mut on_piece: impl FnMut(usize, usize) -> bool,
    ) -> Result<Option<usize>> {
        self.check_after(0, ids)?;
        let kept = self.common_start(ids);
        self.rollback(kept)?;
        let rest = &ids[kept..];
        if rest.is_empty() {
            return Ok(Some(kept));
        }
        let taken = self.prefill_while(rest, |position| on_piece(position - kept, rest.len()))?;
        Ok((taken == rest.len()).then_some(kept))
    }

    /// Forgets everything after the first `len` tokens; the logits are those after the last one kept.
    ///
    /// Keys and values are cut off. The convolutions keep no history, but they are finite: taking the
    /// last (L - 1) · conv layers tokens again, against the keys and values that are still there,
    /// restores their state (one more token, and the logits too): exactly where they were taken among many (more than
    /// [`Model::few`]), as they are here, else to within rounding.
    ///
    /// # Errors
    /// `len` is beyond what the session holds.
    pub fn rollback(&mut self, len: usize) -> Result<()> {
        let held = self.tokens.len();
        if len > held {
            return Err(SessionError::Rollback { len, held }.into());
        }
        if len == held {
            return Ok(());
        }
        self.tokens.truncate(len);
        self.state.truncate(len);
        self.logits.fill(0.0);
        let first = len.saturating_sub(replay_len(&self.model));
        let size = self.chunk();
        let Session { model, threads, tokens, state, scratch, logits, .. } = self;
        let mut pos = first;
        for chunk in tokens[first..].chunks(size) {
            let segment = Segment { ids: chunk, first: pos, state: &mut *state, replay: true, wanted: 1 };
            threads.run(chunk.len(), |workers| model.forward(&mut [segment], scratch, workers));
            pos += chunk.len();
            if pos == len {
                threads.run(1, |workers| model.logits(once(0), scratch, logits, workers));
            }
        }
        Ok(())
    }

    /// Goes back to the longest start that the session and `prompt` share, one id of `prompt` left out at least: the
    /// logits after it are wanted. Returns its length; the ids after it are to be taken.
    ///
    /// # Errors
    /// As [`Session::prefill`] where nothing was held; the session is unchanged.
    pub fn rollback_to_start_of(&mut self, prompt: &[u32]) -> Result<usize> {
        self.check_after(0, prompt)?;
        let kept = self.common_start(prompt).min(prompt.len() - 1);
        self.rollback(kept)?;
        Ok(kept)
    }

    /// Ids at the start of `ids` that the session holds.
    fn common_start(&self, ids: &[u32]) -> usize {
        ids.iter().zip(&self.tokens).take_while(|(a, b)| a == b).count()
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.tokens.clear();
        self.state.truncate(0);
        self.logits.fill(0.0);
    }

    /// A copy that goes on by itself. It shares the model and the threads.
    ///
    /// # Errors
    /// Too little memory.
    pub fn fork(&self) -> Result<Session> {
        let config = self.model.config();
        let mut state = State::new(config, self.kv_layout, self.context, !self.low_memory)
            .map_err(|e| SessionError::Resources { context: self.context, reason: e.to_string() })?;
        state.copy_from(&self.state);
        let mut tokens = Vec::with_capacity(self.context);
        tokens.extend_from_slice(&self.tokens);
        Ok(Session {
            model: self.model.clone(),
            threads: self.threads.clone(),
            kv_layout: self.kv_layout,
            low_memory: self.low_memory,
            context: self.context,
            tokens,
            state,
            scratch: Scratch::new(config, self.context),
            logits: self.logits.clone(),
        })
    }

    /// From now on shows `observer` what every matrix reads, or nobody with `None`. A fork begins without, and a
    /// [`Batch`] has none.
    pub fn observe(&mut self, observer: Option<Observer>) {
        self.scratch.observe(observer);
    }

    /// Writes the state to a file, through a temporary name.
    ///
    /// # Errors
    /// The system's, on writing.
    pub fn save(&self, path: &std::path::Path) -> Result<()> {
        save::save(self, path)
    }

    /// Restores a state that [`Session::save`] wrote with the same model and KV type.
    ///
    /// # Errors
    /// The system's, on reading; a file that is no saved session, or one of another model, KV type or a
    /// larger context. The session is unchanged.
    pub fn load(&mut self, path: &std::path::Path) -> Result<()> {
        save::load(self, path)
    }

    /// Tokens taken at once.
    fn chunk(&self) -> usize {
        if self.low_memory { SMALL_CHUNK } else { self.model.pass() }
    }

    /// Takes ids; the hidden states of the last `wanted` of them are left.
    fn forward(&mut self, ids: &[u32], wanted: usize) {
        let first = self.tokens.len();
        let Session { model, threads, state, scratch, .. } = self;
        let segment = Segment { ids, first, state, replay: false, wanted };
        threads.run(ids.len(), |workers| model.forward(&mut [segment], scratch, workers));
        self.tokens.extend_from_slice(ids);
    }

    fn check(&self, ids: &[u32]) -> Result<(), SessionError> {
        self.check_after(self.tokens.len(), ids)
    }

    /// Whether `ids` can be taken at this position.
    fn check_after(&self, position: usize, ids: &[u32]) -> Result<(), SessionError> {
        let (vocab_size, context) = (self.logits.len(), self.context);
        let needed = position + ids.len();
        if ids.is_empty() {
            return Err(SessionError::NoTokens);
        }
        if let Some(id) = ids.iter().copied().find(|id| *id as usize >= vocab_size) {
            return Err(SessionError::TokenOutOfRange { id, vocab_size });
        }
        if needed > context {
            let limit = self.model.config().context_length;
            return Err(SessionError::ContextFull { needed, context, limit });
        }
        Ok(())
    }
}

/// The threads of a session and its forks. One kind sleeps while the other works.
struct Threads {
    /// For many tokens at once. Without one, where a process has a single thread, rayon works in the caller's.
    pool: Option<ThreadPool>,
    /// For one or a few.
    team: Team,
    /// How many are a few.
    few: usize,
}

impl Threads {
    fn new(pool: usize, team: usize, few: usize) -> Result<Threads, Box<dyn std::error::Error>> {
        let name = |i| format!("brooklet-{i}");
        let build = || rayon::ThreadPoolBuilder::new().num_threads(pool).thread_name(name).build();
        Ok(Threads { pool: (THREADS || pool > 1).then(build).transpose()?, team: Team::new(team)?, few })
    }

    /// Runs a pass over `n` tokens.
    fn run<T: Send>(&self, n: usize, pass: impl FnOnce(Workers<'_>) -> T + Send) -> T {
        match (Workers::for_tokens(n, self.few, &self.team), &self.pool) {
            (Workers::Pool, Some(pool)) => pool.install(|| pass(Workers::Pool)),
            (workers, _) => pass(workers),
        }
    }
}

/// Tokens that restore every convolution's state and the last logits: each layer's state needs L - 1
/// exact inputs, and every convolution below delays exactness by L - 1. Many, as those of a prompt are.
fn replay_len(model: &Model) -> usize {
    let config = model.config();
    ((config.conv_kernel - 1) * config.num_conv_layers() + 1).max(model.few() + 1)
}
