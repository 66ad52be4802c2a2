//! `brooklet bench`: measure prompt and generation speed.

use anyhow::{Result, bail};

/// Arguments of `brooklet bench`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args) -> Result<()> {
    bail!("not written yet")
}
