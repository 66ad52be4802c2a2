//! One error for the whole library; each part has its own kind.

use std::path::{Path, PathBuf};

/// What can go wrong, by the part that found it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "open", "read", "write".
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is no valid GGUF.
    #[error(transparent)]
    Gguf(#[from] crate::gguf::GgufError),
    /// The file is valid, but its tokenizer or chat template is not.
    #[error(transparent)]
    Tokenizer(#[from] crate::tokenizer::TokenizerError),
    /// The file is valid, but holds no model that brooklet runs.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// A session cannot do what was asked.
    #[error(transparent)]
    Session(#[from] crate::session::SessionError),
    /// `BROOKLET_ISA` names an unknown kernel set.
    #[error(transparent)]
    Isa(#[from] brooklet_kernels::UnknownIsa),
}

impl Error {
    /// For `map_err` on an operation on `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
