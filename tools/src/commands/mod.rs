//! The subcommands, one file each.

pub mod bench;
pub mod chat;
pub mod convert;
pub mod demo;
pub mod inspect;
pub mod logits;
pub mod quantize;
pub mod run;
pub mod synth;
pub mod template;
pub mod tokenize;

use std::process::ExitCode;

/// Runs LFM2 language models on small machines.
#[derive(Debug, clap::Parser)]
#[command(name = "brooklet", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Turn a Hugging Face LFM2 checkpoint directory into a GGUF file
    Convert(convert::Args),
    /// Turn a float GGUF file into a quantized one
    Quantize(quantize::Args),
    /// Show what a GGUF file holds
    Inspect(inspect::Args),
    /// Print the token ids of a text as a JSON array
    Tokenize(tokenize::Args),
    /// Print the model's logits for a text or ids as JSON
    Logits(logits::Args),
    /// Answer one prompt, or complete raw text
    Run(run::Args),
    /// Print the prompt that the chat template makes of a conversation
    Template(template::Args),
    /// Talk with a model
    Chat(chat::Args),
    /// Measure prompt and generation speed
    Bench(bench::Args),
    /// Write a checkpoint of a real model's shape with random weights
    Synth(synth::Args),
    /// Convert the small model that ships with brooklet and let it answer
    Demo(demo::Args),
}

/// Runs the command and turns its outcome into an exit code: 0, or 1 with the error's chain on stderr
/// (clap itself exits with 2 on a usage error).
pub fn main(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Convert(args) => convert::run(args),
        Command::Quantize(args) => quantize::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Logits(args) => logits::run(args),
        Command::Run(args) => run::run(args),
        Command::Template(args) => template::run(args),
        Command::Chat(args) => chat::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Synth(args) => synth::run(args),
        Command::Demo(args) => demo::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
