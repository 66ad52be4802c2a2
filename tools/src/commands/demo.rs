//! `brooklet demo`: convert the small model that ships with brooklet and let it run a simulated house.

use crate::answer::answer;
use crate::convert::{self, FileType, Options};
use crate::hint::HintExt;
use crate::house::{House, tools};
use crate::terminal::printable;
use crate::ui::{human_bytes, human_count, print_line};
use anyhow::{Context, Result, bail};
use brooklet::tokenizer::Message;
use brooklet::tool_calls::split_reply;
use brooklet::{ChatTemplate, Limits, Model, SamplerConfig, Session, SessionOptions, Tokenizer};
use rustyline::error::ReadlineError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// The checkpoint in the source tree that this program was built from, or where the build says that it is: a release knows
/// no source tree.
const CHECKPOINT: &str = match option_env!("BROOKLET_DEMO") {
    Some(folder) => folder,
    None => concat!(env!("CARGO_MANIFEST_DIR"), "/../models/demo"),
};

/// The sentence that stands before the list of tools; the model was trained with it.
pub(crate) const SYSTEM: &str = "You are Brook, the voice of a small house.";

/// Tokens an answer at most; the longest of training had fewer.
const MAX_TOKENS: usize = 160;

/// Turns of the past that the model still sees: one whole exchange. It was trained on short conversations.
const KEPT: usize = 4;

/// What the scripted conversation says; it was written before the model was trained.
const SCRIPT: [&str; 10] = [
    "Turn on the kitchen light at 40 percent, please.",
    "And the living room too",
    "It's freezing in the bedroom",
    "Set a lasagne timer for an hour and twenty minutes",
    "How long is left on the timer?",
    "The lasagne is done already, cancel its timer",
    "Remind me tomorrow at half past seven in the evening to call my sister",
    "Turn off the kitchen light and add coffee to the shopping list",
    "Which lights are on?",
    "What will the weather be like tomorrow?",
];

/// Arguments of `brooklet demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  brooklet demo --chat")]
pub struct Args {
    /// Type requests yourself instead of watching the scripted conversation
    #[arg(long)]
    chat: bool,
    /// How to store the weights, as in `brooklet convert`
    #[arg(short = 'T', long = "type", value_name = "TYPE", default_value = "q4_0", value_parser = super::convert::parse_type,
          hide_possible_values = true)]
    file_type: FileType,
    /// Another checkpoint of the demo model [default: models/demo of the source tree]
    #[arg(long, value_name = "DIR", default_value = CHECKPOINT, hide_default_value = true)]
    checkpoint: PathBuf,
    /// A file that the demo model was converted to, instead of converting it
    #[arg(short, long, value_name = "GGUF", conflicts_with_all = ["file_type", "checkpoint"])]
    model: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let folder = tempfile::tempdir().context("a folder for the converted model")?;
    let file = match args.model {
        Some(file) => file,
        None => {
            let file = folder.path().join("demo.gguf");
            convert(&args.checkpoint, &file, args.file_type)?;
            file
        }
    };
    let mut demo = Demo::load(&file)?;
    if args.chat {
        demo.chat()?;
    } else {
        for request in SCRIPT {
            print_line(&format_args!("\n> {request}"))?;
            demo.say(request)?;
        }
    }
    print_line(&format_args!("\nThe house:\n{}", demo.house.table()))?;
    demo.summary()
}

fn convert(checkpoint: &Path, file: &Path, file_type: FileType) -> Result<()> {
    let named = || format!("converting {}", checkpoint.display());
    let options = Options { file_type, ..Options::default() };
    let report = convert::convert(checkpoint, file, &options).with_context(named).hint(|| {
        "run the demo from brooklet's source tree, name its models/demo with --checkpoint, or a file made of it with --model".into()
    })?;
    print_line(&format_args!(
        "Converted a checkpoint of {} parameters to {}: {} -> {} ({:.1} bits a weight) in {:.2} s.",
        human_count(report.params),
        file_type.name(),
        human_bytes(report.bytes_in),
        human_bytes(report.bytes_out),
        report.bits_per_weight(),
        report.time.as_secs_f64()
    ))
}

struct Demo {
    session: Session,
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    messages: Vec<Message>,
    house: House,
    /// Tokens and time of prompts, then of answers.
    prompts: (usize, Duration),
    answers: (usize, Duration),
}

impl Demo {
    fn load(file: &Path) -> Result<Demo> {
        let started = Instant::now();
        let model = Arc::new(Model::open(file)?);
        let tokenizer = Arc::new(Tokenizer::from_gguf(model.gguf())?);
        let template = ChatTemplate::from_gguf(model.gguf(), &tokenizer)?;
        let session = Session::new(model, SessionOptions::default())?;
        let time = started.elapsed();
        print_line(&format_args!("Loaded it in {:.1} ms.", time.as_secs_f64() * 1e3))?;
        let (messages, house) = (vec![], House::default());
        let none = (0, Duration::ZERO);
        Ok(Demo { session, tokenizer, template, messages, house, prompts: none, answers: none })
    }

    /// Takes a request, executes the calls that the model makes of it, and prints calls, results and answer.
    fn say(&mut self, request: &str) -> Result<()> {
        self.forget();
        self.messages.push(Message::new("user", request));
        let reply = self.reply()?;
        let (text, calls) = match split_reply(&reply) {
            Ok(parts) => parts,
            Err(error) => {
                // The next request starts afresh, not from half a call.
                self.messages.clear();
                return print_line(&format_args!("  (the model wrote a call that does not parse: {error})"));
            }
        };
        let mut message = Message::new("assistant", text.as_str());
        if calls.is_empty() {
            print_line(&printable(&text))?;
            self.messages.push(message);
            return Ok(());
        }
        message.rest.insert("tool_calls".into(), calls.iter().map(|call| call.to_json()).collect());
        self.messages.push(message);
        let mut results = Vec::new();
        for call in &calls {
            let result = self.house.execute(call);
            print_line(&format_args!(
                "  {} -> {}",
                printable(&call.to_string()),
                printable(&result.to_string())
            ))?;
            results.push(result);
        }
        let result = if let [result] = &results[..] { result.clone() } else { results.into() };
        self.messages.push(Message::new("tool", spaced(&result)));
        let reply = self.reply()?;
        print_line(&printable(&reply))?;
        self.messages.push(Message::new("assistant", reply));
        Ok(())
    }

    /// Leaves only the last exchange in the model's sight.
    fn forget(&mut self) {
        let mut requests =
            self.messages.iter().enumerate().filter(|(_, m)| m.role == "user").map(|(at, _)| at);
        let keep = requests.next_back().unwrap_or(0).max(self.messages.len().saturating_sub(KEPT));
        self.messages.drain(..keep);
    }

    /// What the model says next.
    fn reply(&mut self) -> Result<String> {
        let mut messages = vec![Message::new("system", SYSTEM)];
        messages.extend(self.messages.iter().cloned());
        let prompt = self.template.encode(&self.tokenizer, &messages, Some(&tools()), true)?;
        let config = SamplerConfig { temperature: 0.0, repetition_penalty: 1.0, ..SamplerConfig::default() };
        let limits = Limits { max_tokens: Some(MAX_TOKENS), ..Limits::default() };
        let never = AtomicBool::new(false);
        let generation =
            answer(&mut self.session, &config, &self.tokenizer, &prompt, &limits, &never, |_| true)?;
        self.prompts.0 += generation.prompt_tokens;
        self.prompts.1 += generation.prompt_time;
        self.answers.0 += generation.decode_tokens;
        self.answers.1 += generation.decode_time;
        Ok(generation.text.trim().into())
    }

    /// Requests from standard input until it ends.
    fn chat(&mut self) -> Result<()> {
        print_line(
            &"Lights, heating, timers, reminders, a shopping list: say what you want. Ctrl-D leaves.",
        )?;
        let mut editor = rustyline::DefaultEditor::new().context("the terminal")?;
        loop {
            match editor.readline("> ") {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => {
                    let _ = editor.add_history_entry(&line);
                    self.say(line.trim())?;
                }
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Ok(()),
                Err(error) => bail!(error),
            }
        }
    }

    fn summary(&self) -> Result<()> {
        let rate = |(tokens, time): (usize, Duration)| tokens as f64 / time.as_secs_f64().max(1e-9);
        print_line(&format_args!(
            "Prompts: {} tokens at {:.0} tokens/s. Answers: {} tokens at {:.0} tokens/s.",
            self.prompts.0,
            rate(self.prompts),
            self.answers.0,
            rate(self.answers)
        ))?;
        match crate::system::resident_bytes() {
            Some(bytes) => print_line(&format_args!("Resident memory: {}.", human_bytes(bytes))),
            None => Ok(()),
        }
    }
}

/// JSON with a space after each comma and colon, as Python writes it and the model has seen it.
fn spaced(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let pair =
                |(key, value): (&String, &Value)| format!("{}: {}", Value::from(key.as_str()), spaced(value));
            format!("{{{}}}", fields.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
