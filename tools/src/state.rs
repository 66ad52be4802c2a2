//! Where brooklet keeps what it remembers between runs, and what it downloaded.

use std::path::PathBuf;

/// `$XDG_STATE_HOME/brooklet`, by default under `~/.local/state`; it is made. `None` where that fails.
pub fn state_directory() -> Option<PathBuf> {
    let directory = under("XDG_STATE_HOME", ".local/state")?;
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory)
}

/// `$BROOKLET_CACHE`, else `$XDG_CACHE_HOME/brooklet`, else `~/.cache/brooklet`; it need not be there. `None` where the
/// environment names no directory.
pub fn cache_directory() -> Option<PathBuf> {
    match std::env::var_os("BROOKLET_CACHE").filter(|v| !v.is_empty()) {
        Some(directory) => std::path::absolute(directory).ok(),
        None => under("XDG_CACHE_HOME", ".cache"),
    }
}

/// `brooklet` under the directory that the variable names, or under this one of the user's.
fn under(variable: &str, default: &str) -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    Some(absolute(variable).or_else(|| Some(absolute("HOME")?.join(default)))?.join("brooklet"))
}
