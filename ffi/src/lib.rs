//! The C library: opaque objects, plain structs and status codes over the crate `brooklet`. `include/brooklet.h` is made
//! of this source (tests/header.rs) and states the rules for callers.
//!
//! Every function goes through [`failure::guard`], which turns errors and panics into a status and a text, and takes
//! what the caller hands in through [`border`]. A session's functions go through a lock that is never waited for.

mod border;
mod decoder;
mod failure;
mod model;
mod options;
mod sampling;
mod session;
