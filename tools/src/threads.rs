//! How many threads are best on this machine, as `brooklet bench --tune` found out and stored.

use crate::model_args::parse_threads;
use crate::state::state_directory;
use crate::system;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};

/// The best numbers of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Threads {
    /// For taking a prompt.
    pub prefill: usize,
    /// For generating token by token.
    pub decode: usize,
}

/// In the state directory.
const FILE: &str = "threads.json";

/// The file's content, by the name of the machine: a home directory may be shared.
type Stored = BTreeMap<String, Threads>;

/// What was stored for this machine. A file that cannot be read counts for nothing: it only makes things faster.
pub fn stored() -> Option<Threads> {
    read(&state_directory()?.join(FILE))
        .remove(&machine())
        .filter(|t| [t.prefill, t.decode].into_iter().all(is_valid))
}

/// Stores what is best for this machine; returns the file.
///
/// # Errors
/// The user has no directory for it, or it cannot be written.
pub fn store(best: Threads) -> Result<PathBuf> {
    let directory = state_directory();
    let directory =
        directory.context("neither XDG_STATE_HOME nor HOME names a directory to store the result in")?;
    let path = directory.join(FILE);
    let mut stored = read(&path);
    stored.insert(machine(), best);
    let text = serde_json::to_string_pretty(&stored)? + "\n";
    brooklet::write_whole(&path, text.as_bytes())?;
    Ok(path)
}

/// Threads that the system lets this process run at once.
pub fn available() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// The processor's name as the system gives it, or its architecture.
pub fn processor() -> String {
    system::processor().unwrap_or_else(|| std::env::consts::ARCH.into())
}

fn machine() -> String {
    format!("{}, {} threads", processor(), available())
}

fn read(path: &Path) -> Stored {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn is_valid(threads: usize) -> bool {
    parse_threads(&threads.to_string()).is_ok()
}
