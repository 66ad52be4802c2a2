//! Files that appear under their name only when they are complete.

use crate::system::LARGE_PAGE;
use crate::{Error, Result};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes in pieces of [`LARGE_PAGE`].
#[derive(Debug)]
pub(crate) struct Pieces {
    file: File,
    /// Less than a piece.
    rest: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(LARGE_PAGE - self.rest.len());
        self.rest.extend_from_slice(&bytes[..n]);
        if self.rest.len() == LARGE_PAGE {
            self.flush()?;
        }
        Ok(n)
    }

    /// For the end: pieces after it do not lie at multiples of their size.
    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.rest)?;
        self.rest.clear();
        Ok(())
    }
}

/// Writes a file that appears under its name, or replaces the one there, only when it is complete.
///
/// # Errors
/// The system's; what stands at the name is no regular file.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let mut temporary = Temporary::create(path)?;
    temporary.file.write_all(content).map_err(Error::io("write", path))?;
    temporary.persist()
}

/// A file that is removed when dropped, unless it was persisted.
#[derive(Debug)]
pub(crate) struct Temporary {
    pub(crate) file: Pieces,
    path: PathBuf,
    pub(crate) destination: PathBuf,
}

impl Temporary {
    /// Makes `.NAME.PID.tmp` beside the destination, so that a rename stays within one file system.
    pub(crate) fn create(destination: &Path) -> Result<Temporary> {
        let refuse = |kind: io::ErrorKind, why: &'static str| {
            Err(Error::io("write", destination)(io::Error::new(kind, why)))
        };
        let Some(name) = destination.file_name() else {
            return refuse(io::ErrorKind::InvalidInput, "it names no file");
        };
        match fs::metadata(destination) {
            Ok(found) if found.is_dir() => return refuse(io::ErrorKind::IsADirectory, "it is a directory"),
            // Renaming onto a device or pipe would replace it.
            Ok(found) if !found.is_file() => {
                return refuse(io::ErrorKind::InvalidInput, "it is not a regular file");
            }
            _ => {}
        }
        // Where a killed process of the same id left its file behind, a number is added.
        let mut attempt = 0;
        loop {
            let mut temporary = OsString::from(".");
            temporary.push(name);
            temporary.push(match attempt {
                0 => format!(".{}.tmp", std::process::id()),
                n => format!(".{}.{n}.tmp", std::process::id()),
            });
            let path = destination.with_file_name(temporary);
            match File::create_new(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
                Err(e) => return Err(Error::io("create", &path)(e)),
                Ok(file) => {
                    let file = Pieces { file, rest: Vec::with_capacity(LARGE_PAGE) };
                    return Ok(Temporary { file, path, destination: destination.to_path_buf() });
                }
            }
        }
    }

    /// Gives the file its name, complete and on disk.
    pub(crate) fn persist(mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("write", &self.destination))?;
        self.file.file.sync_all().map_err(Error::io("write", &self.destination))?;
        fs::rename(&self.path, &self.destination).map_err(Error::io("rename onto", &self.destination))?;
        self.path.clear();
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // A failure here has nowhere to go, and the error that led here is the one to report.
            let _ = fs::remove_file(&self.path);
        }
    }
}
