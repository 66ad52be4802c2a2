//! `brooklet logits`: print the model's logits for a text or ids as JSON.

use anyhow::{Result, bail};

/// Arguments of `brooklet logits`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args) -> Result<()> {
    bail!("not written yet")
}
