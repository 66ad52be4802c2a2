//! `brooklet tokenize`: print the token ids of a text as a JSON array.

use anyhow::{Result, bail};

/// Arguments of `brooklet tokenize`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args) -> Result<()> {
    bail!("not written yet")
}
