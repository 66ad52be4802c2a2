//! `brooklet quantize`: turn a float GGUF file into a quantized one.

use anyhow::{Result, bail};

/// Arguments of `brooklet quantize`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args) -> Result<()> {
    bail!("not written yet")
}
