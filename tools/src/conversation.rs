//! Conversations as the command line takes them: a prompt, a system text, tools, earlier messages.

use crate::hint::HintExt;
use crate::terminal::note;
use anyhow::{Context, Result, bail, ensure};
use brooklet::tokenizer::Message;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Options that say what the model knows before the prompt.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct HistoryArgs {
    /// Instructions to the model, in front of the conversation
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub system: Option<String>,
    /// Functions the model may call: a JSON array of their schemas
    #[arg(long, value_name = "FILE.json")]
    pub tools: Option<PathBuf>,
    /// Earlier turns: a JSON array of {"role": …, "content": …}, as `/save` in a chat writes it
    #[arg(long, value_name = "FILE.json")]
    pub messages: Option<PathBuf>,
}

/// Options that say what the prompt is.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PromptArgs {
    /// The prompt
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "file")]
    pub prompt: Option<String>,
    /// Read the prompt from this file, less one newline at its end (- is standard input)
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// What a chat template renders.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// The turns so far.
    pub messages: Vec<Message>,
    /// The tools' schemas, a JSON array.
    pub tools: Option<serde_json::Value>,
}

impl PromptArgs {
    /// The prompt of `-p` or `-f`, or else of standard input.
    ///
    /// # Errors
    /// It cannot be read, is no UTF-8, or is empty.
    pub fn read(&self) -> Result<String> {
        let text = match (&self.prompt, &self.file) {
            (Some(text), _) => text.clone(),
            (None, Some(path)) if path.as_os_str() != "-" => {
                let text = read_text(path)?;
                without_last_newline(text)
            }
            _ => {
                if io::stdin().is_terminal() {
                    note("Type the prompt, then Ctrl-D on a line of its own.");
                }
                without_last_newline(read_stdin()?)
            }
        };
        if text.is_empty() {
            return Err(anyhow::anyhow!("the prompt is empty"))
                .hint(|| "give one with -p TEXT, -f FILE or on standard input".into());
        }
        Ok(text)
    }

    fn is_given(&self) -> bool {
        self.prompt.is_some() || self.file.is_some()
    }
}

impl HistoryArgs {
    /// The conversation before the prompt.
    pub fn read(&self) -> Result<Conversation> {
        let mut messages = match &self.messages {
            Some(path) => read_messages(path)?,
            None => Vec::new(),
        };
        if let Some(system) = &self.system {
            ensure!(
                messages.iter().all(|m| m.role != "system"),
                "both --system and {} give a system text: leave one out",
                self.messages.as_deref().unwrap_or(Path::new("the messages")).display()
            );
            messages.insert(0, Message::new("system", system.as_str()));
        }
        let tools = self.tools.as_deref().map(read_tools).transpose()?;
        Ok(Conversation { messages, tools })
    }

    /// The conversation with the prompt as its last turn. Messages that end with a turn to answer
    /// need no prompt; without messages or a prompt, standard input is the prompt.
    pub fn read_with_prompt(&self, prompt: &PromptArgs) -> Result<Conversation> {
        let mut conversation = self.read()?;
        if self.messages.is_some() && !prompt.is_given() {
            if !awaits_answer(&conversation.messages) {
                return Err(anyhow::anyhow!("the messages do not end with a turn to answer"))
                    .hint(|| "add the user's next turn with -p TEXT".into());
            }
        } else {
            conversation.messages.push(Message::new("user", prompt.read()?));
        }
        Ok(conversation)
    }
}

/// Whether the last turn is the user's or a tool's.
pub fn awaits_answer(messages: &[Message]) -> bool {
    messages.last().is_some_and(|m| m.role == "user" || m.role == "tool")
}

/// Reads a conversation's turns: a JSON array of objects with a role.
pub fn read_messages(path: &Path) -> Result<Vec<Message>> {
    parse_messages(&read_text(path)?).with_context(|| path.display().to_string())
}

/// As [`read_messages`], of a text.
pub fn parse_messages(text: &str) -> Result<Vec<Message>> {
    let messages: Vec<Message> =
        serde_json::from_str(text).context(r#"expected a JSON array of {"role": …, "content": …}"#)?;
    check_roles(&messages)?;
    Ok(messages)
}

/// Whether every turn is of a role that there is.
pub fn check_roles(messages: &[Message]) -> Result<()> {
    const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];
    for (i, message) in messages.iter().enumerate() {
        ensure!(
            ROLES.contains(&message.role.as_str()),
            "message {}: role '{}' is none of {}",
            i + 1,
            message.role,
            ROLES.join(", ")
        );
    }
    Ok(())
}

/// Writes a conversation's turns as [`read_messages`] takes them; the file changes only as a whole.
pub fn write_messages(path: &Path, messages: &[Message]) -> Result<()> {
    Ok(brooklet::write_whole(path, (serde_json::to_string_pretty(messages)? + "\n").as_bytes())?)
}

fn read_tools(path: &Path) -> Result<serde_json::Value> {
    parse_tools(&read_text(path)?).with_context(|| path.display().to_string())
}

/// Functions that a model may call: a JSON array of their schemas.
pub fn parse_tools(text: &str) -> Result<serde_json::Value> {
    const EXPECTED: &str = "a JSON array of function schemas";
    let tools: serde_json::Value =
        serde_json::from_str(text).with_context(|| format!("expected {EXPECTED}"))?;
    let Some(list) = tools.as_array() else { bail!("expected {EXPECTED}, found another JSON value") };
    if let Some(i) = list.iter().position(|tool| !tool.is_object()) {
        bail!("tool {}: expected a JSON object, found {}", i + 1, list[i]);
    }
    Ok(tools)
}

/// A file of text.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8 text", path.display()))
}

/// All of standard input.
pub fn read_stdin() -> Result<String> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
    String::from_utf8(bytes).context("standard input is not UTF-8 text")
}

/// Less one newline at its end.
pub(crate) fn without_last_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_removed() {
        assert_eq!(without_last_newline("a\r\n".into()), "a");
        assert_eq!(without_last_newline("a\n\n".into()), "a\n");
        assert_eq!(without_last_newline("a".into()), "a");
    }

    #[test]
    fn messages_come_back_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("talk.json");
        let mut messages = vec![Message::new("system", "be brief"), Message::new("user", "naïve\n\"q\"")];
        messages[1].rest.insert("name".into(), "ann".into());
        write_messages(&path, &messages).unwrap();
        assert_eq!(read_messages(&path).unwrap(), messages);
        // Nothing else is left beside it.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn bad_files_are_named_with_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = dir.path().join("bad.json");
            std::fs::write(&path, text).unwrap();
            path
        };
        let error = |r: Result<_>| format!("{:#}", r.map(|_: ()| ()).unwrap_err());
        let unit = |r: Result<Vec<Message>>| error(r.map(|_| ()));
        assert!(unit(read_messages(&file("[{\"role\": \"robot\"}]"))).contains("message 1: role 'robot'"));
        assert!(unit(read_messages(&file("{}"))).contains("expected a JSON array"));
        let tools = |text| error(read_tools(&file(text)).map(|_| ()));
        assert!(tools("{}").contains("expected a JSON array of function schemas"));
        assert!(tools("[{}, 3]").contains("tool 2"));
        assert!(tools("[").contains("bad.json"));
    }
}
