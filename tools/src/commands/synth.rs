//! `brooklet synth`: write a checkpoint of a real model's shape with random weights.

use anyhow::{Result, bail};

/// Arguments of `brooklet synth`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args) -> Result<()> {
    bail!("not written yet")
}
