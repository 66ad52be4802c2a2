//! What a model file can get wrong.

/// A valid GGUF file that holds no model that brooklet runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A tensor is not there.
    #[error("tensor '{0}' is missing")]
    MissingTensor(String),
    /// A tensor that the architecture does not know.
    #[error("tensor '{0}' is unknown to the lfm2 architecture")]
    UnknownTensor(String),
    /// A tensor's shape does not fit the configuration.
    #[error("tensor '{name}': expected shape {expected:?}, found {found:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// From the configuration, row length first.
        expected: Vec<usize>,
        /// From the file.
        found: Vec<usize>,
    },
    /// A tensor's type cannot serve where it stands.
    #[error("tensor '{name}': expected type {expected}, found {found}")]
    Type {
        /// The tensor.
        name: String,
        /// What would do.
        expected: &'static str,
        /// From the file.
        found: brooklet_kernels::TensorType,
    },
    /// Two files whose matrices cannot stand in for each other.
    #[error("the files hold models of different shapes")]
    OtherShape,
    /// The file states something that brooklet does not compute.
    #[error("{0}")]
    Unsupported(String),
}
