//! Errors that say what to try.

use brooklet::{Error, SessionError};
use std::fmt;
use std::io;

/// An error with advice; displays as the error itself, [`of`] finds the advice.
#[derive(Debug)]
struct Hinted {
    error: anyhow::Error,
    hint: String,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Hinted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The error itself, not its source: it must stay findable by type. `report` drops the repetition.
        Some(self.error.as_ref())
    }
}

/// Adds advice to an error.
pub trait HintExt<T> {
    /// The error with a line on what to try. The advice nearest to the user's command wins.
    fn hint(self, hint: impl FnOnce() -> String) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> HintExt<T> for Result<T, E> {
    fn hint(self, hint: impl FnOnce() -> String) -> anyhow::Result<T> {
        self.map_err(|e| anyhow::Error::new(Hinted { error: e.into(), hint: hint() }))
    }
}

/// The advice that an error carries, or that its type suggests.
fn of(error: &anyhow::Error) -> Option<String> {
    if let Some(hinted) = error.chain().find_map(|e| e.downcast_ref::<Hinted>()) {
        return Some(hinted.hint.clone());
    }
    error.chain().find_map(|e| match e.downcast_ref::<Error>()? {
        Error::Session(SessionError::TokenOutOfRange { .. }) => {
            Some("`brooklet tokenize` gives a model's ids for a text".into())
        }
        Error::Session(SessionError::ContextFull { .. } | SessionError::Resources { .. }) => {
            Some("-c N sets the context, in tokens".into())
        }
        Error::Tokenizer(_) | Error::Model(_) => Some(
            "brooklet runs LFM2 models; `brooklet inspect FILE` shows what a file holds, \
             `brooklet convert DIR` makes one"
                .into(),
        ),
        _ => None,
    })
}

/// The error's chain on one line.
pub fn message(error: &anyhow::Error) -> String {
    let (mut text, mut last) = (String::new(), String::new());
    for cause in error.chain() {
        let message = cause.to_string();
        // Many errors quote their cause in their own message.
        if last.ends_with(&message) {
            continue;
        }
        if !last.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&message);
        last = message;
    }
    text
}

/// The error's chain on one line, then the advice on another where there is any.
pub fn report(error: &anyhow::Error) -> String {
    let hint = of(error).map(|hint| format!("\nhint: {hint}"));
    format!("error: {}{}", message(error), hint.unwrap_or_default())
}

/// Whether the reader of our output has left (`brooklet … | head`), which is no error.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| {
        let kind = e
            .downcast_ref::<io::Error>()
            .map(io::Error::kind)
            .or_else(|| e.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind));
        kind == Some(io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn report_prints_each_cause_once_and_the_hint_last() {
        let io = io::Error::other("no space left");
        let error = Err::<(), _>(io)
            .context("cannot write a.gguf: no space left")
            .hint(|| "free some space".into())
            .context("convert failed")
            .unwrap_err();
        assert_eq!(
            report(&error),
            "error: convert failed: cannot write a.gguf: no space left\nhint: free some space"
        );
        assert_eq!(report(&anyhow!("plain")), "error: plain");
    }

    #[test]
    fn closed_pipes_are_found_below_context() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_closed_pipe(&Err::<(), _>(pipe()).context("printing").unwrap_err()));
        let json = anyhow::Error::new(serde_json::Error::io(pipe()));
        assert!(is_closed_pipe(&json));
        assert!(!is_closed_pipe(&anyhow!(io::Error::other("disk"))));
    }
}
