//! `brooklet template`: print the prompt that the chat template makes of a conversation.

use crate::conversation::{HistoryArgs, PromptArgs};
use crate::model_args::{ModelArgs, open_gguf};
use crate::terminal::print_json;
use anyhow::Result;
use brooklet::ChatTemplate;
use std::io::{self, Write};

/// Arguments of `brooklet template`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Prints the prompt exactly, without a newline at its end.\n\n\
                  Examples:\n  brooklet template -m model.gguf -p \"Hello\" --system \"Be brief.\"\n  \
                  brooklet template -m model.gguf --messages talk.json --tools tools.json --json")]
#[command(mut_arg("threads", |a| a.hide(true)), mut_arg("ctx", |a| a.hide(true)))]
#[command(mut_arg("seed", |a| a.hide(true)), mut_arg("kv_type", |a| a.hide(true)), mut_arg("low_memory", |a| a.hide(true)))]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    prompt: PromptArgs,
    #[command(flatten)]
    history: HistoryArgs,
    /// Do not end with the start of the model's turn
    #[arg(long)]
    no_generation_prompt: bool,
    /// Print {"text": …, "ids": […]} instead
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Rendered {
    text: String,
    ids: Vec<u32>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let gguf = open_gguf(&args.model.model)?;
    let tokenizer = args.model.tokenizer(&gguf)?;
    let template = ChatTemplate::from_gguf(&gguf, &tokenizer)?;
    let talk = args.history.read_with_prompt(&args.prompt)?;
    let generation_prompt = !args.no_generation_prompt;
    let text = template.render(&talk.messages, talk.tools.as_ref(), generation_prompt)?;
    if args.json {
        let ids = template.encode(&tokenizer, &talk.messages, talk.tools.as_ref(), generation_prompt)?;
        return print_json(&Rendered { text, ids });
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
