//! `brooklet chat`: talk with a model.

use anyhow::{Result, bail};

/// Arguments of `brooklet chat`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args) -> Result<()> {
    bail!("not written yet")
}
