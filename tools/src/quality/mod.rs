//! How good a quantized model is, and what makes it better.

pub mod calibration;
pub mod gptq;
pub mod imatrix;
