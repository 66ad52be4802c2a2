//! The parts of the command line: one file a subcommand in [`commands`], and [`convert`], which turns
//! Hugging Face checkpoints into GGUF files.

pub mod commands;
pub mod convert;
pub mod ui;
