//! `brooklet run`: answer one prompt, or complete raw text.

use anyhow::{Result, bail};

/// Arguments of `brooklet run`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args) -> Result<()> {
    bail!("not written yet")
}
