//! `brooklet template`: print the prompt that the chat template makes of a conversation.

use anyhow::{Result, bail};

/// Arguments of `brooklet template`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args) -> Result<()> {
    bail!("not written yet")
}
