//! Where downloads lie. docs/hub.md describes the layout.

use super::list::{FileList, RemoteFile, is_hex};
use super::name::HubName;
use crate::convert::FileType;
use crate::terminal::note;
use anyhow::{Context, Result, bail};
use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Most bytes of a stored list; the hub's own is capped too.
const MAX_LIST: u64 = 32 << 20;

/// A repository's folder.
pub(super) struct Repo {
    folder: PathBuf,
    /// `ORG/REPO`.
    id: String,
    /// The folder of a commit's files has this name, since the converter takes a model's name from its folder.
    repo: String,
}

impl Repo {
    pub(super) fn new(cache: &Path, name: &HubName) -> Repo {
        let folder = cache.join("hub").join(&name.org).join(&name.repo);
        Repo { folder, id: name.id(), repo: name.repo.clone() }
    }

    /// The folder of a commit's files.
    pub(super) fn files(&self, list: &FileList) -> PathBuf {
        self.folder.join(&list.commit).join(&self.repo)
    }

    /// Where a file lies when it is complete.
    pub(super) fn file(&self, list: &FileList, file: &RemoteFile) -> PathBuf {
        self.files(list).join(&file.name)
    }

    /// Whether a file is complete: it got its name only then.
    pub(super) fn holds(&self, list: &FileList, file: &RemoteFile) -> bool {
        fs::metadata(self.file(list, file)).is_ok_and(|m| m.is_file() && m.len() == file.size)
    }

    /// Where a file lies while it is not complete: by its content, so that what is left of another is never gone on with.
    pub(super) fn partial(&self, file: &RemoteFile) -> PathBuf {
        self.folder.join("partial").join(file.digest.hex())
    }

    /// The GGUF file made of the checkpoint.
    pub(super) fn converted(&self, list: &FileList, ty: FileType) -> PathBuf {
        let name = format!("{}-{}.gguf", self.repo, ty.name().to_uppercase());
        self.folder.join(&list.commit).join("converted").join(name)
    }

    /// The list of the commit that a revision was when the hub was last asked, if it ever was.
    ///
    /// # Errors
    /// What is stored cannot be read.
    pub(super) fn list(&self, revision: &str) -> Result<Option<FileList>> {
        let stored = |path: &Path| -> Result<Option<Vec<u8>>> {
            if !path.exists() {
                return Ok(None);
            }
            let mut text = Vec::new();
            let read = File::open(path).and_then(|file| file.take(MAX_LIST).read_to_end(&mut text));
            read.with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Some(text))
        };
        let Some(commit) = stored(&self.revision(revision))? else { return Ok(None) };
        let commit = String::from_utf8_lossy(&commit).trim().to_string();
        if !is_hex(&commit, 40) {
            return Ok(None);
        }
        let path = self.list_path(&commit);
        let Some(text) = stored(&path)? else { return Ok(None) };
        let list = serde_json::from_slice::<FileList>(&text).ok().filter(|list| list.is_sound(&commit));
        match list {
            Some(list) => Ok(Some(list)),
            None => bail!("{} is damaged: remove it, and it is fetched again", path.display()),
        }
    }

    /// Remembers a list, and that the revision is its commit.
    pub(super) fn store(&self, revision: &str, list: &FileList) -> Result<()> {
        for (path, text) in [
            (self.list_path(&list.commit), serde_json::to_string(list)?),
            (self.revision(revision), list.commit.clone()),
        ] {
            create_folder(path.parent().context("a folder")?)?;
            brooklet::write_whole(&path, (text + "\n").as_bytes())?;
        }
        Ok(())
    }

    fn list_path(&self, commit: &str) -> PathBuf {
        self.folder.join(commit).join("files.json")
    }

    fn revision(&self, revision: &str) -> PathBuf {
        self.folder.join("revisions").join(revision.replace('/', "%2F"))
    }

    /// The commits in the cache.
    fn commits(&self) -> impl Iterator<Item = String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|e| e.file_name().into_string().ok()).filter(|name| is_hex(name, 40))
    }

    /// GGUF files in the cache, for people.
    pub(super) fn held(&self) -> Vec<String> {
        let mut names = Vec::new();
        for commit in self.commits() {
            for folder in [&*self.repo, "converted"] {
                let entries =
                    fs::read_dir(self.folder.join(&commit).join(folder)).into_iter().flatten().flatten();
                names.extend(entries.filter_map(|e| e.file_name().into_string().ok()));
            }
        }
        names.retain(|name| name.ends_with(".gguf") && !name.starts_with('.'));
        names.sort();
        names.dedup();
        names
    }

    /// Another commit's file with the same content gets a second name.
    pub(super) fn link(&self, list: &FileList, file: &RemoteFile) -> bool {
        let same = |commit: String| -> Option<PathBuf> {
            let text = fs::read(self.list_path(&commit)).ok()?;
            let other =
                serde_json::from_slice::<FileList>(&text).ok().filter(|list| list.is_sound(&commit))?;
            let twin = other.files.iter().find(|f| f.digest == file.digest && self.holds(&other, f))?;
            Some(self.file(&other, twin))
        };
        // Not every file system has links: then it is downloaded.
        self.commits()
            .filter(|commit| *commit != list.commit)
            .filter_map(same)
            .any(|twin| fs::hard_link(twin, self.file(list, file)).is_ok())
    }

    /// Removes what killed processes left and nothing will go on with. The lock is held.
    pub(super) fn clean(&self, list: &FileList) -> Result<()> {
        let wanted = |name: &str| list.files.iter().any(|file| file.digest.hex() == name);
        let converted = self.folder.join(&list.commit).join("converted");
        for (folder, is_left) in [
            (self.folder.join("partial"), (&|name: &str| !wanted(name)) as &dyn Fn(&str) -> bool),
            (converted, &|name: &str| name.starts_with('.') && name.ends_with(".tmp")),
        ] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_name().to_str().is_some_and(is_left) {
                    let path = entry.path();
                    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Waits until no other process writes in this folder; the lock ends with the file that is returned.
    ///
    /// # Errors
    /// The folder cannot be made or locked.
    pub(super) fn lock(&self) -> Result<File> {
        create_folder(&self.folder)?;
        let path = self.folder.join("lock");
        let refused = || format!("cannot lock {}", path.display());
        let file = File::options().create(true).append(true).open(&path).with_context(refused)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                note(format_args!("waiting for another brooklet that fetches {}", self.id));
                file.lock().with_context(refused)?;
            }
            outcome => outcome.with_context(refused)?,
        }
        Ok(file)
    }
}

/// Makes a folder and those above it.
pub(super) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))
}
