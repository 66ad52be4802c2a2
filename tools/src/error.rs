//! What can go wrong between a checkpoint and a GGUF file.

use std::path::{Path, PathBuf};

/// A conversion that failed. Every message names the file, the thing in it, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "open", "read".
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The directory holds something else than an LFM2 language model.
    #[error("{} is no LFM2 checkpoint: {reason}", path.display())]
    NotLfm2 {
        /// The directory or file.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// A JSON file that does not parse or has not the shape that it should have.
    #[error("{}: {}", path.display(), short(&source.to_string()))]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A value in a file that is missing, of the wrong kind or out of range.
    #[error("{}: {field}: expected {expected}, found {found}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The file states something that brooklet does not compute.
    #[error("{}: {what} is not supported", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The setting and its value.
        what: String,
    },
    /// A safetensors file whose header lies or is damaged.
    #[error("{}: {reason}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor that cannot be used.
    #[error("{}: tensor '{name}': expected {expected}, found {found}", path.display())]
    Tensor {
        /// The file or directory.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Reading or writing the GGUF file failed.
    #[error(transparent)]
    Gguf(#[from] brooklet::Error),
    /// It was asked to stop.
    #[error("cancelled; nothing was written")]
    Cancelled,
    /// Input and output are the same file.
    #[error("{} is both input and output: name another output with -o", path.display())]
    SameFile {
        /// The file.
        path: PathBuf,
    },
}

/// The result of a conversion step.
pub type Result<T, E = ConvertError> = std::result::Result<T, E>;

impl ConvertError {
    /// For `map_err` on an operation on `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ConvertError {
        let path = path.to_path_buf();
        move |source| ConvertError::Io { action, path, source }
    }

    /// A field that is not what it should be.
    pub(crate) fn field(
        path: &Path,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> ConvertError {
        ConvertError::Field {
            path: path.to_path_buf(),
            field: short(&field.into()),
            expected: short(&expected.into()),
            found: short(&found.to_string()),
        }
    }

    /// A tensor that is not what it should be.
    pub(crate) fn tensor(
        path: &Path,
        name: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> ConvertError {
        ConvertError::Tensor {
            path: path.to_path_buf(),
            name: short(&name.into()),
            expected: short(&expected.into()),
            found: short(&found.into()),
        }
    }

    /// A setting that changes the computation.
    pub(crate) fn unsupported(path: &Path, what: impl Into<String>) -> ConvertError {
        ConvertError::Unsupported { path: path.to_path_buf(), what: short(&what.into()) }
    }
}

/// At most 120 characters of a stranger's text, fit to print.
pub(crate) fn short(text: &str) -> String {
    let mut chars = text.chars();
    let shown =
        chars.by_ref().take(120).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    let mut out: String = shown.collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}
