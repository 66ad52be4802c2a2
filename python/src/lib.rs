//! The native half of brooklet for Python; `python/brooklet/__init__.py` is the half that people see.

mod convert;
mod model;

use brooklet_tools::convert::ConvertError;
use pyo3::exceptions::{PyException, PyFileNotFoundError, PyOSError, PyPermissionError, PyValueError};
use pyo3::prelude::*;
use std::io::ErrorKind;

pyo3::create_exception!(
    brooklet,
    BrookletError,
    PyException,
    "A file that is no model, or a model that cannot do what was asked; the message says which and why."
);

#[pymodule]
mod _brooklet {
    #[pymodule_export]
    use super::BrookletError;
    #[pymodule_export]
    use super::convert::{convert, quantize};
    #[pymodule_export]
    use super::model::{Generation, Model};
    #[pymodule_export]
    const __VERSION__: &str = env!("CARGO_PKG_VERSION");
}

/// The library's error as Python's, in the library's words.
fn to_py(error: impl Into<anyhow::Error>) -> PyErr {
    let error = error.into();
    let words = brooklet_tools::hint::message(&error);
    if let Some(io) = error.chain().find_map(|e| e.downcast_ref::<std::io::Error>()) {
        return match io.kind() {
            ErrorKind::NotFound => PyFileNotFoundError::new_err(words),
            ErrorKind::PermissionDenied => PyPermissionError::new_err(words),
            _ => PyOSError::new_err(words),
        };
    }
    if matches!(error.downcast_ref(), Some(ConvertError::NotLfm2 { path, .. }) if !path.exists()) {
        return PyFileNotFoundError::new_err(words);
    }
    match error.chain().find_map(|e| e.downcast_ref::<brooklet::Error>()) {
        Some(brooklet::Error::Session(_)) => PyValueError::new_err(words),
        _ => BrookletError::new_err(words),
    }
}
