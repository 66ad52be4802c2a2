//! The quality lab: what a model's file can do, measured.

pub mod eval;
