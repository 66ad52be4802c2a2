//! The parts of the command line: one file a subcommand in [`commands`], what they share beside it,
//! [`convert`], which turns Hugging Face checkpoints into GGUF files, and [`quality`], which measures models.

pub mod answer;
pub mod commands;
pub mod conversation;
pub mod convert;
mod error;
pub mod gguf_info;
pub mod hint;
pub mod house;
pub mod hub;
pub mod model_args;
pub mod quality;
pub mod state;
pub mod system;
pub mod terminal;
pub mod threads;
pub mod ui;
