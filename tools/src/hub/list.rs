//! The files of a repository at one commit, as the hub lists them.

use super::name::is_plain;
use crate::terminal::printable;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most files that a list may hold.
const MAX_FILES: usize = 20_000;

/// The files of a repository at one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileList {
    /// The commit's id, 40 hexadecimal digits.
    pub commit: String,
    /// The files at the top of the repository whose names brooklet takes.
    pub files: Vec<RemoteFile>,
    /// The names of all others.
    pub others: Vec<String>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteFile {
    /// Its name: letters, digits, `.`, `_`, `-`; no folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// What its content must hash to.
    pub digest: Digest,
}

/// The hash of a file's content, in small hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Digest {
    /// Of large files (LFS).
    Sha256(String),
    /// Of the others: git's id, a SHA-1 over `blob SIZE\0` and the content.
    GitBlob(String),
}

impl Digest {
    /// The digits.
    pub fn hex(&self) -> &str {
        match self {
            Digest::Sha256(hex) | Digest::GitBlob(hex) => hex,
        }
    }
}

/// `/api/models/ORG/REPO/revision/REVISION?blobs=true`, as far as it is read.
#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl FileList {
    /// Reads the hub's answer.
    ///
    /// # Errors
    /// It is no such list; a commit, digest or size that is none; a name that comes twice; too many files.
    pub fn from_hub(json: &[u8]) -> Result<FileList> {
        let answer: Answer = serde_json::from_slice(json).context("the list of files does not parse")?;
        ensure!(
            is_hex(&answer.sha, 40),
            "the list of files: expected a commit's id, found '{}'",
            shown(&answer.sha)
        );
        let count = answer.siblings.len();
        ensure!(count <= MAX_FILES, "the list of files: expected at most {MAX_FILES}, found {count}");
        let mut list = FileList { commit: answer.sha, files: Vec::new(), others: Vec::new() };
        let mut seen = BTreeSet::new();
        for sibling in answer.siblings {
            if !is_plain(&sibling.rfilename) {
                list.others.push(shown(&sibling.rfilename));
                continue;
            }
            let file = sibling.checked()?;
            // Some file systems take names that differ in case for one.
            ensure!(seen.insert(file.name.to_lowercase()), "the list of files holds {} twice", file.name);
            list.files.push(file);
        }
        Ok(list)
    }

    /// Whether this can be the list of the commit, and names nothing outside its folder: it was stored where others write.
    pub fn is_sound(&self, commit: &str) -> bool {
        let is_digest = |digest: &Digest| match digest {
            Digest::Sha256(hex) => is_hex(hex, 64),
            Digest::GitBlob(hex) => is_hex(hex, 40),
        };
        self.commit == commit && self.files.iter().all(|file| is_plain(&file.name) && is_digest(&file.digest))
    }

    /// The file of this name.
    pub fn get(&self, name: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

impl Sibling {
    fn checked(self) -> Result<RemoteFile> {
        let name = self.rfilename;
        let file = match (self.lfs, self.blob_id, self.size) {
            (Some(lfs), _, _) if is_hex(&lfs.sha256, 64) => {
                RemoteFile { name, size: lfs.size, digest: Digest::Sha256(lfs.sha256) }
            }
            (None, Some(id), Some(size)) if is_hex(&id, 40) => {
                RemoteFile { name, size, digest: Digest::GitBlob(id) }
            }
            _ => bail!("the list of files: {name} has no size or no digest that brooklet knows"),
        };
        // The position in a file is an i64 for the system.
        ensure!(file.size <= i64::MAX as u64, "the list of files: {} has {} bytes", file.name, file.size);
        Ok(file)
    }
}

pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A stranger's text, short and fit to print.
pub(super) fn shown(text: &str) -> String {
    printable(&text.chars().take(100).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(siblings: &str) -> Result<FileList> {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        FileList::from_hub(format!(r#"{{"id":"a/b","sha":"{sha}","siblings":[{siblings}]}}"#).as_bytes())
    }

    #[test]
    fn names_that_leave_the_folder_are_kept_apart() {
        let blob = r#""size":1,"blobId":"0123456789abcdef0123456789abcdef01234567""#;
        let bad = [
            "../x.gguf",
            "/etc/passwd",
            "a/b.gguf",
            "..",
            ".x",
            "a\\b",
            "c:x",
            "a b",
            "\\u001b[2J",
            "a\\u0000",
        ];
        for name in bad {
            let name = name.replace("a\\b", "a\\\\b");
            let list = list(&format!(r#"{{"rfilename":"{name}",{blob}}}"#)).unwrap();
            assert!(list.files.is_empty() && list.others.len() == 1, "{name}");
            assert!(!list.others[0].contains(char::is_control));
        }
        assert_eq!(list(&format!(r#"{{"rfilename":"config.json",{blob}}}"#)).unwrap().files.len(), 1);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let sha256 = "0".repeat(64);
        let blob = r#""size":1,"blobId":"0123456789abcdef0123456789abcdef01234567""#;
        for bad in [
            r#"{"rfilename":"a"}"#.to_string(),
            r#"{"rfilename":"a","size":1,"blobId":"../../x"}"#.to_string(),
            format!(r#"{{"rfilename":"a","lfs":{{"sha256":"{}","size":1}}}}"#, "g".repeat(64)),
            format!(r#"{{"rfilename":"a","lfs":{{"sha256":"{sha256}","size":18446744073709551615}}}}"#),
            format!(r#"{{"rfilename":"a","lfs":{{"sha256":"{sha256}","size":-1}}}}"#),
            format!(r#"{{"rfilename":"a",{blob}}},{{"rfilename":"A",{blob}}}"#),
        ] {
            assert!(list(&bad).is_err(), "{bad}");
        }
        assert!(FileList::from_hub(br#"{"sha":"../../..","siblings":[]}"#).is_err());
        assert!(FileList::from_hub(br#"{"sha":"0123"#).is_err());
    }
}
