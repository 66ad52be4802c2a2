//! Hugging Face checkpoints and float GGUF files to GGUF files of any type, streamed.
//!
//! [`convert`] writes what llama.cpp's `convert_hf_to_gguf.py` and `llama-quantize` would: the same keys,
//! names, shapes, tokenizer and tensor types. [`quantize`] starts from a GGUF file instead.
//!
//! Everything in a checkpoint comes from strangers: sizes are capped before they are allocated, names are
//! never followed out of the directory, and what is unknown and matters is an error that names it.

mod file_type;
mod generation;
mod hf_config;
mod hf_tokenizer;
mod json;
mod lora;
mod metadata;
pub mod mixture;
mod pipeline;
mod post_processor;
mod quantize;
mod safetensors;
mod template;

pub use crate::error::{ConvertError, Result};
pub use file_type::{Choice, FileType};
pub use hf_config::HfConfig;
pub use hf_tokenizer::{HfTokenizer, LFM2_REGEX};
pub use lora::{Adapter, AdapterConfig};
pub use quantize::{Rounding, quantize, quantize_with, roundings, smallest};
pub use safetensors::{Checkpoint, Tensor};

pub(crate) use hf_tokenizer::byte_alphabet;

use crate::quality::imatrix::Imatrix;
use brooklet::gguf::{GgufWriter, TensorPlan, Value as Gguf};
use brooklet::model::tensors::{Role, TensorSpec, specs};
use brooklet::model::{Config, LayerKind};
use brooklet_kernels::TensorType;
use pipeline::{Job, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Types of matrices, by their names in the file.
pub type Types = BTreeMap<String, TensorType>;

/// How to convert.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The mixture of tensor types.
    pub file_type: FileType,
    /// Types of single matrices, by their names in the file; the mixture decides the others.
    pub types: Option<&'a Types>,
    /// What weighs the errors of the columns of matrices.
    pub imatrix: Option<&'a Imatrix>,
    /// Whether to search longer for small errors. With an importance matrix, that is done anyway.
    pub search: bool,
    /// Directories of LoRA adapters, merged one after the other. For [`convert`] only.
    pub lora: &'a [PathBuf],
    /// What the scales of the adapters are multiplied by.
    pub lora_scale: f32,
    /// Called from time to time with the bytes read so far.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    /// When this turns true the conversion ends with [`ConvertError::Cancelled`].
    pub cancel: Option<&'a AtomicBool>,
}

impl Default for Options<'_> {
    /// Q4_0, without a word.
    fn default() -> Self {
        Options {
            file_type: FileType::Q4_0,
            types: None,
            imatrix: None,
            search: false,
            lora: &[],
            lora_scale: 1.0,
            progress: None,
            cancel: None,
        }
    }
}

impl Options<'_> {
    fn cancelled(&self) -> bool {
        self.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }

    /// The type of the matrix `name` with rows of `row_len` elements.
    fn matrix(&self, choice: &Choice, name: &str, row_len: usize) -> TensorType {
        let own = self.types.and_then(|types| types.get(name)).copied();
        own.unwrap_or_else(|| choice.matrix(name, row_len))
    }

    /// `general.file_type` of a file of these tensors.
    fn file_type_id(&self, jobs: &[Job]) -> u32 {
        if self.types.is_none() {
            return self.file_type.id();
        }
        let mut weights = BTreeMap::<_, usize>::new();
        for job in jobs {
            *weights.entry(job.plan.ty).or_default() += job.elements();
        }
        let most = weights.into_iter().max_by_key(|(_, n)| *n);
        most.map_or(self.file_type.id(), |(ty, _)| file_type::id_of(ty))
    }
}

/// How far a conversion is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of tensor data read.
    pub done: u64,
    /// Bytes of tensor data in all.
    pub total: u64,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// Tensors, elements and bytes by type.
    pub types: BTreeMap<TensorType, TypeCount>,
    /// Bytes of tensor data read.
    pub bytes_in: u64,
    /// Bytes of tensor data written.
    pub bytes_out: u64,
    /// Elements of all tensors.
    pub params: u64,
    /// Tensors that were on a Q4_0 grid, as training that knows of the quantization leaves them: every weight
    /// comes back from Q4_0 as it was.
    pub kept: usize,
    /// How long it took.
    pub time: Duration,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What a file holds of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeCount {
    /// Tensors.
    pub tensors: usize,
    /// Their elements.
    pub params: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Report {
    /// Bits of tensor data an element.
    pub fn bits_per_weight(&self) -> f64 {
        self.bytes_out as f64 * 8.0 / self.params as f64
    }

    fn new(path: &Path, jobs: &[Job], since: Instant, warnings: Vec<String>) -> Report {
        let mut types = BTreeMap::<_, TypeCount>::new();
        for job in jobs {
            let count = types.entry(job.plan.ty).or_default();
            count.tensors += 1;
            count.params += job.elements() as u64;
            count.bytes += job.output_bytes();
        }
        Report {
            path: path.to_path_buf(),
            bytes_in: jobs.iter().map(Job::input_bytes).sum(),
            bytes_out: types.values().map(|c| c.bytes).sum(),
            kept: jobs.iter().filter(|job| job.kept()).count(),
            params: types.values().map(|c| c.params).sum(),
            types,
            time: since.elapsed(),
            warnings,
        }
    }
}

/// Converts the LFM2 checkpoint in the directory `dir` to the GGUF file `out`, which is replaced if it is
/// there. The file appears when it is complete; a failed conversion leaves nothing.
///
/// # Errors
/// Anything in the checkpoint that is missing, damaged, or not what brooklet computes; a file that cannot
/// be read or written.
pub fn convert(dir: &Path, out: &Path, options: &Options) -> Result<Report> {
    let start = Instant::now();
    let mut config = HfConfig::read(dir)?;
    let checkpoint = Checkpoint::open(dir)?;
    let mut warnings = Vec::new();
    if !config.unknown.is_empty() {
        let fields = config.unknown.join(", ");
        warnings.push(format!(
            "config.json has fields that brooklet does not know: {}",
            crate::error::short(&fields)
        ));
    }
    take_ffn_width(&checkpoint, &mut config.model, &mut warnings);

    let adapters: Vec<Adapter> =
        options.lora.iter().map(|dir| Adapter::open(dir, options.lora_scale)).collect::<Result<_>>()?;
    let tensors = find_tensors(&checkpoint, &config, &mut warnings)?;
    let tensors = lora::apply(&adapters, tensors, &config.model, &mut warnings)?;
    let tied = tensors.iter().all(|found| !found.spec.optional);
    let choice = Choice { file_type: options.file_type, tied, gqa: gqa(&config.model) };
    let jobs: Vec<Job> = tensors
        .into_iter()
        .map(|found| {
            let spec = found.spec;
            let ty = match spec.role {
                Role::Float => TensorType::F32,
                Role::Matrix => options.matrix(&choice, &spec.gguf, spec.shape[0]),
            };
            Ok(Job {
                weights: pipeline::weights(options, &spec.gguf, ty, spec.shape[0])?,
                feedback: None,
                plan: TensorPlan { ty, name: spec.gguf, shape: spec.shape },
                path: found.checkpoint.path_of(found.tensor).to_path_buf(),
                name: found.name,
                source: Source::Checkpoint(found.checkpoint, found.tensor, found.ty),
                steps: found.steps,
                changed: Default::default(),
            })
        })
        .collect::<Result<_>>()?;
    check_output(out, checkpoint.paths().chain(adapters.iter().flat_map(Adapter::paths)))?;

    let generation = generation::Generation::read(dir)?;
    let tokenizer = HfTokenizer::read(dir, config.model.vocab_size, &config.token_ids, &generation.eos)?;
    warnings.extend(tokenizer.warnings.iter().cloned());

    let mut writer = GgufWriter::new();
    writer.set("general.architecture", Gguf::String("lfm2"));
    writer.set("general.type", Gguf::String("model"));
    generation.write(&mut writer);
    let params = jobs.iter().map(|job| job.elements() as u64).sum();
    metadata::write(&mut writer, dir, config.name.as_deref(), params)?;
    write_shape(&mut writer, &config);
    writer.set("general.file_type", Gguf::U32(options.file_type_id(&jobs)));
    writer.set("general.quantization_version", Gguf::U32(QUANTIZATION_VERSION));
    lora::write(&mut writer, &adapters);
    tokenizer.write(&mut writer);
    if let Some(imatrix) = options.imatrix {
        imatrix.write_keys(&mut writer);
    }

    let plans: Vec<TensorPlan> = jobs.iter().map(|job| job.plan.clone()).collect();
    pipeline::run(&jobs, writer.create(out, &plans)?, options)?;
    Ok(Report::new(out, &jobs, start, warnings))
}

/// ggml's number for the layout of its quantized blocks.
const QUANTIZATION_VERSION: u32 = 2;

/// The width of the feed-forward is w1's, whatever the config makes of it.
fn take_ffn_width(checkpoint: &Checkpoint, model: &mut Config, warnings: &mut Vec<String>) {
    let w1 = checkpoint.get("model.layers.0.feed_forward.w1.weight").map(|t| &t.shape[..]);
    // Of another rank or empty, it fails the check against the table.
    if let Some(&[rows, _]) = w1
        && rows > 0
    {
        if rows != model.intermediate_size {
            warnings.push(format!(
                "feed-forward width: config.json makes it {}, the tensors are {rows} wide; the tensors count",
                model.intermediate_size
            ));
        }
        model.intermediate_size = rows;
    }
}

/// A tensor of the table, where its data lies, and what adapters do to it.
struct Found<'a> {
    spec: TensorSpec,
    checkpoint: &'a Checkpoint,
    tensor: &'a Tensor,
    ty: TensorType,
    /// The tensor's name in `checkpoint`.
    name: String,
    steps: Vec<lora::Step<'a>>,
}

/// Every tensor of the table with its data; anything else in the checkpoint is an error.
fn find_tensors<'a>(
    checkpoint: &'a Checkpoint,
    config: &HfConfig,
    warnings: &mut Vec<String>,
) -> Result<Vec<Found<'a>>> {
    let mut unknown: BTreeSet<&str> = checkpoint.names().collect();
    let mut found = Vec::new();
    let mut embedding = None;
    for spec in specs(&config.model) {
        unknown.remove(spec.hf.as_str());
        if spec.optional && config.tied && checkpoint.get(&spec.hf).is_none() {
            continue;
        }
        let (tensor, ty) = checkpoint.require(&spec.hf, &spec.hf_shape)?;
        if spec.optional && config.tied {
            // As transformers: a head that is stored beside a tied embedding counts only if it differs.
            if let Some(embedding) = embedding
                && same_data((checkpoint, embedding), (checkpoint, tensor))?
            {
                continue;
            }
            warnings.push(format!(
                "config.json ties the output head to the embedding, but {} differs from it: it is kept",
                spec.hf
            ));
        }
        embedding.get_or_insert(tensor);
        found.push(Found { name: spec.hf.clone(), spec, checkpoint, tensor, ty, steps: Vec::new() });
    }
    match unknown.first() {
        None => Ok(found),
        Some(name) => {
            let path = checkpoint.get(name).map_or(checkpoint.dir(), |t| checkpoint.path_of(t));
            Err(ConvertError::tensor(path, *name, "only tensors of LFM2", "an unknown one"))
        }
    }
}

/// Whether two tensors hold the same bytes of the same type.
fn same_data((left, a): (&Checkpoint, &Tensor), (right, b): (&Checkpoint, &Tensor)) -> Result<bool> {
    const CHUNK: usize = 1 << 20;
    if a.ty != b.ty || a.len() != b.len() {
        return Ok(false);
    }
    let (mut x, mut y) = (vec![0; CHUNK], vec![0; CHUNK]);
    for offset in (0..a.len()).step_by(CHUNK) {
        let n = CHUNK.min((a.len() - offset) as usize);
        left.read_at(a, offset, &mut x[..n])?;
        right.read_at(b, offset, &mut y[..n])?;
        if x[..n] != y[..n] {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Query heads a key/value head, a layer; 0 without attention.
fn gqa(model: &Config) -> Vec<usize> {
    let per_layer = |kind: &LayerKind| match kind {
        LayerKind::ShortConv => 0,
        LayerKind::Attention { num_kv_heads } => model.num_heads / num_kv_heads,
    };
    model.layers.iter().map(per_layer).collect()
}

/// Sets `lfm2.*`.
fn write_shape(writer: &mut GgufWriter, config: &HfConfig) {
    let model = &config.model;
    // Capped at 2^30 when the config was read.
    let mut set = |key: &str, n: usize| writer.set(&format!("lfm2.{key}"), Gguf::U32(n as u32));
    set("block_count", model.layers.len());
    set("context_length", model.context_length);
    set("embedding_length", model.hidden_size);
    set("feed_forward_length", model.intermediate_size);
    set("attention.head_count", model.num_heads);
    if config.states_head_dim {
        set("attention.key_length", model.head_dim);
        set("attention.value_length", model.head_dim);
    }
    set("vocab_size", model.vocab_size);
    set("shortconv.l_cache", model.conv_kernel);
    let kv_heads: Vec<i32> = model
        .layers
        .iter()
        .map(|kind| match kind {
            LayerKind::ShortConv => 0,
            LayerKind::Attention { num_kv_heads } => *num_kv_heads as i32,
        })
        .collect();
    writer.set_i32s("lfm2.attention.head_count_kv", &kv_heads);
    writer.set("lfm2.rope.freq_base", Gguf::F32(model.rope_theta));
    writer.set("lfm2.attention.layer_norm_rms_epsilon", Gguf::F32(model.norm_eps));
}

/// Refuses to write over an input.
///
/// # Errors
/// `out` is one of the inputs.
pub fn check_output<'a>(out: &Path, inputs: impl Iterator<Item = &'a Path>) -> Result<()> {
    let Ok(target) = out.canonicalize() else { return Ok(()) };
    for input in inputs {
        if input.canonicalize().is_ok_and(|i| i == target) {
            return Err(ConvertError::SameFile { path: out.to_path_buf() });
        }
    }
    Ok(())
}
