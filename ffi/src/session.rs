//! A conversation's state: what the model has read, and how the next token is drawn.

use crate::border::{self, Out};
use crate::failure::{Failure, Status, guard, guard_or};
use crate::model::{Model, special};
use crate::options::{self, SessionOptions};
use crate::sampling::SamplingOptions;
use brooklet::{Error, Sampler, Sampling, SessionError, Tokenizer, random_seed};
use std::ffi::c_char;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, TryLockError};

/// What the model has read so far, and how the next token is drawn.
pub struct Session {
    inner: Mutex<Inner>,
    context: usize,
    /// Tokens held, for any thread to read while one computes.
    position: AtomicUsize,
    abort: AtomicBool,
}

struct Inner {
    session: brooklet::Session,
    tokenizer: Arc<Tokenizer>,
    /// Made at first use where the caller set none, since a file may state values that make no sense.
    sampler: Option<Sampler>,
}

/// Runs a call that needs an object for itself. It does not wait: two threads in one session are a mistake of the caller's.
pub fn exclusive<T, R>(
    object: &Mutex<T>,
    name: &'static str,
    call: impl FnOnce(&mut T) -> Result<R, Failure>,
) -> Result<R, Failure> {
    match object.try_lock() {
        Ok(mut inner) => call(&mut inner),
        Err(TryLockError::WouldBlock) => Err(Failure::Busy(name)),
        Err(TryLockError::Poisoned(_)) => Err(Failure::Poisoned(name)),
    }
}

impl Session {
    fn new(inner: Inner) -> Session {
        Session {
            context: inner.session.context(),
            position: AtomicUsize::new(inner.session.tokens().len()),
            abort: AtomicBool::new(false),
            inner: Mutex::new(inner),
        }
    }

    /// Runs a call on the inside, and says where it came to.
    fn call<R>(&self, call: impl FnOnce(&mut Inner) -> Result<R, Failure>) -> Result<R, Failure> {
        exclusive(&self.inner, "the session", |inner| {
            let outcome = call(inner);
            self.position.store(inner.session.tokens().len(), Relaxed);
            outcome
        })
    }

    fn not_aborted(&self) -> Result<(), Failure> {
        match self.abort.load(Relaxed) {
            true => Err(Failure::Aborted(self.position.load(Relaxed))),
            false => Ok(()),
        }
    }

    /// Takes ids, looking between their parts whether to go on.
    fn take(&self, inner: &mut Inner, ids: &[u32]) -> Result<(), Failure> {
        self.not_aborted()?;
        let taken = inner.session.prefill_while(ids, |position| {
            self.position.store(position, Relaxed);
            !self.abort.load(Relaxed)
        })?;
        match taken == ids.len() {
            true => Ok(()),
            false => Err(Failure::Aborted(inner.session.tokens().len())),
        }
    }
}

/// The session behind a pointer.
///
/// # Safety
/// `session` is null or a session that is not freed during the call.
unsafe fn session<'a>(session: *const Session) -> Result<&'a Session, Failure> {
    // SAFETY: as the caller promises.
    unsafe { border::object(session, "session") }
}

/// An empty session of a model. options may be NULL. Writes it to *session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_new(
    model: *const Model,
    options: *const SessionOptions,
    session: *mut *mut Session,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for a place for a pointer.
        let out = unsafe { Out::new(session, "session") }?;
        out.set(std::ptr::null_mut());
        // SAFETY: the header asks for an open model, and for options that were set up.
        let (model, options) = unsafe { (border::object(model, "model")?, options::read(options)?) };
        let session = brooklet::Session::new(model.model.clone(), options.check()?)?;
        let inner = Inner { session, tokenizer: model.tokenizer.clone(), sampler: None };
        out.set(Box::into_raw(Box::new(Session::new(inner))));
        Ok(())
    })
}

/// Frees a session; NULL is nothing. First let every call with it return, brooklet_session_abort() among them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_free(session: *mut Session) {
    guard_or((), || {
        if !session.is_null() {
            // SAFETY: the header asks for what brooklet made, once, and no call with it under way.
            drop(unsafe { Box::from_raw(session) });
        }
        Ok(())
    })
}

/// A copy that goes on by itself, random numbers among it, to *fork. It shares the model and the threads: calls with the
/// two from different threads wait for each other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_fork(from: *const Session, fork: *mut *mut Session) -> Status {
    guard(|| {
        // SAFETY: the header asks for a place for a pointer.
        let out = unsafe { Out::new(fork, "fork") }?;
        out.set(std::ptr::null_mut());
        // SAFETY: the header asks for a session.
        let copy = unsafe { session(from) }?.call(|inner| {
            Ok(Inner {
                session: inner.session.fork()?,
                tokenizer: inner.tokenizer.clone(),
                sampler: inner.sampler.clone(),
            })
        })?;
        out.set(Box::into_raw(Box::new(Session::new(copy))));
        Ok(())
    })
}

/// Forgets all tokens. Sampling and its random numbers stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_reset(of: *const Session) -> Status {
    guard(|| {
        // SAFETY: the header asks for a session.
        unsafe { session(of) }?.call(|inner| {
            inner.session.reset();
            Ok(())
        })
    })
}

/// Takes ids, after those that the session holds: a prompt (prefill), or the token that was drawn (decode).
/// BROOKLET_STATUS_ABORTED leaves what was taken until then; other errors take nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_feed(
    to: *const Session,
    ids: *const u32,
    ids_len: usize,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for a session, and for `ids_len` ids.
        let (session, ids) = unsafe { (session(to)?, border::slice(ids, ids_len, "ids")?) };
        session.call(|inner| session.take(inner, ids))
    })
}

/// As brooklet_session_feed(), with the ids of a text as brooklet_tokenize() gives them; the token that begins a text is
/// put in front where the session is empty and the model wants one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_feed_text(
    to: *const Session,
    text: *const c_char,
    text_len: usize,
    parse_special: bool,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for a session, and for a text of `text_len` bytes.
        let (session, text) = unsafe { (session(to)?, border::text(text, text_len, "text")?) };
        session.call(|inner| {
            let mut ids = inner.tokenizer.encode(text, special(parse_special))?;
            if inner.session.tokens().is_empty() {
                inner.tokenizer.ensure_bos(&mut ids);
            }
            session.take(inner, &ids)
        })
    })
}

/// Makes the session hold exactly these ids. What it holds already of their start is kept, the rest is forgotten, and
/// only what is new is computed: give the whole conversation for every turn. *kept, if not NULL, gets how many ids were
/// kept, one less than ids_len at most. After BROOKLET_STATUS_ABORTED, the same call goes on where it stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_prompt(
    of: *const Session,
    ids: *const u32,
    ids_len: usize,
    kept: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for a place for a number, or NULL.
        let out = if kept.is_null() { None } else { Some(unsafe { Out::new(kept, "kept") }?) };
        // SAFETY: the header asks for a session, and for `ids_len` ids.
        let (session, ids) = unsafe { (session(of)?, border::slice(ids, ids_len, "ids")?) };
        session.call(|inner| {
            session.not_aborted()?;
            let kept = inner.session.rollback_to_start_of(ids)?;
            session.position.store(kept, Relaxed);
            if let Some(out) = out {
                out.set(kept);
            }
            session.take(inner, &ids[kept..])
        })
    })
}

/// Sets how tokens are drawn, and begins the random numbers of its seed. Without it, a session draws as
/// brooklet_sampling_init() says for its model.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_set_sampling(
    of: *const Session,
    sampling: *const SamplingOptions,
) -> Status {
    guard(|| {
        if sampling.is_null() {
            return Err(Failure::argument("sampling", "a pointer", "NULL"));
        }
        // SAFETY: the header asks for a session, and for options that were set up.
        let (session, options) = unsafe { (session(of)?, options::read(sampling)?) };
        let config = options.check()?;
        session.call(|inner| {
            inner.sampler = Some(Sampler::new(config, inner.session.logits().len()));
            Ok(())
        })
    })
}

/// Draws the next token from the logits, to *id. It is not part of the session before it is fed: look at it first
/// (brooklet_is_end), show it (brooklet_decoder_push), then feed it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_sample(of: *const Session, id: *mut u32) -> Status {
    guard(|| {
        // SAFETY: the header asks for a place for an id.
        let out = unsafe { Out::new(id, "id") }?;
        // SAFETY: the header asks for a session.
        let session = unsafe { session(of) }?;
        session.call(|inner| {
            session.not_aborted()?;
            let Inner { session, sampler, .. } = inner;
            if session.tokens().is_empty() {
                return Err(Error::from(SessionError::NoTokens).into());
            }
            if sampler.is_none() {
                let config = Sampling::default().config(session.model().gguf(), random_seed())?;
                *sampler = Some(Sampler::new(config, session.logits().len()));
            }
            if let Some(sampler) = sampler {
                // The tokens that are penalized are those held now: some may have been taken back since.
                sampler.forget();
                sampler.observe(session.tokens());
                out.set(sampler.sample(session.logits()));
            }
            Ok(())
        })
    })
}

/// The logits after the last token, brooklet_model_vocab_size() of them. They are the session's: valid until the next
/// call with it that feeds, goes back, loads or frees.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_logits(
    of: *const Session,
    logits: *mut *const f32,
    len: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for places for a pointer and a number.
        let (out, out_len) = unsafe { (Out::new(logits, "logits")?, Out::new(len, "len")?) };
        // SAFETY: the header asks for a session.
        unsafe { session(of) }?.call(|inner| {
            if inner.session.tokens().is_empty() {
                return Err(Error::from(SessionError::NoTokens).into());
            }
            out.set(inner.session.logits().as_ptr());
            out_len.set(inner.session.logits().len());
            Ok(())
        })
    })
}

/// The ids that the session holds. They are the session's: valid until the next call with it that feeds, goes back,
/// loads or frees.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_tokens(
    of: *const Session,
    ids: *mut *const u32,
    len: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: the header asks for places for a pointer and a number.
        let (out, out_len) = unsafe { (Out::new(ids, "ids")?, Out::new(len, "len")?) };
        // SAFETY: the header asks for a session.
        unsafe { session(of) }?.call(|inner| {
            out.set(inner.session.tokens().as_ptr());
            out_len.set(inner.session.tokens().len());
            Ok(())
        })
    })
}

/// How many tokens the session holds; 0 where session is NULL. Any thread may ask at any time: while a prompt is
/// taken, it grows part by part.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_position(of: *const Session) -> usize {
    // SAFETY: the header asks for a session.
    guard_or(0, || Ok(unsafe { session(of) }?.position.load(Relaxed)))
}

/// How many tokens the session can hold; 0 where session is NULL. Any thread may ask at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_context(of: *const Session) -> usize {
    // SAFETY: the header asks for a session.
    guard_or(0, || Ok(unsafe { session(of) }?.context))
}

/// Forgets everything after the first position tokens. The logits are then those after the last one kept, but for the
/// rounding of sums where it was taken alone or among a few.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_rollback(of: *const Session, position: usize) -> Status {
    guard(|| {
        // SAFETY: the header asks for a session.
        unsafe { session(of) }?.call(|inner| Ok(inner.session.rollback(position)?))
    })
}

/// Writes what the session holds to a file, which is replaced only when it is complete. path is UTF-8 with a NUL behind
/// it. How tokens are drawn is not part of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_save(of: *const Session, path: *const c_char) -> Status {
    guard(|| {
        // SAFETY: the header asks for a session and a string.
        let (session, path) = unsafe { (session(of)?, border::path(path)?) };
        session.call(|inner| Ok(inner.session.save(path)?))
    })
}

/// Replaces what the session holds by what brooklet_session_save() wrote with the same model and kv_type. An error
/// leaves the session as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_load(of: *const Session, path: *const c_char) -> Status {
    guard(|| {
        // SAFETY: the header asks for a session and a string.
        let (session, path) = unsafe { (session(of)?, border::path(path)?) };
        session.call(|inner| Ok(inner.session.load(path)?))
    })
}

/// From any thread: the call that takes or draws tokens now, and every later one, ends with BROOKLET_STATUS_ABORTED,
/// within the time of one token or of one part of a prompt (at most 192 tokens, with low_memory 32). It does not wait for that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_abort(of: *const Session) -> Status {
    guard(|| {
        // SAFETY: the header asks for a session.
        unsafe { session(of) }?.abort.store(true, Relaxed);
        Ok(())
    })
}

/// Takes brooklet_session_abort() back, from any thread: tokens can be taken and drawn again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn brooklet_session_resume(of: *const Session) -> Status {
    guard(|| {
        // SAFETY: the header asks for a session.
        unsafe { session(of) }?.abort.store(false, Relaxed);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(object: &Mutex<u32>, call: impl FnOnce(&mut u32) -> Result<(), Failure>) -> Status {
        guard(|| exclusive(object, "it", call))
    }

    #[test]
    fn an_object_serves_one_call_at_a_time() {
        let object = Mutex::new(0);
        let outer = step(&object, |value| {
            assert_eq!(step(&object, |_| Ok(())), Status::Busy);
            *value += 1;
            Ok(())
        });
        assert_eq!((outer, step(&object, |_| Ok(()))), (Status::Ok, Status::Ok));
        assert_eq!(*object.lock().unwrap(), 1);
    }

    #[test]
    fn after_a_panic_an_object_says_that_it_is_poisoned() {
        let object = Mutex::new(0);
        assert_eq!(step(&object, |_| panic!("in the middle")), Status::Internal);
        assert_eq!(step(&object, |_| Ok(())), Status::Poisoned);
        let failed = Mutex::new(0);
        assert_eq!(step(&failed, |_| Err(Failure::argument("x", "y", "z"))), Status::Argument);
        assert_eq!(step(&failed, |_| Ok(())), Status::Ok);
    }
}
