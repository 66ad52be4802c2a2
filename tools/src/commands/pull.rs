//! `brooklet pull`: download a model from the Hugging Face hub.

use crate::hub::{Ask, HubName, Settings, Want, get};
use crate::ui;
use anyhow::Result;

/// Arguments of `brooklet pull`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Prints the path of the GGUF file. `-m hf:ORG/REPO:TYPE` does the same in every command that takes a \
                  model, but asks the hub only for what is not there yet; pull always asks, and takes a newer state \
                  of the repository if there is one.\n\n\
                  A repository with GGUF files: TYPE chooses one by the end of its name, as Q4_0 does \
                  LFM2-350M-Q4_0.gguf; without it Q4_K_M, else Q4_0, else the only one.\n\
                  A repository with a checkpoint (config.json, safetensors): it is downloaded and converted to TYPE, \
                  one of those of `brooklet convert --help`; without it to q4_0.\n\n\
                  Downloads go on where they ended, and every file is checked against the hub's digest. They need a \
                  brooklet built with `cargo install --path tools --features pull`.\n\n\
                  Environment:\n  \
                  BROOKLET_CACHE      where models are kept [default: brooklet under $XDG_CACHE_HOME or ~/.cache]\n  \
                  HF_TOKEN            the token for private and gated models [default: the hub's token file]\n  \
                  HF_ENDPOINT         another hub [default: https://huggingface.co]\n  \
                  HF_HUB_OFFLINE=1    take what the cache holds, ask nobody\n\n\
                  Examples:\n  brooklet pull LiquidAI/LFM2-350M-GGUF:Q4_0\n  \
                  brooklet pull LiquidAI/LFM2-350M@main:q4_k_m\n  \
                  brooklet chat -m hf:LiquidAI/LFM2-350M-GGUF:Q4_0"
)]
pub struct Args {
    /// The repository; @REVISION (a branch, tag or commit) and :TYPE may be left out
    #[arg(value_name = "ORG/REPO[@REVISION][:TYPE]", value_parser = parse_name)]
    name: HubName,
}

fn parse_name(text: &str) -> Result<HubName, String> {
    text.parse().map_err(|e: anyhow::Error| e.to_string())
}

/// Runs the command.
///
/// The file's path goes to stdout when it is complete; progress and notes to stderr.
pub fn run(args: Args) -> Result<()> {
    let path = get(&Settings::from_env()?, &args.name, Want::Model, Ask::Always)?;
    ui::print_line(&path.display())
}
