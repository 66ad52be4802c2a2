//! `brooklet inspect`: show what a GGUF file holds.

use anyhow::{Result, bail};

/// Arguments of `brooklet inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args) -> Result<()> {
    bail!("not written yet")
}
