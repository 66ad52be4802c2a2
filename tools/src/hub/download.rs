//! One file from the hub into the cache: gone on with where it ended, checked, then named.

use super::cache::{self, Repo};
use super::client::{Answer, Client, Failure, Pauses, final_error};
use super::list::{Digest, FileList, RemoteFile, shown};
use super::name::HubName;
use crate::hint::HintExt;
use crate::ui;
use anyhow::{Context, Result, anyhow};
use brooklet::LARGE_PAGE;
use sha2::Digest as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// Bytes that count as progress: a server that sends less each time is given up after some tries.
const PROGRESS: u64 = 1 << 20;

impl Client {
    /// Downloads a file unless it is there, and returns where it lies. The repository's lock is held.
    ///
    /// # Errors
    /// The hub does not give it, or gives something else than it listed; the disk is full.
    pub(super) fn file(
        &self,
        repo: &Repo,
        list: &FileList,
        file: &RemoteFile,
        name: &HubName,
    ) -> Result<PathBuf> {
        let destination = repo.file(list, file);
        if repo.holds(list, file) {
            return Ok(destination);
        }
        cache::create_folder(&repo.files(list))?;
        if repo.link(list, file) {
            return Ok(destination);
        }
        let path = repo.partial(file);
        cache::create_folder(path.parent().context("a folder")?)?;
        let mut partial = Partial::open(path, file)?;
        let went_on = partial.len > 0;
        self.fill(&mut partial, file, &self.file_url(name, list, &file.name), name)?;
        if went_on && !partial.is_right() {
            // What was there before may have been damaged.
            partial.restart()?;
            self.fill(&mut partial, file, &self.file_url(name, list, &file.name), name)?;
        }
        if !partial.is_right() {
            fs::remove_file(&partial.path)
                .with_context(|| format!("cannot remove {}", partial.path.display()))?;
            return Err(anyhow!(
                "{}/{}: expected content of {:?}, found {}; it is removed",
                name.id(),
                file.name,
                file.digest,
                partial.hasher.hex()
            ))
            .hint(|| "try again; if it stays so, what the hub sends is not what it lists".into());
        }
        partial.file.sync_all().with_context(|| cannot_write(&partial))?;
        let renamed = fs::rename(&partial.path, &destination);
        renamed.with_context(|| format!("cannot rename onto {}", destination.display()))?;
        Ok(destination)
    }

    /// Downloads what is missing.
    fn fill(&self, partial: &mut Partial, file: &RemoteFile, url: &str, name: &HubName) -> Result<()> {
        let bar = ui::byte_bar(file.size, &file.name);
        let mut pauses = Pauses::new(self.patience);
        let mut counted = partial.len;
        while partial.len < file.size {
            let from = Some(partial.len).filter(|n| *n > 0);
            let failure = match self.get(url, from, name) {
                Ok(answer) => match partial.take(answer, file, url, &bar) {
                    Ok(()) => continue,
                    Err(failure) => failure,
                },
                Err(Failure::Range) if from.is_some() => {
                    partial.restart()?;
                    Failure::Range
                }
                Err(failure) => failure,
            };
            if partial.len >= counted.saturating_add(PROGRESS) {
                pauses.progress();
            }
            counted = partial.len;
            pauses.wait(failure, url)?;
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// A file on its way.
struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    /// Bytes written and hashed.
    len: u64,
    size: u64,
}

impl Partial {
    /// Opens what is left of an earlier run, if anything is, and hashes it.
    fn open(path: PathBuf, file: &RemoteFile) -> Result<Partial> {
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let opened = opened.with_context(|| format!("cannot open {}", path.display()))?;
        let mut partial = Partial { file: opened, hasher: Hasher::new(file), path, len: 0, size: file.size };
        let read = io::copy(&mut (&partial.file).take(file.size + 1), &mut partial.hasher);
        partial.len = read.with_context(|| format!("cannot read {}", partial.path.display()))?;
        if partial.len > file.size {
            partial.restart()?;
        }
        Ok(partial)
    }

    /// Back to nothing.
    fn restart(&mut self) -> Result<()> {
        self.hasher.restart();
        self.len = 0;
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map(drop).with_context(|| cannot_write(self))
    }

    fn is_right(&self) -> bool {
        self.len == self.size && self.hasher.is_right()
    }

    /// Writes an answer's body behind what is there, or over it where the server gives the whole file.
    fn take(
        &mut self,
        answer: Answer,
        file: &RemoteFile,
        url: &str,
        bar: &indicatif::ProgressBar,
    ) -> Result<(), Failure> {
        let changed = |what: &str, expected: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
            let url = shown(url);
            final_error(format!(
                "{url}: expected {what} {expected}, as the hub listed it, found {found}: try again"
            ))
        };
        match (&answer.linked, &file.digest) {
            ((Some(size), _), _) if *size != file.size => return Err(changed("bytes:", &file.size, size)),
            // Of an LFS file the tag is the SHA-256.
            ((_, Some(tag)), Digest::Sha256(listed)) if tag != listed => {
                return Err(changed("the digest", listed, &shown(tag)));
            }
            _ => {}
        }
        match (answer.status, answer.range) {
            (206, Some((start, whole))) if start == self.len && whole == file.size => {}
            (206, _) => {
                self.restart().map_err(Failure::Final)?;
                return Err(Failure::Range);
            }
            _ => {
                self.restart().map_err(Failure::Final)?;
                if let Some(length) = answer.length.filter(|length| *length != file.size) {
                    return Err(changed("bytes:", &file.size, &length));
                }
            }
        }
        bar.set_position(self.len);
        let (mut body, mut piece) = (bar.wrap_read(answer.body), Vec::with_capacity(LARGE_PAGE));
        while self.len < self.size {
            let room = (self.size - self.len).min(LARGE_PAGE as u64 - self.len % LARGE_PAGE as u64);
            piece.clear();
            let read = body.by_ref().take(room).read_to_end(&mut piece);
            self.file.write_all(&piece).map_err(|e| Failure::Final(self.write_error(e)))?;
            self.hasher.update(&piece);
            self.len += piece.len() as u64;
            if (piece.len() as u64) < room {
                let error = read.err().map_or(String::new(), |e| format!(": {e}"));
                let why = format!("it ends after {} of {} bytes{error}", self.len, self.size);
                return Err(Failure::Passing(why, None));
            }
        }
        Ok(())
    }

    fn write_error(&self, error: io::Error) -> anyhow::Error {
        let full = matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
        );
        let error = Err::<(), _>(anyhow::Error::new(error).context(cannot_write(self)));
        let missing = ui::human_bytes(self.size - self.len);
        match full {
            true => error.hint(|| {
                format!("{missing} more are needed there: free some space, or name another folder with BROOKLET_CACHE")
            }),
            false => error,
        }
        .unwrap_err()
    }
}

fn cannot_write(partial: &Partial) -> String {
    format!("cannot write {}", partial.path.display())
}

/// Hashes a file's content as its digest wants it.
struct Hasher {
    expected: Digest,
    size: u64,
    state: State,
}

enum State {
    Sha256(sha2::Sha256),
    Sha1(sha1::Sha1),
}

impl Hasher {
    fn new(file: &RemoteFile) -> Hasher {
        let (expected, size) = (file.digest.clone(), file.size);
        let mut hasher = Hasher { expected, size, state: State::Sha256(sha2::Sha256::new()) };
        hasher.restart();
        hasher
    }

    fn restart(&mut self) {
        self.state = match self.expected {
            Digest::Sha256(_) => State::Sha256(sha2::Sha256::new()),
            Digest::GitBlob(_) => State::Sha1(sha1::Sha1::new_with_prefix(format!("blob {}\0", self.size))),
        };
    }

    fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            State::Sha1(state) => state.update(bytes),
        }
    }

    /// The hash of what came so far.
    fn hex(&self) -> String {
        let digest = match &self.state {
            State::Sha256(state) => state.clone().finalize().to_vec(),
            State::Sha1(state) => state.clone().finalize().to_vec(),
        };
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn is_right(&self) -> bool {
        self.hex() == self.expected.hex()
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
