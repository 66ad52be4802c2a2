//! Hugging Face checkpoints and float GGUF files to GGUF files of any type, streamed.
