//! Downloads, from servers in this test that answer as the hub does, or badly.

mod commands;
mod downloads;
mod refusals;
mod server;

use brooklet_tools::hint::report;
use brooklet_tools::hub::{Ask, Patience, Settings, Want, get};
use server::{Reply, Repo, Request, Server};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TRIES: u32 = 4;

/// A hub with a content network and a cache.
struct Setup {
    cache: tempfile::TempDir,
    hub: Server,
    network: Server,
    settings: Settings,
    /// What the hub holds; a test may change it.
    repo: Arc<Mutex<Repo>>,
}

impl Setup {
    /// A hub as it should be.
    fn new(files: &[(&str, &[u8])]) -> Setup {
        Setup::with_network(files, |_, _| None)
    }

    /// A content network that answers otherwise where the function says so: given the request and how many came before.
    fn with_network(
        files: &[(&str, &[u8])],
        answer: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Setup {
        Setup::with(files, |_, _| None, answer)
    }

    /// As [`Setup::with_network`], and the hub too.
    fn with(
        files: &[(&str, &[u8])],
        hub: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
        network: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Setup {
        let repo = Arc::new(Mutex::new(Repo::new(files)));
        let (at_network, at_hub) = (repo.clone(), repo.clone());
        let (seen, seen_hub) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let network = Server::start(move |request| {
            let otherwise = network(request, seen.fetch_add(1, Ordering::SeqCst));
            otherwise.unwrap_or_else(|| {
                let repo = at_network.lock().unwrap();
                repo.content(&request.path, "/").map_or(Reply::status(404), |c| Reply::content(request, c))
            })
        });
        let address = network.address.clone();
        let hub = Server::start(move |request| {
            let otherwise = hub(request, seen_hub.fetch_add(1, Ordering::SeqCst));
            otherwise.unwrap_or_else(|| at_hub.lock().unwrap().answer(request, &address))
        });
        let cache = tempfile::tempdir().unwrap();
        let settings = Settings {
            cache: cache.path().join("cache"),
            endpoint: hub.address.clone(),
            token: Some("hf_secret".into()),
            offline: false,
            patience: Patience {
                connect: Duration::from_secs(30),
                silence: Duration::from_secs(30),
                pause: Duration::from_millis(1),
                tries: TRIES,
            },
        };
        Setup { cache, hub, network, settings, repo }
    }

    /// `brooklet pull o/r:TYPE`, or its error as a user sees it.
    fn pull(&self, ty: &str) -> Result<PathBuf, String> {
        self.get(ty, Ask::Always)
    }

    fn get(&self, ty: &str, ask: Ask) -> Result<PathBuf, String> {
        let name = format!("o/r{ty}").parse().unwrap();
        get(&self.settings, &name, Want::Model, ask).map_err(|e| report(&e))
    }

    /// Puts bytes where those of an earlier run would lie.
    fn leave_partial(&self, digest: &str, bytes: &[u8]) -> PathBuf {
        let folder = self.settings.cache.join("hub/o/r/partial");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(digest), bytes).unwrap();
        folder.join(digest)
    }

    /// Every file under the cache's parent, as paths from there.
    fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, root, found);
                } else {
                    found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_string());
                }
            }
        }
        let mut found = Vec::new();
        walk(self.cache.path(), self.cache.path(), &mut found);
        found.sort();
        found
    }

    /// The complete models in the cache.
    fn models(&self) -> Vec<String> {
        self.files().into_iter().filter(|f| f.ends_with(".gguf")).collect()
    }
}

/// Bytes that are nothing else's.
fn bytes(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8 ^ seed).collect()
}
