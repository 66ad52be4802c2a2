//! Reading JSON files of strangers: capped in size, with the file's name in every error.

use crate::error::{ConvertError, Result};
use serde::de::DeserializeOwned;
use std::io::Read;
use std::path::Path;

/// No tokenizer.json known is a tenth of this.
const MAX_BYTES: u64 = 256 << 20;

/// Parses a file as JSON.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read_capped(path)?;
    serde_json::from_slice(&bytes).map_err(|source| ConvertError::Json { path: path.to_path_buf(), source })
}

/// As [`read`], or `None` where there is no such file.
pub(super) fn read_optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if exists(path)? { read(path).map(Some) } else { Ok(None) }
}

/// A text file, or `None` where there is no such file.
pub(super) fn read_text_optional(path: &Path) -> Result<Option<String>> {
    if !exists(path)? {
        return Ok(None);
    }
    String::from_utf8(read_capped(path)?)
        .map(Some)
        .map_err(|e| ConvertError::field(path, "text", "UTF-8", e.utf8_error()))
}

/// Whether there is a file; any other trouble than its absence is an error.
fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(ConvertError::io("open", path))
}

fn read_capped(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).map_err(ConvertError::io("open", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(ConvertError::io("read", path))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ConvertError::field(path, "size", format!("at most {MAX_BYTES} bytes"), "more"));
    }
    Ok(bytes)
}
