//! `brooklet convert`: turn a Hugging Face LFM2 checkpoint directory into a GGUF file.

use anyhow::{Result, bail};

/// Arguments of `brooklet convert`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args) -> Result<()> {
    bail!("not written yet")
}
