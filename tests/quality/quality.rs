//! The quality lab against llama.cpp and transformers (fixtures/perplexity/make.py), and its refusals.

#[path = "../model/models.rs"]
mod models;

mod mixture;
mod perplexity;
