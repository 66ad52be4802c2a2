//! `brooklet chat`: talk with a model.

mod drawn;
mod input;

use crate::answer::{answer, speed};
use crate::conversation::{Conversation, HistoryArgs, awaits_answer, read_messages, write_messages};
use crate::hint::{HintExt, report};
use crate::model_args::{ModelArgs, SamplingArgs, TokenLimit, describe};
use crate::terminal::{self, dim_note, note, printable};
use anyhow::{Context, Result};
use brooklet::tokenizer::Message;
use brooklet::{ChatTemplate, Error, Limits, SamplerConfig, Session, SessionError, Stop, Tokenizer};
use drawn::Drawn;
use input::{Input, Line};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Arguments of `brooklet chat`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Type a message and Enter; a line that ends with a backslash goes on in the next. /help lists the \
                  commands. Ctrl-C stops an answer, Ctrl-D leaves. Where standard input is no terminal, every \
                  line of it is a message. What you typed is kept in ~/.local/state/brooklet/history.\n\n\
                  Examples:\n  brooklet chat -m model.gguf\n  \
                  brooklet chat -m model.gguf --system \"You are a pirate.\" --messages talk.json"
)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    history: HistoryArgs,
    /// New tokens an answer at most; -1 goes on until the model ends or the context is full
    #[arg(
        short = 'n',
        long = "max-tokens",
        value_name = "N",
        default_value = "-1",
        allow_negative_numbers = true
    )]
    limit: TokenLimit,
    /// Say settings on standard error
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
}

const HELP: &str = "\
/reset       forget the conversation, keep the system text
/save FILE   write the conversation as JSON
/load FILE   go on with a conversation that /save wrote
/help        this list
/quit        leave (so does Ctrl-D)
Ctrl-C stops an answer. A line that ends with \\ goes on in the next.
To send a message that begins with a slash, put a space in front.";

/// Set by Ctrl-C; an answer under way looks at it.
static CANCELLED: AtomicBool = AtomicBool::new(false);
/// Whether an answer is under way.
static ANSWERING: AtomicBool = AtomicBool::new(false);

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let model = args.model.open()?;
    let tokenizer = args.model.tokenizer(model.gguf())?;
    let template = ChatTemplate::from_gguf(model.gguf(), &tokenizer)?;
    let config = args.sampling.config(model.gguf(), args.model.seed())?;
    let session = args.model.session(&model)?;
    let conversation = args.history.read()?;
    ctrlc::set_handler(|| {
        // The second Ctrl-C, or one that finds nothing to stop, leaves, as anywhere else.
        if !ANSWERING.load(Ordering::SeqCst) || CANCELLED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
    .context("cannot handle Ctrl-C")?;

    let mut input = Input::open()?;
    if args.verbose {
        note(describe(&config));
    }
    if input.is_interactive() {
        let name = model.gguf().get_str("general.name")?.unwrap_or("the model");
        dim_note(format_args!("Talking with {}. /help lists the commands.", printable(name)));
    }
    let system = conversation.messages.iter().find(|m| m.role == "system").cloned();
    let limits = Limits { max_tokens: args.limit.0, ..Limits::default() };
    let drawn = Drawn::default();
    let mut chat =
        Chat { session, tokenizer, template, config, limits, conversation, drawn, system, answers: 0 };

    // A scripted conversation ends at its first error; people get told and go on.
    let mut outcome = chat.answer_pending();
    loop {
        match outcome {
            Err(error) if input.is_interactive() && !crate::hint::is_closed_pipe(&error) => {
                note(report(&error))
            }
            other => other?,
        }
        outcome = match input.read()? {
            Line::End => return Ok(()),
            Line::Text(text) if text.trim().is_empty() => Ok(()),
            Line::Text(text) => match Command::parse(&text) {
                None => chat.say(&text),
                Some(Ok(Command::Quit)) => return Ok(()),
                Some(Ok(command)) => chat.execute(command),
                Some(Err(error)) => Err(error),
            },
        };
    }
}

/// A line that begins with a slash.
#[derive(Debug, PartialEq)]
enum Command<'a> {
    Reset,
    Save(&'a Path),
    Load(&'a Path),
    Help,
    Quit,
}

impl<'a> Command<'a> {
    /// The command in a line, or `None` where the line is a message.
    fn parse(line: &'a str) -> Option<Result<Self>> {
        if !line.starts_with('/') {
            return None;
        }
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let with_file = |make: fn(&'a Path) -> Self| match rest {
            "" => Err(anyhow::anyhow!("{name} needs a file: {name} talk.json")),
            file => Ok(make(Path::new(file))),
        };
        Some(match name {
            "/save" => with_file(Command::Save),
            "/load" => with_file(Command::Load),
            "/reset" => Ok(Command::Reset),
            "/help" => Ok(Command::Help),
            "/quit" | "/exit" => Ok(Command::Quit),
            _ => Err(anyhow::anyhow!("{} is no command", printable(name)))
                .hint(|| "/help lists them; a space in front makes it a message".into()),
        })
    }
}

struct Chat {
    session: Session,
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    config: SamplerConfig,
    limits: Limits,
    conversation: Conversation,
    drawn: Drawn,
    /// What `/reset` keeps.
    system: Option<Message>,
    answers: u64,
}

impl Chat {
    fn execute(&mut self, command: Command<'_>) -> Result<()> {
        match command {
            Command::Help => note(HELP),
            Command::Quit => {}
            Command::Reset => {
                self.conversation.messages = self.system.iter().cloned().collect();
                self.drawn.clear();
                self.session.reset();
                note("The conversation begins anew.");
            }
            Command::Save(path) => {
                write_messages(path, &self.conversation.messages)?;
                note(format_args!(
                    "{} messages written to {}.",
                    self.conversation.messages.len(),
                    path.display()
                ));
            }
            Command::Load(path) => {
                self.conversation.messages = read_messages(path)?;
                self.drawn.clear();
                note(format_args!(
                    "{} messages read from {}.",
                    self.conversation.messages.len(),
                    path.display()
                ));
                self.answer_pending()?;
            }
        }
        Ok(())
    }

    /// Answers a conversation that was read and ends with a turn to answer.
    fn answer_pending(&mut self) -> Result<()> {
        if awaits_answer(&self.conversation.messages) { self.answer() } else { Ok(()) }
    }

    /// The user's next turn and its answer. A turn that cannot be answered is taken back.
    fn say(&mut self, text: &str) -> Result<()> {
        let turns = self.conversation.messages.len();
        self.conversation.messages.push(Message::new("user", text));
        let outcome = self.answer();
        if outcome.is_err() {
            self.conversation.messages.truncate(turns);
        }
        outcome
    }

    fn answer(&mut self) -> Result<()> {
        let ids = self.drawn.prompt(&self.template, &self.tokenizer, &self.conversation)?;
        // Another seed an answer: the same question twice need not get the same words, yet the whole
        // conversation comes out alike for the same --seed.
        let config =
            SamplerConfig { seed: self.config.seed.wrapping_add(self.answers), ..self.config.clone() };

        let mut out = terminal::Answer::new();
        let mut written = Ok(());
        CANCELLED.store(false, Ordering::SeqCst);
        ANSWERING.store(true, Ordering::SeqCst);
        let generation =
            answer(&mut self.session, &config, &self.tokenizer, &ids, &self.limits, &CANCELLED, |text| {
                written = out.piece(text);
                written.is_ok()
            });
        ANSWERING.store(false, Ordering::SeqCst);
        written?;
        let generation = match generation {
            Err(error) if is_context_full(&error) => {
                return Err(error).hint(|| "/reset begins anew; `brooklet chat -c N` gives more room".into());
            }
            other => other?,
        };
        if generation.stop == Stop::Cancelled && generation.ids.is_empty() {
            // Stopped while it read: as if nothing had been said.
            self.conversation.messages.pop();
            note("Stopped; your message is taken back.");
            return Ok(());
        }
        out.end()?;

        match generation.stop {
            Stop::Context => note(format_args!(
                "The context of {} tokens is full: the answer is cut short. /reset begins anew; \
                 `brooklet chat -c N` gives more room.",
                self.session.context()
            )),
            Stop::Cancelled => note("Stopped."),
            Stop::Length => dim_note(format_args!("Cut at {} tokens (-n).", generation.ids.len())),
            Stop::Eos | Stop::Text => {}
        }
        dim_note(speed(&generation));
        self.answers += 1;
        self.drawn.push(self.conversation.messages.len(), generation.ids);
        self.conversation.messages.push(Message::new("assistant", generation.text));
        Ok(())
    }
}

fn is_context_full(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Session(SessionError::ContextFull { .. })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_slash_are_commands() {
        assert!(Command::parse("hello /reset").is_none());
        assert!(Command::parse(" /reset").is_none());
        assert_eq!(Command::parse("/reset").unwrap().unwrap(), Command::Reset);
        assert_eq!(
            Command::parse("/save  my talk.json ").unwrap().unwrap(),
            Command::Save(Path::new("my talk.json"))
        );
        assert!(Command::parse("/save").unwrap().unwrap_err().to_string().contains("needs a file"));
        assert!(Command::parse("/frobnicate").unwrap().is_err());
    }
}
