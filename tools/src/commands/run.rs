//! `brooklet run`: answer one prompt, or complete raw text.

use crate::answer::{answer, speed, stop_name};
use crate::conversation::{HistoryArgs, PromptArgs};
use crate::model_args::{ModelArgs, SamplingArgs, TokenLimit, describe};
use crate::quality::receipt;
use crate::terminal::{self, dim_note, note, print_json, stderr_is_terminal};
use anyhow::Result;
use brooklet::{ChatTemplate, Limits, Model, Stop, Tokenizer};
use std::sync::atomic::AtomicBool;

/// Arguments of `brooklet run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The prompt is one turn of a conversation, put into the model's chat template; with --raw the \
                  model goes on with the text itself. Only the answer goes to standard output.\n\n\
                  Examples:\n  brooklet run -m model.gguf -p \"Why is the sky blue?\"\n  \
                  brooklet run -m model.gguf --system \"Summarize in one sentence.\" < article.txt\n  \
                  brooklet run -m model.gguf --raw -p \"Once upon a time\" -n 100 --temp 0"
)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    #[command(flatten)]
    history: HistoryArgs,
    /// Go on with the prompt as it is: no chat template; special tokens in it are parsed
    #[arg(long, conflicts_with_all = ["system", "tools", "messages"])]
    raw: bool,
    /// New tokens at most; -1 goes on until the model ends or the context is full
    #[arg(
        short = 'n',
        long = "max-tokens",
        value_name = "N",
        default_value = "-1",
        allow_negative_numbers = true
    )]
    limit: TokenLimit,
    /// Stop before this text (may be given several times)
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    stop: Vec<String>,
    /// Go on after the model's end-of-text token
    #[arg(long)]
    ignore_eos: bool,
    /// First check the tokenizer against the self-test in the file, which `convert --receipt` writes
    #[arg(long)]
    verify: bool,
    /// Print one JSON object at the end: text, ids, stop, prompt_tokens, prompt_ms, …
    #[arg(long)]
    json: bool,
    /// Say settings and speed on standard error, also where it is no terminal
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
}

#[derive(serde::Serialize)]
struct Answer {
    text: String,
    ids: Vec<u32>,
    stop: &'static str,
    prompt_tokens: usize,
    completion_tokens: usize,
    prompt_ms: f64,
    completion_ms: f64,
    seed: u64,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let model = args.model.open()?;
    let tokenizer = args.model.tokenizer(model.gguf())?;
    if args.verify {
        let texts = receipt::verify(model.gguf(), &tokenizer)?;
        note(format_args!(
            "The tokenizer gives the ids that it gave when the file was made, in {texts} of {texts} texts."
        ));
    }
    let config = args.sampling.config(model.gguf(), args.model.seed())?;
    let mut session = args.model.session(&model)?;
    let ids = prompt_ids(&args, &model, &tokenizer)?;
    if args.verbose {
        note(describe(&config));
    }

    let limits = Limits {
        max_tokens: args.limit.0,
        stop: args.stop,
        ignore_eos: args.ignore_eos,
        // Tool calls come between special tokens that the reader needs to see.
        skip_special: false,
    };
    let mut out = terminal::Answer::new();
    let mut written = Ok(());
    let never = AtomicBool::new(false);
    let generation = answer(&mut session, &config, &tokenizer, &ids, &limits, &never, |text| {
        if !args.json {
            written = out.piece(text);
        }
        written.is_ok()
    })?;
    written?;
    if !args.json {
        out.end()?;
    }
    drop(out);

    if generation.stop == Stop::Context {
        note(format_args!(
            "The context of {} tokens is full: the answer is cut short. A larger -c makes room.",
            session.context()
        ));
    }
    if args.verbose || stderr_is_terminal() {
        dim_note(speed(&generation));
    }
    if args.json {
        print_json(&Answer {
            stop: stop_name(generation.stop),
            prompt_tokens: ids.len(),
            completion_tokens: generation.ids.len(),
            prompt_ms: generation.prompt_time.as_secs_f64() * 1e3,
            completion_ms: generation.decode_time.as_secs_f64() * 1e3,
            seed: config.seed,
            text: generation.text,
            ids: generation.ids,
        })?;
    }
    Ok(())
}

fn prompt_ids(args: &Args, model: &Model, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
    if args.raw {
        return Ok(tokenizer.encode_with_bos(&args.prompt.read()?)?);
    }
    let template = ChatTemplate::from_gguf(model.gguf(), tokenizer)?;
    let talk = args.history.read_with_prompt(&args.prompt)?;
    Ok(template.encode(tokenizer, &talk.messages, talk.tools.as_ref(), true)?)
}
