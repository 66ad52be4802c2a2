//! LoRA adapters as PEFT writes them, merged into the weights on their way into the file.
//!
//! The result is that of PEFT's `merge_and_unload` in float32. Where PEFT and the checkpoint tie the output
//! head to the embedding and the adapter changes only one of them, the result has both: that is what the
//! adapter computed when it was trained.

mod config;
mod merge;

pub use config::AdapterConfig;
pub use merge::Step;

use super::safetensors::{Checkpoint, Tensor};
use super::{Found, same_data};
use crate::error::{ConvertError, Result};
use brooklet::gguf::{GgufWriter, Value as Gguf};
use brooklet::model::Config;
use brooklet::model::tensors::{Role, TensorSpec, specs};
use brooklet_kernels::TensorType;
use merge::Dora;
use std::collections::BTreeMap;
use std::path::Path;

/// An adapter directory.
pub struct Adapter {
    /// adapter_config.json.
    pub config: AdapterConfig,
    /// What the directory is called.
    pub name: String,
    file: Checkpoint,
    /// What the scales of all modules are multiplied by.
    strength: f32,
}

/// A tensor of an adapter and its type.
type AdapterTensor<'a> = (&'a Tensor, TensorType);

/// What an adapter holds of one module.
#[derive(Default)]
struct Parts<'a> {
    a: Option<&'a str>,
    b: Option<&'a str>,
    embedding_a: Option<&'a str>,
    embedding_b: Option<&'a str>,
    magnitude: Option<&'a str>,
    /// The weight below the adapter, which PEFT saves of embeddings.
    base: Option<&'a str>,
    /// The whole weight.
    saved: Option<&'a str>,
}

/// The embedding and the output head, which a model may tie.
const EMBEDDING: &str = "model.embed_tokens";
const HEAD: &str = "lm_head";

impl Adapter {
    /// Opens the adapter in `dir` and checks its headers; `strength` multiplies what it adds.
    ///
    /// # Errors
    /// A file that is missing or damaged, or a setting that is not merged.
    pub fn open(dir: &Path, strength: f32) -> Result<Adapter> {
        let missing = |reason: &str| {
            Err(ConvertError::Unsupported { path: dir.to_path_buf(), what: reason.to_string() })
        };
        if !dir.join("adapter_config.json").is_file() {
            return missing("a directory without adapter_config.json, which a LoRA adapter of PEFT has,");
        }
        let config = AdapterConfig::read(dir)?;
        let path = dir.join("adapter_model.safetensors");
        if !path.is_file() {
            return missing(if dir.join("adapter_model.bin").is_file() {
                "adapter_model.bin, a pickle that could run anything (save the adapter again with safetensors),"
            } else {
                "an adapter without adapter_model.safetensors"
            });
        }
        let absolute = std::path::absolute(dir).ok();
        let name = absolute.as_deref().and_then(Path::file_name).unwrap_or(dir.as_os_str());
        let name = crate::error::short(&name.to_string_lossy());
        Ok(Adapter { config, name, file: Checkpoint::open_file(dir, path)?, strength })
    }

    /// Applies the adapter to a model's tensors: replaces sources and adds steps.
    ///
    /// # Errors
    /// A tensor of the adapter that the model has no place for, that is of another shape, or that lacks its other half.
    pub(super) fn apply<'a>(
        &'a self,
        tensors: &mut [Found<'a>],
        tied: bool,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        let mut modules = self.modules()?;
        let saved: Vec<&str> = modules.iter().filter(|(_, p)| p.saved.is_some()).map(|(m, _)| *m).collect();
        if let Some(name) = self.config.unsaved(&saved) {
            return self.refuse(name, "the tensors of what modules_to_save lists", "none");
        }
        // Tied, the weight below either's adapter is one and the same.
        let below = |module: &str| modules.get(module).and_then(|p| self.below(module, p));
        let shared = if tied { below(EMBEDDING).or(below(HEAD)) } else { None };
        let mut untouched = Vec::new();
        for found in tensors.iter_mut() {
            let module = module_of(&found.spec).to_string();
            let outer = [EMBEDDING, HEAD].contains(&module.as_str());
            let matrix = found.spec.role == Role::Matrix;
            let parts = modules.remove(module.as_str());
            let base = parts.as_ref().and_then(|p| self.below(&module, p)).or(shared.filter(|_| outer));
            if let Some(name) = base {
                found.replace(&self.file, name)?;
            }
            let targeted = matrix && self.targets(&module, outer)?;
            let Some(parts) = parts else {
                untouched.extend(targeted.then_some(module));
                continue;
            };
            if let Some(name) = parts.saved.filter(|name| Some(*name) != base) {
                found.replace(&self.file, name)?;
            }
            if let Some(step) = self.step(&found.spec, &module, &parts, targeted)? {
                found.steps.push(step);
            }
        }
        if let Some((module, parts)) = modules.first_key_value() {
            let name = parts.any().unwrap_or(module);
            return self.refuse(name, "a module that the model has", module);
        }
        if let Some(first) = untouched.first() {
            warnings.push(format!(
                "adapter {}: it has no tensors for {} of the modules that it targets, which stay as they are ({first}{})",
                self.name,
                untouched.len(),
                if untouched.len() > 1 { ", …" } else { "" }
            ));
        }
        Ok(())
    }

    /// Whether it has anything for the embedding or the output head.
    pub(super) fn touches_head(&self) -> Result<bool> {
        let modules = self.modules()?;
        Ok([EMBEDDING, HEAD].iter().any(|m| modules.contains_key(m)))
    }

    /// Whether LoRA changes a module. With `ensure_weight_tying` the config names one of the tied two.
    fn targets(&self, module: &str, outer: bool) -> Result<bool> {
        let both = outer && self.config.ensure_weight_tying;
        Ok(self.config.targets(module, !outer)?
            || both && (self.config.targets(EMBEDDING, false)? || self.config.targets(HEAD, false)?))
    }

    /// The weight below the adapter: saved beside it, or saved alone without being in `modules_to_save`.
    fn below<'a>(&self, module: &str, parts: &Parts<'a>) -> Option<&'a str> {
        parts.base.or(parts.saved.filter(|_| !self.config.saves(module)))
    }

    /// The adapter's tensors, a module.
    fn modules(&self) -> Result<BTreeMap<&str, Parts<'_>>> {
        let mut modules = BTreeMap::<&str, Parts>::new();
        for name in self.file.names() {
            let Some(path) = name.strip_prefix("base_model.model.") else {
                return self.refuse(name, "a name that begins with base_model.model.", "another");
            };
            type Slot = for<'p, 'a> fn(&'p mut Parts<'a>) -> &'p mut Option<&'a str>;
            const KINDS: [(&str, Slot); 8] = [
                (".lora_A.weight", |p| &mut p.a),
                (".lora_B.weight", |p| &mut p.b),
                (".lora_embedding_A", |p| &mut p.embedding_a),
                (".lora_embedding_B", |p| &mut p.embedding_b),
                (".lora_magnitude_vector", |p| &mut p.magnitude),
                (".lora_magnitude_vector.weight", |p| &mut p.magnitude),
                (".base_layer.weight", |p| &mut p.base),
                (".weight", |p| &mut p.saved),
            ];
            let kind = KINDS.iter().find_map(|(end, slot)| Some((path.strip_suffix(end)?, *slot)));
            let Some((module, slot)) = kind else {
                return self.refuse(name, "a weight of LoRA (lora_A, lora_B, …)", "another");
            };
            let outer = [EMBEDDING, HEAD].contains(&module);
            let parts = modules.entry(module).or_default();
            if slot(parts).replace(name).is_some() {
                return self.refuse(name, "it once", "it under two names");
            }
            if parts.saved.is_some() && !outer && !self.config.saves(module) {
                return self.refuse(name, "a module that modules_to_save lists", module);
            }
        }
        Ok(modules)
    }

    /// The LoRA pair of a module.
    fn step<'a>(
        &'a self,
        spec: &TensorSpec,
        module: &str,
        parts: &Parts<'a>,
        targeted: bool,
    ) -> Result<Option<Step<'a>>> {
        let embedding = module == EMBEDDING;
        let (a, b) = if embedding { (parts.embedding_a, parts.embedding_b) } else { (parts.a, parts.b) };
        let wrong = if embedding { parts.a.or(parts.b) } else { parts.embedding_a.or(parts.embedding_b) };
        if let Some(name) = wrong {
            let expected =
                if embedding { "lora_embedding_A and _B for an embedding" } else { "lora_A and lora_B" };
            return self.refuse(name, expected, "the other kind");
        }
        let (a, b) = match (a, b, parts.magnitude) {
            (Some(a), Some(b), _) => (a, b),
            (None, None, None) => return Ok(None),
            (None, None, Some(one)) | (Some(one), None, _) | (None, Some(one), _) => {
                return self.refuse(one, "A and B of its module", "it without them both");
            }
        };
        if spec.role != Role::Matrix {
            return self.refuse(a, "LoRA on a linear layer or an embedding", module);
        }
        if !targeted {
            return self.refuse(a, "a module that target_modules of adapter_config.json names", module);
        }
        let [out, row_len] = spec.hf_shape[..] else { return Ok(None) };
        let (rank, scale) = self.config.rank_and_scale(module)?;
        let (rows, columns) = if embedding {
            (self.require(a, &[rank, out], rank)?, self.require(b, &[row_len, rank], rank)?)
        } else {
            (self.require(b, &[out, rank], rank)?, self.require(a, &[rank, row_len], rank)?)
        };
        let dora = match (self.config.use_dora, parts.magnitude) {
            (true, Some(name)) => {
                let magnitude = self.require(name, &[if embedding { row_len } else { out }], rank)?;
                Some(Dora { magnitude, factors: Default::default() })
            }
            (false, None) => None,
            (true, None) => {
                return self.refuse(a, "a lora_magnitude_vector beside it (use_dora)", "none");
            }
            (false, Some(name)) => {
                return self.refuse(name, "use_dora in adapter_config.json", "false");
            }
        };
        Ok(Some(Step {
            adapter: self,
            rows,
            columns,
            embedding,
            rank,
            shape: [out, row_len],
            scale: scale * self.strength,
            dora,
            factors: Default::default(),
            done: Default::default(),
        }))
    }

    /// A tensor of LoRA, which must be of this shape.
    fn require(&self, name: &str, shape: &[usize], rank: usize) -> Result<AdapterTensor<'_>> {
        match self.file.get(name) {
            Some(tensor) if tensor.shape != shape => {
                let expected = format!("shape {shape:?} (the model's; rank {rank} by adapter_config.json)");
                let found = format!("{:?}", tensor.shape);
                Err(ConvertError::tensor(self.file.path_of(tensor), name, expected, found))
            }
            _ => self.file.require(name, shape),
        }
    }

    fn refuse<T>(&self, name: &str, expected: &str, found: &str) -> Result<T> {
        let path = self.file.paths().next().unwrap_or(self.file.dir());
        Err(ConvertError::tensor(path, name, expected, found))
    }

    /// The adapter's file.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.file.paths()
    }
}

impl<'a> Parts<'a> {
    fn any(&self) -> Option<&'a str> {
        let all = [self.a, self.b, self.embedding_a, self.embedding_b, self.magnitude, self.base, self.saved];
        all.into_iter().flatten().next()
    }
}

/// Merges the adapters, one after the other. A head that comes out as the embedding does is left to it.
pub(super) fn apply<'a>(
    adapters: &'a [Adapter],
    mut tensors: Vec<Found<'a>>,
    model: &Config,
    warnings: &mut Vec<String>,
) -> Result<Vec<Found<'a>>> {
    let stored_head = tensors.iter().any(|found| found.spec.optional);
    let mut head = None;
    for adapter in adapters {
        warnings.extend(adapter.config.warnings.iter().map(|w| format!("adapter {}: {w}", adapter.name)));
        if !stored_head && head.is_none() && adapter.touches_head()? {
            let spec = specs(model).into_iter().find(|spec| spec.optional);
            let embedding = tensors.iter().position(|found| module_of(&found.spec) == EMBEDDING);
            if let (Some(spec), Some(embedding)) = (spec, embedding) {
                head = Some((embedding, tensors.len()));
                let Found { checkpoint, tensor, ty, ref name, .. } = tensors[embedding];
                tensors.push(Found { spec, checkpoint, tensor, ty, name: name.clone(), steps: Vec::new() });
            }
        }
        let tied = match head {
            Some((x, y)) => same_result(&tensors[x], &tensors[y])?,
            None => false,
        };
        adapter.apply(&mut tensors, tied, warnings)?;
    }
    if let Some((x, y)) = head {
        if same_result(&tensors[x], &tensors[y])? {
            tensors.truncate(y);
        } else {
            warnings.push(
                "the adapter changes the embedding and the output head, which the model ties, in different ways: \
                 the file has both"
                    .into(),
            );
        }
    }
    Ok(tensors)
}

/// Says in the file which adapters are in it.
pub(super) fn write(writer: &mut GgufWriter, adapters: &[Adapter]) {
    if adapters.is_empty() {
        return;
    }
    writer.set("brooklet.lora.count", Gguf::U32(adapters.len() as u32));
    for (i, adapter) in adapters.iter().enumerate() {
        let mut set = |key: &str, value| writer.set(&format!("brooklet.lora.{i}.{key}"), value);
        set("name", Gguf::String(&adapter.name));
        if let Some(base) = &adapter.config.base_model {
            set("base_model", Gguf::String(base));
        }
        // Capped when the config was read.
        set("rank", Gguf::U32(adapter.config.r as u32));
        set("alpha", Gguf::F32(adapter.config.lora_alpha as f32));
        set("scale", Gguf::F32(adapter.strength));
    }
}

/// The path of the module that a tensor is the weight of.
fn module_of(spec: &TensorSpec) -> &str {
    spec.hf.strip_suffix(".weight").unwrap_or(&spec.hf)
}

impl<'a> Found<'a> {
    /// Takes the tensor `name` of `checkpoint` instead, with nothing done to it.
    fn replace(&mut self, checkpoint: &'a Checkpoint, name: &str) -> Result<()> {
        (self.tensor, self.ty) = checkpoint.require(name, &self.spec.hf_shape)?;
        self.checkpoint = checkpoint;
        self.name = name.to_string();
        self.steps.clear();
        Ok(())
    }
}

/// Whether two tensors come out the same.
fn same_result(x: &Found, y: &Found) -> Result<bool> {
    let same_source =
        std::ptr::eq(x.tensor, y.tensor) || same_data((x.checkpoint, x.tensor), (y.checkpoint, y.tensor))?;
    if !same_source || x.steps.len() != y.steps.len() {
        return Ok(false);
    }
    for (a, b) in x.steps.iter().zip(&y.steps) {
        if !a.equals(b)? {
            return Ok(false);
        }
    }
    Ok(true)
}
