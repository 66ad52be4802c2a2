//! In place of `client.rs` where brooklet is built without downloads.

use super::cache::Repo;
use super::list::{FileList, RemoteFile};
use super::name::HubName;
use super::{Settings, Unreachable};
use anyhow::Result;
use std::path::PathBuf;

/// Asks nobody.
pub(super) struct Client;

impl Client {
    pub(super) fn new(_: &Settings) -> Result<Client> {
        Ok(Client)
    }

    pub(super) fn list(&self, _: &HubName) -> Result<FileList> {
        Err(unreachable().into())
    }

    pub(super) fn file(&self, _: &Repo, _: &FileList, _: &RemoteFile, _: &HubName) -> Result<PathBuf> {
        Err(unreachable().into())
    }
}

fn unreachable() -> Unreachable {
    Unreachable {
        why: "this brooklet was built without downloads".into(),
        hint: "`cargo install --path tools --features pull` builds it with them and needs a C compiler; or download \
               the file by other means and give its path"
            .into(),
    }
}
