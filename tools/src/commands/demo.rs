//! `brooklet demo`: convert the small model that ships with brooklet and let it answer.

use anyhow::{Result, bail};

/// Arguments of `brooklet demo`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args) -> Result<()> {
    bail!("not written yet")
}
