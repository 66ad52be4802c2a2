//! Lines from a person (edited, with history) or from a pipe.

use crate::state::state_directory;
use crate::terminal::note;
use anyhow::{Context, Result};
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};
use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

/// Where the user's turns come from.
pub enum Input {
    /// A person at a terminal.
    Editor {
        /// Reads a line.
        editor: Box<DefaultEditor>,
        /// Where lines are kept between chats, where there is such a place.
        history: Option<PathBuf>,
    },
    /// A pipe or a file.
    Lines,
}

/// One turn.
#[derive(Debug, PartialEq)]
pub enum Line {
    /// What was said.
    Text(String),
    /// There is no more.
    End,
}

impl Input {
    /// Standard input.
    pub fn open() -> Result<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Input::Lines);
        }
        let config = Config::builder().max_history_size(1000)?.auto_add_history(false).build();
        let mut editor = DefaultEditor::with_config(config).context("cannot set up the terminal")?;
        let history = state_directory().map(|d| d.join("history"));
        if let Some(path) = &history {
            // The first chat finds none.
            let _ = editor.load_history(path);
        }
        Ok(Input::Editor { editor: Box::new(editor), history })
    }

    /// Whether a person is there.
    pub fn is_interactive(&self) -> bool {
        matches!(self, Input::Editor { .. })
    }

    /// The next turn: one line, or several where each but the last ends with a backslash.
    pub fn read(&mut self) -> Result<Line> {
        let turn = join_lines(|first| self.read_line(first))?;
        if let (Input::Editor { editor, history }, Line::Text(text)) = (self, &turn) {
            let _ = editor.add_history_entry(text.as_str());
            if let Some(path) = history {
                // A chat goes on without a history, on a read-only system for example.
                let _ = editor.append_history(path);
            }
        }
        Ok(turn)
    }

    fn read_line(&mut self, first: bool) -> Result<Option<String>> {
        match self {
            Input::Lines => {
                let mut bytes = Vec::new();
                io::stdin().lock().read_until(b'\n', &mut bytes).context("cannot read standard input")?;
                if bytes.is_empty() {
                    return Ok(None);
                }
                let line = String::from_utf8(bytes).context("standard input is not UTF-8 text")?;
                let line = line.strip_suffix('\n').unwrap_or(&line);
                Ok(Some(line.strip_suffix('\r').unwrap_or(line).to_string()))
            }
            Input::Editor { editor, .. } => loop {
                match editor.readline(if first { "> " } else { "… " }) {
                    Ok(line) => return Ok(Some(line)),
                    Err(ReadlineError::Eof) => return Ok(None),
                    Err(ReadlineError::Interrupted) => note("Ctrl-D or /quit leaves."),
                    Err(error) => return Err(error).context("cannot read the terminal"),
                }
            },
        }
    }
}

/// Joins lines at the backslashes that end them.
fn join_lines(mut read: impl FnMut(bool) -> Result<Option<String>>) -> Result<Line> {
    let mut text = String::new();
    let mut first = true;
    while let Some(line) = read(first)? {
        match line.strip_suffix('\\') {
            Some(start) => {
                text.push_str(start);
                text.push('\n');
            }
            None => {
                text.push_str(&line);
                return Ok(Line::Text(text));
            }
        }
        first = false;
    }
    // The end in the middle of a turn still ends the turn.
    Ok(if first { Line::End } else { Line::Text(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(text: &str) -> Vec<String> {
        let mut lines = text.lines().map(str::to_string);
        let mut turns = Vec::new();
        while let Line::Text(turn) = join_lines(|_| Ok(lines.next())).unwrap() {
            turns.push(turn);
        }
        turns
    }

    #[test]
    fn backslashes_join_lines() {
        assert_eq!(turns("a\nb\\\nc\nd"), ["a", "b\nc", "d"]);
        assert_eq!(turns("a\\"), ["a\n"]);
        assert_eq!(turns(""), [""; 0]);
    }
}
