//! Float GGUF files to quantized ones.

use super::pipeline::{self, Job, Source};
use super::{Choice, Options, Progress, QUANTIZATION_VERSION, Report, Types, check_output, gqa};
use crate::error::{ConvertError, Result};
use crate::quality::gptq::{self, Gptq};
use brooklet::Gguf;
use brooklet::gguf::{GgufStream, GgufWriter, TensorInfo, TensorPlan, Value};
use brooklet::model::Config;
use brooklet::model::tensors::{Role, TensorSpec, specs};
use brooklet_kernels::TensorType;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Converts the float LFM2 file `input` (F32, F16 or BF16, brooklet's or llama.cpp's) to `out`, which is
/// replaced if it is there. All metadata is kept. A tensor that already has its type is copied.
///
/// # Errors
/// An invalid file, another architecture, tensors that are not the architecture's, a tensor that is
/// quantized already, or a file that cannot be read or written.
pub fn quantize(input: &Path, out: &Path, options: &Options) -> Result<Report> {
    quantize_with(input, out, options, None)
}

/// As [`quantize`]; with `gptq`, which has the model of `input` or a near copy, matrices are rounded with error feedback.
///
/// # Errors
/// As [`quantize`], and those of [`Gptq::feedback`].
pub fn quantize_with(input: &Path, out: &Path, options: &Options, gptq: Option<&Gptq>) -> Result<Report> {
    let start = Instant::now();
    let gguf = Gguf::open(input)?;
    check_output(out, std::iter::once(input))?;
    if let Some(parts @ 2..) = gguf.get_usize("split.count")? {
        let what = format!("one of {parts} parts of a split file");
        return Err(ConvertError::unsupported(input, what + " (merge them with llama-gguf-split --merge)"));
    }
    let mut jobs = jobs(input, &gguf, options)?;

    let mut writer = GgufWriter::new();
    writer.copy_metadata(&gguf);
    writer.set("general.file_type", Value::U32(options.file_type_id(&jobs)));
    writer.set("general.quantization_version", Value::U32(QUANTIZATION_VERSION));
    if let Some(imatrix) = options.imatrix {
        imatrix.write_keys(&mut writer);
    }
    for key in ["split.no", "split.count", "split.tensors.count"] {
        writer.remove(key);
    }
    let plans: Vec<TensorPlan> = jobs.iter().map(|job| job.plan.clone()).collect();
    let stream = writer.create(out, &plans)?;
    match gptq {
        None => pipeline::run(&jobs, stream, options)?,
        Some(gptq) => run_with_feedback(&mut jobs, stream, options, gptq)?,
    }
    Ok(Report::new(out, &jobs, start, Vec::new()))
}

/// What a matrix is and what it loses in a type.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounding {
    /// The matrix's name in the file.
    pub name: String,
    /// The type.
    pub ty: TensorType,
    /// The sum of the squared errors of its weights, each weighed by its column's importance.
    pub error: f64,
    /// Bytes in that type.
    pub bytes: u64,
}

/// What each matrix of the float file `input` loses in each of `types` that its rows have whole blocks of, encoded and
/// weighed as `options` say.
///
/// # Errors
/// As [`quantize`].
pub fn roundings(input: &Path, types: &[TensorType], options: &Options) -> Result<Vec<Rounding>> {
    let gguf = Gguf::open(input)?;
    let matrices = matrices(&gguf)?;
    let mut progress = Progress { done: 0, total: (matrices.len() * types.len()) as u64 };
    let mut out = Vec::new();
    for &ty in types {
        let fitting = matrices.iter().filter(|info| bytes_in(info, ty).is_some());
        let fitting: Types = fitting.map(|info| (info.name.clone(), ty)).collect();
        let options = Options { types: Some(&fitting), ..*options };
        for job in jobs(input, &gguf, &options)?.iter().filter(|job| fitting.contains_key(&job.plan.name)) {
            let (name, bytes) = (job.plan.name.clone(), job.output_bytes());
            out.push(Rounding { name, ty, error: pipeline::rounding_error(job, &options)?, bytes });
            progress.done += 1;
            if let Some(tell) = options.progress {
                tell(progress);
            }
        }
    }
    Ok(out)
}

/// The fewest bytes that each matrix of the float file `input` takes in one of `types`, of those that it can have.
///
/// # Errors
/// As [`quantize`].
pub fn smallest(input: &Path, types: &[TensorType]) -> Result<BTreeMap<String, u64>> {
    let gguf = Gguf::open(input)?;
    let smallest = |info: &TensorInfo| types.iter().filter_map(|&ty| bytes_in(info, ty)).min();
    Ok(matrices(&gguf)?.into_iter().filter_map(|info| Some((info.name.clone(), smallest(info)?))).collect())
}

/// The matrices that the file has.
fn matrices(gguf: &Gguf) -> Result<Vec<&TensorInfo>> {
    let specs = specs(&Config::from_gguf(gguf)?);
    let matrices = specs.iter().filter(|spec| spec.role == Role::Matrix);
    Ok(matrices.filter_map(|spec| gguf.tensor(&spec.gguf)).map(|view| view.info).collect())
}

/// What a matrix takes in a type that its rows have whole blocks of.
fn bytes_in(info: &TensorInfo, ty: TensorType) -> Option<u64> {
    let row = ty.bytes_for(*info.shape.first()?)?;
    Some(row as u64 * info.shape[1..].iter().map(|n| *n as u64).product::<u64>())
}

/// As [`pipeline::run`], taking the text through the model once for so many matrices as fit into memory.
fn run_with_feedback(jobs: &mut [Job], mut stream: GgufStream, options: &Options, gptq: &Gptq) -> Result<()> {
    let mut progress = Progress { done: 0, total: jobs.iter().map(Job::input_bytes).sum() };
    let go_on = || !options.cancelled();
    let bytes = |job: &Job| if job.is_quantized() { size_of::<f32>() * job.plan.shape[0].pow(2) } else { 0 };
    let (memory, mut rest) = (gptq::memory(), jobs);
    while !rest.is_empty() {
        let mut taken = bytes(&rest[0]);
        let more = rest[1..].iter().take_while(|job| {
            taken += bytes(job);
            taken <= memory
        });
        let (now, later) = rest.split_at_mut(1 + more.count());
        let names: Vec<&str> =
            now.iter().filter(|job| job.is_quantized()).map(|job| job.plan.name.as_str()).collect();
        let mut feedback = gptq.feedback(&names, go_on)?;
        for job in now.iter_mut() {
            job.feedback = feedback.remove(&job.plan.name);
        }
        pipeline::encode_all(now, &mut stream, options, &mut progress)?;
        now.iter_mut().for_each(|job| job.feedback = None);
        rest = later;
    }
    Ok(stream.finish()?)
}

/// Every tensor of the file, in its order, which must be those of the table.
fn jobs<'a>(path: &Path, gguf: &'a Gguf, options: &Options) -> Result<Vec<Job<'a>>> {
    let config = Config::from_gguf(gguf)?;
    let tied = gguf.tensor("output.weight").is_none();
    let choice = Choice { file_type: options.file_type, tied, gqa: gqa(&config) };
    let mut missing: BTreeMap<String, TensorSpec> =
        specs(&config).into_iter().map(|spec| (spec.gguf.clone(), spec)).collect();
    let mut jobs = Vec::new();
    for info in gguf.tensors() {
        let Some(spec) = missing.remove(&info.name) else {
            return Err(ConvertError::tensor(path, &info.name, "only tensors of LFM2", "an unknown one"));
        };
        if info.shape != spec.shape {
            let (expected, found) = (format!("shape {:?}", spec.shape), format!("{:?}", info.shape));
            return Err(ConvertError::tensor(path, &info.name, expected, found));
        }
        let ty = match spec.role {
            // Left as they are, as llama-quantize leaves them.
            Role::Float => info.ty,
            Role::Matrix => options.matrix(&choice, &info.name, info.shape[0]),
        };
        check_float(path, info, ty)?;
        jobs.push(Job {
            plan: TensorPlan { name: info.name.clone(), ty, shape: info.shape.clone() },
            source: Source::Gguf(gguf, info),
            path: path.to_path_buf(),
            name: info.name.clone(),
            weights: pipeline::weights(options, &info.name, ty, info.shape[0])?,
            feedback: None,
            steps: Vec::new(),
            changed: Default::default(),
        });
    }
    match missing.into_values().find(|spec| !spec.optional) {
        None => Ok(jobs),
        Some(spec) => {
            let expected = format!("shape {:?}", spec.shape);
            Err(ConvertError::tensor(path, spec.gguf, expected, "no such tensor"))
        }
    }
}

/// A quantized tensor may stay what it is, but not become another.
fn check_float(path: &Path, info: &TensorInfo, to: TensorType) -> Result<()> {
    if !info.ty.is_quantized() || info.ty == to {
        return Ok(());
    }
    let found = format!("{}: the file is quantized already, start from a float one", info.ty);
    Err(ConvertError::tensor(path, &info.name, "F32, F16 or BF16", found))
}
