//! Where brooklet keeps what it remembers between runs.

use std::path::PathBuf;

/// `$XDG_STATE_HOME/brooklet`, by default under `~/.local/state`; it is made. `None` where that fails.
pub fn state_directory() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let directory = state.join("brooklet");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory)
}
