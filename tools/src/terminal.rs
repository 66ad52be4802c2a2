//! stdout carries only the answer; everything said to people goes to stderr and never fails.

use std::fmt;
use std::io::{self, IsTerminal, Write};

/// Whether people, not a file or a program, read stderr.
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Writes a line to stderr. Unlike `eprintln!` it does not panic when stderr is closed.
pub fn note(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// As [`note`], dimmed where stderr is a terminal and `NO_COLOR` is not set.
pub fn dim_note(line: impl fmt::Display) {
    if stderr_is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) {
        note(format_args!("\x1b[2m{line}\x1b[0m"));
    } else {
        note(line);
    }
}

/// Prints one value as JSON on a line of its own.
///
/// # Errors
/// stdout cannot be written.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Prints an answer piece by piece, each as soon as it comes. Where standard output is a terminal,
/// control characters are escaped: what a model writes must not steer it.
pub struct Answer {
    out: io::StdoutLock<'static>,
    is_terminal: bool,
}

impl Answer {
    /// Takes standard output until it is dropped.
    pub fn new() -> Self {
        let out = io::stdout().lock();
        Answer { is_terminal: out.is_terminal(), out }
    }

    /// Prints a piece.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn piece(&mut self, text: &str) -> io::Result<()> {
        if self.is_terminal {
            self.out.write_all(escaped(text, |c| c.is_control() && c != '\n' && c != '\t').as_bytes())?;
        } else {
            self.out.write_all(text.as_bytes())?;
        }
        self.out.flush()
    }

    /// Ends the answer with a newline.
    ///
    /// # Errors
    /// As [`Answer::piece`].
    pub fn end(&mut self) -> io::Result<()> {
        self.piece("\n")
    }
}

impl Default for Answer {
    fn default() -> Self {
        Answer::new()
    }
}

/// Text from a file without what would steer the terminal: control characters are escaped.
pub fn printable(text: &str) -> String {
    escaped(text, char::is_control)
}

fn escaped(text: &str, which: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if which(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
