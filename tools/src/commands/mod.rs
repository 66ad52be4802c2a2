//! The subcommands, one file each.

mod base;
pub mod bench;
mod calibration;
pub mod chat;
pub mod convert;
pub mod demo;
pub mod eval;
pub mod imatrix;
pub mod inspect;
pub mod logits;
mod mixture;
pub mod perplexity;
pub mod pull;
pub mod quantize;
mod receipt;
pub mod run;
pub mod synth;
pub mod template;
pub mod tokenize;

use crate::hint::{is_closed_pipe, report};
use crate::terminal::note;
use std::process::ExitCode;

/// Runs LFM2 language models on small machines.
///
/// A model is one GGUF file, made of a Hugging Face checkpoint once and read in place ever after.
#[derive(Debug, clap::Parser)]
#[command(
    name = "brooklet",
    version,
    about,
    arg_required_else_help = true,
    after_help = "First steps:\n  \
                  brooklet demo                                  try it, nothing to download\n  \
                  brooklet convert LFM2-350M --type q4_0         make LFM2-350M's GGUF file of its checkpoint\n  \
                  brooklet chat -m LFM2-350M-Q4_0.gguf           talk with it\n\n\
                  `brooklet COMMAND --help` says more and gives examples.\n\
                  Environment: BROOKLET_ISA=scalar computes with plain code instead of the best for this processor."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Convert the small model that ships with brooklet and let it answer
    Demo(demo::Args),
    /// Download a model from the Hugging Face hub
    Pull(pull::Args),
    /// Turn a Hugging Face LFM2 checkpoint directory into a GGUF file
    Convert(convert::Args),
    /// Turn a float GGUF file into a quantized one
    Quantize(quantize::Args),
    /// Measure on a text which columns of a model's matrices matter, for convert and quantize
    Imatrix(imatrix::Args),
    /// Talk with a model
    Chat(chat::Args),
    /// Answer one prompt, or complete raw text
    Run(run::Args),
    /// Show what a GGUF file holds
    Inspect(inspect::Args),
    /// Measure prompt and generation speed
    Bench(bench::Args),
    /// Let a model answer tasks and count what is right
    Eval(eval::Args),
    /// Print the token ids of a text as a JSON array
    Tokenize(tokenize::Args),
    /// Print the prompt that the chat template makes of a conversation
    Template(template::Args),
    /// Print the model's logits for a text or ids as JSON
    Logits(logits::Args),
    /// Measure how well a model predicts a text, alone or beside the one it was made of
    Perplexity(perplexity::Args),
    /// Write a checkpoint of a real model's shape with random weights
    Synth(synth::Args),
}

/// Runs the command and turns its outcome into an exit code: 0; 1 with the error's chain and what to
/// try on stderr; 2 for a usage error. A reader that closes our standard output ends the command
/// without an error.
pub fn main(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Pull(args) => pull::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Quantize(args) => quantize::run(args),
        Command::Imatrix(args) => imatrix::run(args),
        Command::Chat(args) => chat::run(args),
        Command::Run(args) => run::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Template(args) => template::run(args),
        Command::Logits(args) => logits::run(args),
        Command::Perplexity(args) => perplexity::run(args),
        Command::Synth(args) => synth::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<clap::Error>() {
            Some(usage) => {
                let _ = usage.print();
                ExitCode::from(2)
            }
            None => {
                note(report(&error));
                ExitCode::FAILURE
            }
        },
    }
}
