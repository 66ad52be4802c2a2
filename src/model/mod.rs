//! The LFM2 model: configuration, tensor table, weights and the forward pass.

mod attention;
mod config;
mod decode;
mod error;
mod forward;
mod kv;
mod rope;
mod shortconv;
mod state;
pub mod tensors;
mod weights;
mod workers;

pub use config::{ARCHITECTURE, Config, LayerKind};
pub use error::ModelError;
pub use forward::{Inputs, Observer};
pub(crate) use forward::{Scratch, Segment};
pub(crate) use state::{LayerState, State};
pub(crate) use workers::Workers;

use crate::{Gguf, Result};
use brooklet_kernels::{Kernels, Tokens};
use std::path::Path;
use std::sync::Arc;
use weights::Weights;

/// An LFM2 model over a mapped file. Immutable; share it in an `Arc`.
pub struct Model {
    /// The file, and any that matrices were replaced from.
    files: Vec<Gguf>,
    config: Config,
    weights: Weights,
    kernels: &'static Kernels,
}

impl Model {
    /// Opens a GGUF file and checks that it holds a model that brooklet runs, with the kernels of
    /// [`brooklet_kernels::active`].
    ///
    /// # Errors
    /// See [`Gguf::open`], [`Config::from_gguf`]; a tensor is missing, unknown or of another shape.
    pub fn open(path: &Path) -> Result<Model> {
        Model::from_gguf(Gguf::open(path)?)
    }

    /// As [`Model::open`], from an open file.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_gguf(gguf: Gguf) -> Result<Model> {
        Model::with_kernels(gguf, brooklet_kernels::active()?)
    }

    /// As [`Model::from_gguf`], with kernels of the caller's choice.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn with_kernels(gguf: Gguf, kernels: &'static Kernels) -> Result<Model> {
        let config = Config::from_gguf(&gguf)?;
        let weights = Weights::bind(&gguf, &config)?;
        Ok(Model { files: vec![gguf], config, weights, kernels })
    }

    /// The same model with the named matrices taken from another file, to see what one of them does in another type;
    /// all else, the file that [`Model::gguf`] gives too, stays.
    ///
    /// # Errors
    /// As [`Model::open`]; [`ModelError::OtherShape`] where `gguf` holds a model of another shape.
    pub fn with_matrices(mut self, gguf: Gguf, names: &[&str]) -> Result<Model> {
        let config = Config::from_gguf(&gguf)?;
        let tied = |gguf: &Gguf| gguf.tensor("output.weight").is_none();
        if config != self.config || tied(&gguf) != tied(self.gguf()) {
            return Err(ModelError::OtherShape.into());
        }
        let others = Weights::bind(&gguf, &config)?;
        self.weights.replace(others, &self.files, self.files.len(), names);
        self.files.push(gguf);
        Ok(self)
    }

    /// Starts to read the weights in the order of their use, beside the caller: a file on disk then streams in while
    /// the session is set up and computes, and the pages of one that is in memory are there when they are wanted.
    /// Where memory is shorter than the file, leave it: pages would be read to be dropped. The thread that reads ends
    /// with the model, or when it is through.
    pub fn read_ahead(self: &Arc<Self>) {
        let untied = self.gguf().tensor("output.weight").is_some();
        // Of an embedding that is not the head, a few rows are used.
        let used = |spec: &tensors::TensorSpec| !(untied && spec.gguf == "token_embd.weight");
        let (head, layers): (Vec<_>, Vec<_>) = tensors::specs(&self.config)
            .into_iter()
            .filter(used)
            .partition(|spec| !spec.gguf.starts_with("blk."));
        let model = Arc::downgrade(self);
        let read = move || {
            for spec in layers.iter().chain(&head) {
                let Some(model) = model.upgrade() else { return };
                if let Some(tensor) = model.gguf().tensor(&spec.gguf) {
                    model.gguf().read_ahead(tensor.info);
                }
            }
        };
        // Without a thread for it, pages are read when they are touched.
        let _ = std::thread::Builder::new().name("brooklet-read".into()).spawn(read);
    }

    /// The file.
    pub fn gguf(&self) -> &Gguf {
        &self.files[0]
    }

    /// The model's shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The kernels it runs on.
    pub fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    /// Tokens of a prompt that a session takes at once: [`Kernels::pass`] for the matrices of the first layer.
    pub fn pass(&self) -> usize {
        self.of_first_layer(self.kernels.pass)
    }

    /// The most tokens that are computed as few are: [`Kernels::few`] for the matrices of the first layer.
    pub fn few(&self) -> usize {
        self.of_first_layer(self.kernels.few)
    }

    fn of_first_layer(&self, tokens: Tokens) -> usize {
        let floats = self.weights.layers.first().is_some_and(|layer| !layer.mlp.gate.ty.is_quantized());
        if floats { tokens.floats } else { tokens.quantized }
    }

    /// Bytes of all tensors.
    pub fn size_bytes(&self) -> u64 {
        self.gguf().tensors().iter().map(|t| t.len as u64).sum()
    }

    /// Elements of all tensors.
    pub fn n_params(&self) -> u64 {
        self.gguf().tensors().iter().map(|t| t.shape.iter().product::<usize>() as u64).sum()
    }
}
