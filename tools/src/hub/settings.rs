//! What the environment says of the hub and the cache.

use crate::state::cache_directory;
use anyhow::{Context, Result, ensure};
use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// Where the hub and the cache are.
#[derive(Clone)]
pub struct Settings {
    /// The cache.
    pub cache: PathBuf,
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// What the hub knows the user by; sent to the endpoint only.
    pub token: Option<String>,
    /// Ask nobody.
    pub offline: bool,
    /// How long to wait.
    pub patience: Patience,
}

/// How long to wait for what, and how often to try.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes.
    pub silence: Duration,
    /// After the first failure; doubled after each other.
    pub pause: Duration,
    /// Tries without progress before giving up.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        let [connect, silence, pause] = [15_000, 60_000, 500].map(Duration::from_millis);
        Patience { connect, silence, pause, tries: 6 }
    }
}

impl Settings {
    /// Reads `BROOKLET_CACHE`, `HF_ENDPOINT`, `HF_TOKEN` or the hub's token file, and `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// There is no directory for the cache; the endpoint is no address; the token is none.
    pub fn from_env() -> Result<Settings> {
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        ensure!(
            endpoint.starts_with("https://") || endpoint.starts_with("http://"),
            "HF_ENDPOINT: expected an address with https://, found '{endpoint}'"
        );
        let offline = variable("HF_HUB_OFFLINE").map(|v| v.to_lowercase());
        Ok(Settings {
            cache: cache_directory()
                .context("none of BROOKLET_CACHE, XDG_CACHE_HOME and HOME names a directory for the cache")?,
            endpoint: endpoint.trim_end_matches('/').into(),
            token: token()?,
            offline: offline.is_some_and(|v| ["1", "true", "yes", "on"].contains(&&*v)),
            patience: Patience::default(),
        })
    }
}

fn token() -> Result<Option<String>> {
    let (source, token) = match variable("HF_TOKEN") {
        Some(token) => ("HF_TOKEN".to_string(), token),
        None => {
            let home = variable("HF_HOME").map(PathBuf::from);
            let home = home.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache/huggingface")));
            let path = variable("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(home?.join("token")));
            let Some(path) = path.filter(|path| path.is_file()) else { return Ok(None) };
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            (path.display().to_string(), text)
        }
    };
    let token = token.trim();
    // It becomes part of a header. What it is, no message says.
    ensure!(
        token.len() <= 1000 && token.bytes().all(|b| b.is_ascii_graphic()),
        "{source}: expected a token of letters and digits, found other characters"
    );
    Ok(Some(token.to_string()).filter(|t| !t.is_empty()))
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().map(|v| v.trim().to_string()).filter(|v| !v.is_empty())
}
