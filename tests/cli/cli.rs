//! The command line as a user types it: what is printed where, exit codes, errors.

mod bad_input;
mod bench;
mod chat;
mod hub;
mod inspect;
mod logits;
mod run;
mod support;
mod template;
mod tokenize;
