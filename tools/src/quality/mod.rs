//! How good a model is on a text, and how far a quantized one is from what it was made of.

pub mod divergence;
pub mod perplexity;
pub mod windows;
