//! Models from the Hugging Face hub: what a name stands for, the cache, and the order in which things are asked for.
//!
//! What the hub sends comes from strangers: names never leave the cache, sizes are capped, and a file gets its name
//! only when its digest is the listed one. docs/hub.md describes the cache's layout.

// What only a download needs is compiled and tested without it all the same.
#![cfg_attr(not(feature = "pull"), allow(dead_code))]

mod cache;
mod choose;
#[cfg(feature = "pull")]
mod client;
#[cfg(not(feature = "pull"))]
#[path = "no_client.rs"]
mod client;
#[cfg(feature = "pull")]
mod download;
mod list;
mod name;
mod settings;

pub use name::{HubName, PREFIX};
pub use settings::{Patience, Settings};

use crate::convert::{self, HfConfig};
use crate::hint::HintExt;
use crate::terminal::note;
use crate::ui;
use anyhow::{Context, Result, anyhow};
use cache::Repo;
use choose::{Choice, choose};
use client::Client;
use list::FileList;
use std::path::{Path, PathBuf};

/// Nothing could be asked: no connection, or none wanted. What the cache holds may do.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Unreachable {
    /// What was tried, and what came of it.
    pub why: String,
    /// What to try.
    pub hint: String,
}

/// What a name is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// One GGUF file: the hub's, or converted from a checkpoint.
    Model,
    /// A checkpoint directory.
    Checkpoint,
}

/// When the hub is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Always, so that a branch's newest commit is taken.
    Always,
    /// Only for what the cache does not hold.
    IfMissing,
}

/// The file that `path` names: itself, or of `hf:ORG/REPO:TYPE` the one in the cache, downloaded where it is missing.
///
/// # Errors
/// As [`get`].
pub fn local(path: &Path) -> Result<PathBuf> {
    local_as(path, Want::Model)
}

/// As [`local`], of a checkpoint directory.
///
/// # Errors
/// As [`get`]; a type is named, which a checkpoint has none of.
pub fn local_checkpoint(path: &Path) -> Result<PathBuf> {
    local_as(path, Want::Checkpoint)
}

fn local_as(path: &Path, want: Want) -> Result<PathBuf> {
    match path.to_str().filter(|text| text.starts_with(PREFIX)) {
        Some(text) => get(&Settings::from_env()?, &text.parse()?, want, Ask::IfMissing),
        None => Ok(path.to_path_buf()),
    }
}

/// Gives what a name stands for: from the cache, or downloaded into it, and converted where it is a checkpoint.
///
/// # Errors
/// The hub has no such thing, does not give it, or cannot be reached while the cache lacks it; a download or its
/// conversion fails.
pub fn get(settings: &Settings, name: &HubName, want: Want, ask: Ask) -> Result<PathBuf> {
    if want == Want::Checkpoint
        && let Some(ty) = &name.file_type
    {
        return Err(anyhow!("{PREFIX}{name}: expected no type in a checkpoint's name, found {ty}"))
            .hint(|| format!("name the type with --type {ty}"));
    }
    let path =
        find(settings, name, want, ask).map_err(|error| match error.downcast_ref::<Unreachable>() {
            Some(unreachable) => {
                let hint = unreachable.hint.clone();
                Err::<(), _>(error).hint(|| hint).unwrap_err()
            }
            None => error,
        })?;
    if want == Want::Model
        && name.file_type.is_none()
        && let Some(file) = path.file_name()
    {
        note(format_args!("{PREFIX}{name}: no type asked for, taking {}", file.display()));
    }
    Ok(path)
}

fn find(settings: &Settings, name: &HubName, want: Want, ask: Ask) -> Result<PathBuf> {
    let repo = Repo::new(&settings.cache, name);
    let held = repo.list(&name.revision)?;
    if ask == Ask::IfMissing
        && let Some(list) = &held
        // What an old list does not have, a newer one may.
        && let Ok(Some(found)) = Held::find(&repo, list, name, want)
    {
        return match found {
            Held::Complete(path) => Ok(path),
            Held::Checkpoint(ty) => {
                let _lock = repo.lock()?;
                convert(&repo, list, ty)
            }
        };
    }
    let client = Client::new(settings)?;
    let _lock = repo.lock()?;
    let list = match client.list(name) {
        Ok(list) => {
            repo.store(&name.revision, &list)?;
            list
        }
        Err(error) => {
            if !error.is::<Unreachable>() {
                return Err(error);
            }
            let found = held.as_ref().map(|list| Held::find(&repo, list, name, want)).transpose()?.flatten();
            let (Some(list), Some(_)) = (held, found) else {
                return Err(missing(error, &repo, name, settings));
            };
            note(format_args!("{error}; taking what the cache holds"));
            list
        }
    };
    // What the cache holds of the list is not fetched again.
    repo.clean(&list)?;
    match Held::find(&repo, &list, name, want)? {
        Some(Held::Complete(path)) => return Ok(path),
        Some(Held::Checkpoint(ty)) => return convert(&repo, &list, ty),
        None => {}
    }
    let fetch = |file| client.file(&repo, &list, file, name);
    let ty = match want {
        Want::Checkpoint => None,
        Want::Model => match choose(&list, name)? {
            Choice::Gguf(file) => return fetch(file),
            Choice::Checkpoint(ty) => Some(ty),
        },
    };
    for file in choose::checkpoint(&list, name)? {
        fetch(file)?;
        if file.name == "config.json" {
            // Before gigabytes of weights come that cannot be used.
            HfConfig::read(&repo.files(&list)).with_context(|| name.id())?;
        }
    }
    match ty {
        None => Ok(repo.files(&list)),
        Some(ty) => convert(&repo, &list, ty),
    }
}

/// What the cache holds of what is wanted.
enum Held {
    /// The thing itself.
    Complete(PathBuf),
    /// The checkpoint to convert to this type.
    Checkpoint(convert::FileType),
}

impl Held {
    fn find(repo: &Repo, list: &FileList, name: &HubName, want: Want) -> Result<Option<Held>> {
        let has_checkpoint = || {
            Ok::<_, anyhow::Error>(choose::checkpoint(list, name)?.iter().all(|file| repo.holds(list, file)))
        };
        Ok(match want {
            Want::Checkpoint => has_checkpoint()?.then(|| Held::Complete(repo.files(list))),
            Want::Model => match choose(list, name)? {
                Choice::Gguf(file) => repo.holds(list, file).then(|| Held::Complete(repo.file(list, file))),
                Choice::Checkpoint(ty) => match repo.converted(list, ty) {
                    path if path.is_file() => Some(Held::Complete(path)),
                    _ => has_checkpoint()?.then_some(Held::Checkpoint(ty)),
                },
            },
        })
    }
}

/// Converts a checkpoint that is complete; the lock is held.
fn convert(repo: &Repo, list: &FileList, ty: convert::FileType) -> Result<PathBuf> {
    let out = repo.converted(list, ty);
    // Another process may have done it while this one waited for the lock.
    if out.is_file() {
        return Ok(out);
    }
    cache::create_folder(out.parent().context("a folder")?)?;
    let bar = ui::byte_bar(0, "converting");
    let progress = |p: convert::Progress| {
        bar.set_length(p.total);
        bar.set_position(p.done);
    };
    let options = convert::Options { file_type: ty, progress: Some(&progress), ..Default::default() };
    let outcome = convert::convert(&repo.files(list), &out, &options);
    bar.finish_and_clear();
    for warning in outcome?.warnings {
        note(format_args!("warning: {warning}"));
    }
    Ok(out)
}

/// The error where neither the hub nor the cache has it.
fn missing(error: anyhow::Error, repo: &Repo, name: &HubName, settings: &Settings) -> anyhow::Error {
    let held = match &repo.held()[..] {
        [] => "nothing".to_string(),
        files => files.join(", "),
    };
    let cache = settings.cache.display();
    error.context(format!("{PREFIX}{name} is not in the cache: {cache} holds {held} of {}", name.id()))
}
