//! The quality lab: how good a model is, how far a quantized one is from what it was made of, and what makes it lose less.

pub mod calibration;
pub mod divergence;
pub mod eval;
pub mod gptq;
pub mod imatrix;
pub mod own_text;
pub mod perplexity;
pub mod receipt;
pub mod windows;
