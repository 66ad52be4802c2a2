//! What a call can fail with: a status and, for the thread that called, a text.

use brooklet::tokenizer::TokenizerError;
use brooklet::{Error, SessionError};
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a call went. Whatever is not BROOKLET_STATUS_OK has a text: brooklet_last_error().
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It did what was asked.
    Ok = 0,
    /// brooklet_session_abort() stopped it.
    Aborted = 1,
    /// An argument makes no sense: null, not UTF-8, out of range, no JSON.
    Argument = 2,
    /// The caller's buffer is too small. Its count says what is needed, nothing was written to it.
    Buffer = 3,
    /// The operating system refused to read or write a file.
    Io = 4,
    /// A file is none that brooklet runs or loads: a model, its tokenizer, a saved session.
    File = 5,
    /// The chat template does not compile, or refuses the conversation.
    Template = 6,
    /// The tokens do not fit the session's context.
    ContextFull = 7,
    /// The system has no memory or no threads for a session.
    Memory = 8,
    /// Another thread is inside a call with the same object.
    Busy = 9,
    /// An earlier call on the object ended with BROOKLET_STATUS_INTERNAL: all that is left is to free it.
    Poisoned = 10,
    /// A mistake in brooklet itself, caught. Please report it with its text.
    Internal = 11,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Name of the argument, what would do, what is there.
    #[error("{0}: expected {1}, found {2}")]
    Argument(&'static str, String, String),
    /// What was to be written, how many units are needed, how many there is room for.
    #[error("{0}: expected a buffer for {1}, found room for {2}; nothing was written")]
    Buffer(&'static str, usize, usize),
    /// At a position.
    #[error("aborted at position {0}; brooklet_session_resume() lets the session go on")]
    Aborted(usize),
    /// The object.
    #[error("{0} is in use by another thread: wait for its call to return, or abort it")]
    Busy(&'static str),
    /// The object.
    #[error("{0} was left in an unknown state by an earlier internal error: free it and make a new one")]
    Poisoned(&'static str),
    /// The model's template is of no use.
    #[error("{0}")]
    Template(String),
    /// What the panic said.
    #[error("internal error in brooklet {version}: {0}", version = env!("CARGO_PKG_VERSION"))]
    Internal(String),
    /// The library's own.
    #[error(transparent)]
    Library(#[from] Error),
}

impl Failure {
    /// An argument that makes no sense.
    pub fn argument(name: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Failure {
        Failure::Argument(name, expected.into(), found.into())
    }

    fn status(&self) -> Status {
        match self {
            Failure::Argument(..) => Status::Argument,
            Failure::Buffer(..) => Status::Buffer,
            Failure::Aborted(_) => Status::Aborted,
            Failure::Busy(_) => Status::Busy,
            Failure::Poisoned(_) => Status::Poisoned,
            Failure::Template(_) => Status::Template,
            Failure::Internal(_) => Status::Internal,
            Failure::Library(error) => match error {
                Error::Io { .. } => Status::Io,
                Error::Tokenizer(TokenizerError::Template(_)) => Status::Template,
                Error::Session(SessionError::ContextFull { .. }) => Status::ContextFull,
                Error::Session(SessionError::Resources { .. }) => Status::Memory,
                Error::Session(SessionError::Saved { .. }) => Status::File,
                Error::Session(_) | Error::Isa(_) => Status::Argument,
                _ => Status::File,
            },
        }
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Runs a call; its status, with the text of a failure kept for the thread.
pub fn guard(call: impl FnOnce() -> Result<(), Failure>) -> Status {
    match caught(call) {
        Ok(()) => Status::Ok,
        Err(status) => status,
    }
}

/// As [`guard`], for calls that return a value, which is `otherwise` where they fail.
pub fn guard_or<T>(otherwise: T, call: impl FnOnce() -> Result<T, Failure>) -> T {
    caught(call).unwrap_or(otherwise)
}

fn caught<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<T, Status> {
    // What a panic leaves half done is behind a lock that it poisons, or cannot be changed at all.
    let outcome = catch_unwind(AssertUnwindSafe(call));
    let failure = match outcome {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::Internal(words(&*panic)),
    };
    // A thread that is about to end has no place for it.
    let _ = LAST.try_with(|last| *last.borrow_mut() = c_string(&failure.to_string()));
    Err(failure.status())
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words").into()
}

/// Text for C; a NUL inside it becomes U+FFFD.
pub fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// brooklet's version, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn brooklet_version() -> *const c_char {
    const VERSION: &std::ffi::CStr =
        match std::ffi::CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a version holds no NUL"),
        };
    VERSION.as_ptr()
}

/// Why the last failed call of this thread failed, in English; "" before the first. The text says what was expected,
/// what was found and what to do. It is valid until the thread's next call that fails.
#[unsafe(no_mangle)]
pub extern "C" fn brooklet_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        LAST.with(|last| last.borrow().to_str().unwrap().into())
    }

    #[test]
    fn panics_become_a_status_and_a_text() {
        assert_eq!(guard(|| panic!("told {}", "so")), Status::Internal);
        assert!(last().contains("internal error in brooklet") && last().ends_with("told so"), "{}", last());
        assert_eq!(guard(|| std::panic::panic_any(3)), Status::Internal);
        assert!(last().ends_with("a panic without words"));
        assert_eq!(guard_or(7, || panic!("again")), 7);
        assert!(last().ends_with("again"));
    }

    #[test]
    fn texts_are_kept_for_the_thread_that_failed() {
        assert_eq!(guard(|| Err(Failure::argument("x", "a\0b", "c"))), Status::Argument);
        assert_eq!(last(), "x: expected a\u{fffd}b, found c");
        assert_eq!(guard(|| Ok(())), Status::Ok);
        assert_eq!(last(), "x: expected a\u{fffd}b, found c");
        std::thread::spawn(|| assert_eq!(last(), "")).join().unwrap();
    }
}
