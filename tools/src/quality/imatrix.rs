//! The importance matrix: how large the inputs of each column of a model's matrices are, so that the encoders can
//! weigh errors by what they do to the output.
//!
//! The file is llama.cpp's (`tools/imatrix`): GGUF, `general.type` "imatrix", and for a matrix NAME the tensors
//! NAME.in_sum2, each column's sum of squared inputs, and NAME.counts, the number of inputs.

use crate::error::{ConvertError, Result};
use brooklet::Gguf;
use brooklet::gguf::{GgufWriter, TensorPlan, Value};
use brooklet::model::{Inputs, Observer};
use brooklet_kernels::{TensorType, format};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The value of `general.type`.
const TYPE: &str = "imatrix";
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// What is collected of one matrix.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    /// A column's sum of squared inputs.
    pub squares: Vec<f64>,
    /// Inputs.
    pub count: u64,
}

/// Sums the squares of what matrices read.
#[derive(Debug, Default)]
pub struct Collector {
    sums: Mutex<BTreeMap<String, Sums>>,
}

impl Collector {
    /// Hands `collector` everything that it is shown.
    pub fn observer(collector: &Arc<Collector>) -> Observer {
        let collector = collector.clone();
        Arc::new(move |inputs| collector.add(inputs))
    }

    fn add(&self, inputs: &Inputs<'_>) {
        let mut squares = vec![0.0; inputs.width];
        for row in inputs.rows.chunks_exact(inputs.width) {
            for (sum, x) in squares.iter_mut().zip(row) {
                *sum += f64::from(*x) * f64::from(*x);
            }
        }
        let mut sums = self.sums();
        for name in inputs.readers {
            let entry = sums.entry((*name).to_string()).or_default();
            entry.squares.resize(inputs.width, 0.0);
            entry.squares.iter_mut().zip(&squares).for_each(|(sum, x)| *sum += x);
            entry.count += (inputs.rows.len() / inputs.width) as u64;
        }
    }

    /// The sums so far, by matrix.
    pub fn sums(&self) -> MutexGuard<'_, BTreeMap<String, Sums>> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the sums to `path`. `dataset` names the text, of which `chunks` windows of `chunk_size` tokens were taken.
///
/// # Errors
/// An input that is not finite, which the sums then are not; a file that cannot be written.
pub fn write(
    path: &Path,
    sums: &BTreeMap<String, Sums>,
    dataset: &str,
    chunks: usize,
    chunk_size: usize,
) -> Result<()> {
    for (name, sums) in sums {
        if let Some(bad) = sums.squares.iter().find(|s| !(**s as f32).is_finite()) {
            let expected = "finite inputs (the model's weights are damaged)";
            return Err(ConvertError::tensor(path, name, expected, format!("squares that sum to {bad}")));
        }
    }
    let mut writer = GgufWriter::new();
    writer.set("general.type", Value::String(TYPE));
    writer.set_strings("imatrix.datasets", [dataset]);
    writer.set("imatrix.chunk_count", Value::U32(u32::try_from(chunks).unwrap_or(u32::MAX)));
    writer.set("imatrix.chunk_size", Value::U32(u32::try_from(chunk_size).unwrap_or(u32::MAX)));
    let plan = |name: String, len| TensorPlan { name, ty: TensorType::F32, shape: vec![len] };
    let plans: Vec<_> = sums
        .iter()
        .flat_map(|(name, s)| {
            [plan(format!("{name}{SUMS}"), s.squares.len()), plan(format!("{name}{COUNTS}"), 1)]
        })
        .collect();
    let mut stream = writer.create(path, &plans)?;
    for sums in sums.values() {
        let bytes: Vec<u8> = sums.squares.iter().flat_map(|s| (*s as f32).to_le_bytes()).collect();
        stream.write(&bytes)?;
        stream.write(&(sums.count as f32).to_le_bytes())?;
    }
    Ok(stream.finish()?)
}

/// An importance matrix to encode with.
#[derive(Clone, Debug)]
pub struct Imatrix {
    path: PathBuf,
    /// Whether the file stays, so that others may be told of it.
    stays: bool,
    /// The text that it was measured on, as the file names it.
    dataset: Option<String>,
    /// Windows of it that were taken.
    chunks: Option<usize>,
    /// A matrix's weights, one a column.
    weights: BTreeMap<String, Vec<f32>>,
}

impl Imatrix {
    /// Reads what `brooklet imatrix` or llama.cpp's `llama-imatrix` wrote.
    ///
    /// # Errors
    /// A file that cannot be read, another kind of file, sums without counts or counts without sums, counts of 0, values
    /// that are not finite or negative.
    pub fn read(path: &Path) -> Result<Imatrix> {
        let gguf = Gguf::open(path)?;
        let found = gguf.get_str("general.type")?;
        if found != Some(TYPE) {
            let found = found.map_or("none".into(), |kind| format!("'{kind}'"));
            let expected = format!("'{TYPE}', as `brooklet imatrix` writes it");
            return Err(ConvertError::field(path, "general.type", expected, found));
        }
        let mut weights = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for info in gguf.tensors() {
            let wrong =
                |expected: &str, found: String| ConvertError::tensor(path, &info.name, expected, found);
            if info.ty != TensorType::F32 {
                return Err(wrong("F32", info.ty.to_string()));
            }
            let mut values = vec![0.0; info.shape.iter().product()];
            format::decode(info.ty, gguf.data(info), &mut values);
            if let Some(bad) = values.iter().find(|v| !(v.is_finite() && **v >= 0.0)) {
                return Err(wrong("values that are finite and not negative", bad.to_string()));
            }
            if let Some(name) = info.name.strip_suffix(SUMS) {
                weights.insert(name.to_string(), values);
            } else if let Some(name) = info.name.strip_suffix(COUNTS) {
                match values[..] {
                    [count] if count > 0.0 => counts.insert(name.to_string(), count),
                    [_] => return Err(wrong("at least one input", "0: the text never used it".into())),
                    _ => return Err(wrong("one count", format!("{}, a model with experts", values.len()))),
                };
            } else {
                return Err(wrong("NAME.in_sum2 or NAME.counts", "another name".into()));
            }
        }
        if let Some(name) = counts.keys().find(|name| !weights.contains_key(*name)) {
            return Err(ConvertError::tensor(
                path,
                format!("{name}{SUMS}"),
                "sums beside the counts",
                "no such tensor",
            ));
        }
        for (name, weights) in &mut weights {
            let Some(count) = counts.get(name) else {
                let name = format!("{name}{COUNTS}");
                return Err(ConvertError::tensor(path, name, "counts beside the sums", "no such tensor"));
            };
            weights.iter_mut().for_each(|w| *w /= count);
        }
        let dataset = match gguf.get("imatrix.datasets") {
            Some(Value::Array(names)) => names.iter().find_map(|name| match name {
                Value::String(name) => Some(name.to_string()),
                _ => None,
            }),
            _ => None,
        };
        let chunks = gguf.get_usize("imatrix.chunk_count")?;
        Ok(Imatrix { path: path.to_path_buf(), stays: true, dataset, chunks, weights })
    }

    /// The same, from a file that will not stay: [`Imatrix::write_keys`] does not name it.
    pub fn of_temporary_file(self) -> Imatrix {
        Imatrix { stays: false, ..self }
    }

    /// Sets the keys by which `llama-quantize` says what it has quantized with. Of paths the last part is enough.
    pub fn write_keys(&self, writer: &mut GgufWriter) {
        let mut set = |key: &str, value: Value<'_>| writer.set(&format!("quantize.imatrix.{key}"), value);
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let count = |n: usize| Value::U32(u32::try_from(n).unwrap_or(u32::MAX));
        if let Some(file) = name(&self.path).filter(|_| self.stays) {
            set("file", Value::String(&file));
        }
        if let Some(dataset) = self.dataset.as_ref().and_then(|dataset| name(Path::new(dataset))) {
            set("dataset", Value::String(&dataset));
        }
        set("entries_count", count(self.weights.len()));
        if let Some(chunks) = self.chunks {
            set("chunks_count", count(chunks));
        }
    }

    /// The mean square of what each column of the matrix `name` reads; `None` for a matrix outside of the layers
    /// that the file does not have: llama.cpp leaves the head out.
    ///
    /// # Errors
    /// A matrix of a layer is not there, or has another number of columns than `width`.
    pub fn weights(&self, name: &str, width: usize) -> Result<Option<&[f32]>> {
        match self.weights.get(name) {
            Some(weights) if weights.len() == width => Ok(Some(weights)),
            Some(weights) => {
                let (expected, found) =
                    (format!("{width} columns, as the model has"), weights.len().to_string());
                Err(ConvertError::tensor(&self.path, format!("{name}{SUMS}"), expected, found))
            }
            None if name.starts_with("blk.") => {
                let expected = "sums for every matrix (measure them on this model)";
                Err(ConvertError::tensor(&self.path, format!("{name}{SUMS}"), expected, "no such tensor"))
            }
            None => Ok(None),
        }
    }
}
