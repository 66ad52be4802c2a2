//! `brooklet tokenize`: print the token ids of a text as a JSON array.

use crate::conversation::read_stdin;
use crate::model_args::{ModelArgs, open_gguf};
use crate::terminal::print_json;
use anyhow::Result;
use brooklet::tokenizer::Special;

/// Arguments of `brooklet tokenize`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Special tokens in the text (<|im_start|>) become their ids, and the text begins with the \
                  begin-of-text token, as Hugging Face's tokenizers do it.\n\n\
                  Examples:\n  brooklet tokenize -m model.gguf \"Hello, world\"\n  \
                  brooklet tokenize -m model.gguf --no-bos < notes.txt"
)]
#[command(mut_arg("threads", |a| a.hide(true)), mut_arg("ctx", |a| a.hide(true)))]
#[command(mut_arg("seed", |a| a.hide(true)), mut_arg("kv_type", |a| a.hide(true)), mut_arg("low_memory", |a| a.hide(true)))]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Do not begin with the begin-of-text token
    #[arg(long)]
    no_bos: bool,
    /// The text [default: all of standard input, as it is]
    text: Option<String>,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let gguf = open_gguf(&args.model.model)?;
    let tokenizer = args.model.tokenizer(&gguf)?;
    let text = match args.text {
        Some(text) => text,
        None => read_stdin()?,
    };
    let ids = if args.no_bos {
        tokenizer.encode(&text, Special::Parse)?
    } else {
        tokenizer.encode_with_bos(&text)?
    };
    print_json(&ids)
}
