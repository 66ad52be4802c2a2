//! The `brooklet` command.

use brooklet_tools::commands;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    commands::main(commands::Cli::parse())
}
