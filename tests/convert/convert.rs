//! Checkpoints and float GGUF files in, GGUF files out: as a library and as a user types it.

mod checkpoint;
mod checkpoints;
mod commands;
mod grid;
mod hostile;
mod lora;
mod lora_hostile;
#[path = "../common/mutate.rs"]
mod mutate;
mod quantized;
mod receipt;
mod tokenizers;
mod types;
